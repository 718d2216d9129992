//! Whole conversations, well-formed and not, with a real `redis-server`: what the decoder makes of the bytes must be
//! what Redis makes of them, and its errors must be Redis's to the letter.

use aikv::resp::{Decoder, Limits, Protocol, Reply, RespWriter, Step};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;
use support::RedisServer;

mod support;

#[test]
fn malformed_requests_get_the_same_answer() {
    let redis = RedisServer::start(&[]);
    for bytes in [
        &b"*\r\n"[..],
        b"*+1\r\n",
        b"*00\r\n",
        b"*-0\r\n",
        b"*0\r\n",
        b"*-1\r\n",
        b"*-9223372036854775808\r\nnosuch\r\n",
        b"*2147483647\r\n",
        b"*2147483648\r\n",
        b"*99999999999999999999\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n4\r\n",
        b"*1\r\n\xff\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$04\r\n",
        b"*1\r\n$536870912\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$4xPING\r\n",
        b"*2\r\x01$4\r\x02ECHO\x03\x04$1\r\x05a\x06\x07",
        b"ECHO \"a\r\n",
        b"ECHO 'a\r\n",
        b"ECHO \"a\"b\r\n",
        b"ECHO a\"b\"\nECHO\nnosuch a\x0b\r\r\n",
    ] {
        compare(&redis, bytes, &Limits::default());
    }
    for (start, fill) in [("", "a"), ("*", "1"), ("*1\r\n", "$"), ("*1\r\n", "x")] {
        for len in [65_536, 65_537] {
            compare(
                &redis,
                &[start.as_bytes(), &fill.as_bytes().repeat(len)].concat(),
                &Limits::default(),
            );
        }
    }
}

#[test]
fn a_client_that_has_not_logged_in_is_held_short() {
    let redis = RedisServer::start(&["--requirepass", "secret"]);
    let limits = Limits {
        authenticated: false,
        ..Limits::default()
    };
    for bytes in [
        &b"*10\r\n"[..],
        b"*11\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$16384\r\n",
        b"*1\r\n$16385\r\n",
        b"*1\r\n$536870913\r\n",
    ] {
        compare(&redis, bytes, &limits);
    }
}

#[test]
fn random_conversations_are_understood_alike() {
    let redis = RedisServer::start(&[]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&conversation(), |bytes| {
        compare(&redis, &bytes, &Limits::default());
        Ok(())
    });
    outcome.expect("the same answers");
}

/// No NUL: Redis searches for line ends with `strchr` and would wait for ever where this decoder goes on.
fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b" ".to_vec()),
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"\"".to_vec()),
        Just(b"'".to_vec()),
        Just(b"\\x4".to_vec()),
        Just(b"*2\r\n$4\r\nECHO\r\n".to_vec()),
        Just(b"*3\r\n$6\r\nnosuch\r\n".to_vec()),
        Just(b"$1\r\nk\r\n".to_vec()),
        Just(b"$12\r\nthere\r\nthere\r\n".to_vec()),
        Just(b"ECHO ".to_vec()),
        (-2_i64..40).prop_map(|number| number.to_string().into_bytes()),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(1_u8.., 0..6),
    ];
    prop::collection::vec(token, 0..30).prop_map(|tokens| tokens.concat())
}

/// What a Redis without any command but `ECHO` would answer, if it had this decoder.
fn answers(mut input: &[u8], limits: &Limits) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = RespWriter::new(&mut out, Protocol::Resp2);
    let mut decoder = Decoder::new();
    loop {
        match decoder.next(input, limits) {
            Ok(Step::Request { consumed }) => {
                let args: Vec<&[u8]> = decoder.args(input).iter().collect();
                answer(&args, &mut writer);
                input = &input[consumed..];
            }
            Ok(Step::Blank { consumed }) => input = &input[consumed..],
            Ok(Step::Incomplete { .. }) => return out,
            Err(error) => {
                error.write_to(&mut writer);
                return out;
            }
        }
    }
}

fn answer(args: &[&[u8]], writer: &mut RespWriter) {
    match args {
        [name, argument] if name.eq_ignore_ascii_case(b"echo") => writer.bulk(argument),
        [name, ..] if name.eq_ignore_ascii_case(b"echo") => {
            writer.error("ERR wrong number of arguments for 'echo' command");
        }
        [name, rest @ ..] => {
            let mut shown = Vec::new();
            for argument in rest {
                if shown.len() >= SHOWN_LEN {
                    break;
                }
                let text = c_string(argument, SHOWN_LEN - shown.len());
                shown.extend([b"'", text, b"' "].concat());
            }
            let name = c_string(name, SHOWN_LEN);
            let line = [
                b"ERR unknown command '",
                name,
                b"', with args beginning with: ",
                &shown,
            ]
            .concat();
            writer.error_bytes(&line);
        }
        [] => unreachable!("a request has a name"),
    }
}

const SHOWN_LEN: usize = 128;

fn c_string(bytes: &[u8], max_len: usize) -> &[u8] {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    &bytes[..end.min(max_len)]
}

fn compare(redis: &RedisServer, bytes: &[u8], limits: &Limits) {
    let mut socket = TcpStream::connect(("127.0.0.1", redis.port)).expect("redis-server accepts");
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("a read timeout");
    socket.write_all(bytes).expect("redis-server reads");
    // Redis answers all it has read before it sees the end.
    socket
        .shutdown(Shutdown::Write)
        .expect("half of the connection closes");
    let mut expected = Vec::new();
    socket
        .read_to_end(&mut expected)
        .expect("redis-server answers");
    let shown = bytes[..bytes.len().min(400)].escape_ascii();
    assert_eq!(
        answers(bytes, limits).escape_ascii().to_string(),
        expected.escape_ascii().to_string(),
        "in answer to {shown}"
    );
}
