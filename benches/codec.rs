//! The cost of reading a request and of writing a reply.

use aikv::resp::{Args, Decoder, Limits, Protocol, Reply, RespWriter, Step};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, request) in [
        (
            "get",
            b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000042\r\n".to_vec(),
        ),
        (
            "set",
            b"*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000042\r\n$3\r\nabc\r\n".to_vec(),
        ),
        (
            "set_1k",
            [
                &b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1024\r\n"[..],
                &[b'x'; 1024],
                b"\r\n",
            ]
            .concat(),
        ),
        ("mset_100", request_of(&vec![&b"0123456789"[..]; 201])),
        ("inline", b"SET key:000000000042 abc\r\n".to_vec()),
    ] {
        let pipeline = request.repeat(PIPELINE);
        group.throughput(Throughput::Elements(PIPELINE as u64));
        let mut decoder = Decoder::new();
        let limits = Limits::default();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(&pipeline[..]);
                while let Ok(Step::Request { consumed }) = decoder.next(rest, &limits) {
                    let args = decoder.args(rest);
                    black_box(args.get(args.len() - 1));
                    rest = &rest[consumed..];
                }
                assert!(rest.is_empty());
            });
        });
    }
    group.finish();
}

fn args(criterion: &mut Criterion) {
    let request = request_of(&[&b"0123456789"[..]; 16]);
    let mut decoder = Decoder::new();
    let step = decoder.next(&request, &Limits::default());
    assert_eq!(
        step,
        Ok(Step::Request {
            consumed: request.len()
        })
    );
    let spans = decoder.args(&request);
    let slices: Vec<&[u8]> = spans.iter().collect();
    for (name, args) in [("spans", spans), ("slices", Args::from_slices(&slices))] {
        criterion.bench_function(&format!("args/get_16_{name}"), |bencher| {
            bencher.iter(|| {
                let args = black_box(args);
                (0..args.len())
                    .map(|index| args.get(index)[0])
                    .fold(0, u8::wrapping_add)
            });
        });
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let mut bench = |name: &str, write: fn(&mut RespWriter)| {
        let out = Vec::with_capacity(64 * 1024);
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || out.clone(),
                |out| {
                    out.clear();
                    let mut writer = RespWriter::new(out, Protocol::Resp2);
                    for _ in 0..PIPELINE {
                        write(black_box(&mut writer));
                    }
                },
                BatchSize::LargeInput,
            );
        });
    };
    bench("ok", |writer| writer.ok());
    bench("ok_dyn", |writer| black_box(writer as &mut dyn Reply).ok());
    bench("integer_small", |writer| writer.integer(black_box(7)));
    bench("integer_large", |writer| {
        writer.integer(black_box(1_234_567_890));
    });
    bench("bulk_16", |writer| {
        writer.bulk(black_box(b"0123456789abcdef"));
    });
    bench("bulk_256", |writer| writer.bulk(black_box(&[b'x'; 256])));
    bench("double_integral", |writer| writer.double(black_box(42.0)));
    bench("double_fraction", |writer| writer.double(black_box(0.1)));
    group.finish();
}

const PIPELINE: usize = 64;

fn request_of(args: &[&[u8]]) -> Vec<u8> {
    let mut request = Vec::new();
    let mut writer = RespWriter::new(&mut request, Protocol::Resp2);
    writer.array(args.len());
    for arg in args {
        writer.bulk(arg);
    }
    request
}

criterion_group!(benches, decode, args, encode);
criterion_main!(benches);
