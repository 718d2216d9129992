//! Nanoseconds of each stage of a request, and of whole requests, in a pipeline of sixteen.

use std::hint::black_box;
use std::time::Instant;

use aidb::WriteBatch;
use aikv::keyspace::{Txn, TxnBuffers};
use aikv::resp::{Decoder, Limits, Protocol, Reply, RespWriter, Step};

use crate::Result;
use crate::scenario::{NAMES, PIPELINE, REQUESTS, Server, pipelines};

/// Of so many runs the fastest counts: what others do on the machine only makes runs slower.
const RUNS: usize = 15;
const LOOPS: u32 = 20_000;

pub fn print() -> Result<()> {
    let (mut server, sha) = Server::start()?;
    println!("{:<44}{:>8}", "stage", "ns");
    let gets = pipelines("GET", &sha)?;
    let get = &gets[0][..gets[0].len() / PIPELINE];
    for (stage, ns) in stages(&mut server, get) {
        println!("{stage:<44}{ns:>8.1}");
    }
    println!();
    println!("{:<44}{:>8}", "request without its socket", "ns");
    for name in &NAMES[..NAMES.len() - 1] {
        let pipelines = pipelines(name, &sha)?;
        let ns = fastest(|| {
            for pipeline in &pipelines {
                server.pipeline(pipeline);
            }
        });
        println!("{name:<44}{:>8.1}", ns / REQUESTS as f64);
    }
    Ok(())
}

fn stages(server: &mut Server, get: &[u8]) -> Vec<(&'static str, f64)> {
    let shared = server.shared;
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    let parse = each(|| {
        let step = decoder.next(black_box(get), &limits);
        assert!(matches!(black_box(step), Ok(Step::Request { .. })));
    });
    let args = decoder.args(get);
    let find = each(|| {
        let _ = black_box(shared.registry.find(black_box(&args)));
    });
    let key = args.get(1);
    let hash = each(|| {
        black_box(shared.keyspace.fingerprint(0, black_box(key)));
    });
    let fingerprint = shared.keyspace.fingerprint(0, key);
    let mut buffers = TxnBuffers::default();
    let lock = each(|| {
        black_box(shared.gate.enter(0));
        let mut txn = Txn::new(shared.keyspace, &mut buffers, 0, 0);
        black_box(txn.enter(black_box(fingerprint)));
    });
    let lookup = each(|| {
        let mut txn = Txn::new(shared.keyspace, &mut buffers, 0, 0);
        txn.enter(fingerprint);
        black_box(txn.peek(black_box(key)));
    });
    shared.gate.leave(0);
    let mut batch = WriteBatch::new();
    let encode = each(|| {
        batch.clear();
        batch.put(black_box(key), b"xxx");
    });
    let append = each(|| {
        black_box(shared.journal.append(black_box(&batch))).expect("room in the buffer");
    });
    shared.journal.write_out().expect("room on the disk");
    let write_out = each(|| {
        for _ in 0..PIPELINE {
            shared.journal.append(&batch).expect("room in the buffer");
        }
        shared.journal.write_out().expect("room on the disk");
    });
    let mut out = Vec::new();
    let reply = each(|| {
        out.clear();
        RespWriter::new(&mut out, Protocol::Resp2).bulk(black_box(b"xxx"));
    });
    let clock = each(|| {
        black_box(Instant::now());
    });
    vec![
        ("parse a GET", parse),
        ("find the command", find),
        ("hash the key", hash),
        ("enter the gate, take and leave the stripe", lock),
        ("find the key in its stripe, with the lock", lookup),
        ("encode a record", encode),
        ("append it to the journal's buffer", append),
        (
            "write 16 of them to the file, for each",
            write_out / PIPELINE as f64 - append,
        ),
        ("encode the reply", reply),
        ("look at the clock", clock),
    ]
}

/// Nanoseconds of one call.
fn each(mut work: impl FnMut()) -> f64 {
    let all = || {
        for _ in 0..LOOPS {
            work();
        }
    };
    fastest(all) / f64::from(LOOPS)
}

fn fastest(mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let began = Instant::now();
        work();
        began.elapsed().as_nanos() as f64
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}
