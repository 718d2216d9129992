//! Decoding under every split and under garbage; the exact bytes of every reply.

use super::decode::MIN_INLINE;
use super::*;
use proptest::prelude::*;

fn decode_all(
    pieces: &[&[u8]],
    limits: &Limits,
) -> (Vec<Vec<Vec<u8>>>, Result<usize, ProtocolError>) {
    let mut decoder = Decoder::new();
    let mut input = Vec::new();
    let mut requests = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match decoder.next(&input, limits) {
                Ok(Step::Request { consumed }) => {
                    requests.push(decoder.args(&input).iter().map(<[u8]>::to_vec).collect());
                    input.drain(..consumed);
                }
                Ok(Step::Blank { consumed }) => {
                    assert!(
                        consumed > 0,
                        "a blank that takes nothing would repeat for ever"
                    );
                    input.drain(..consumed);
                }
                Ok(Step::Incomplete { missing }) => {
                    assert!(missing > 0, "an incomplete request lacks something");
                    break;
                }
                Err(error) => return (requests, Err(error)),
            }
        }
    }
    (requests, Ok(input.len()))
}

fn split_at<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

fn encode(requests: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = RespWriter::new(&mut bytes, Protocol::Resp2);
    for request in requests {
        writer.array(request.len());
        for arg in request {
            writer.bulk(arg);
        }
    }
    bytes
}

/// Bytes that get further into the decoder than random ones do.
fn near_protocol() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        Just(b"\r\n".to_vec()),
        Just(b"*".to_vec()),
        Just(b"$".to_vec()),
        Just(b"*2\r\n$3\r\nGET\r\n".to_vec()),
        Just(b"$1\r\nk\r\n".to_vec()),
        Just(b"\"a\\x4".to_vec()),
        (-2_i64..200).prop_map(|number| number.to_string().into_bytes()),
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
}

proptest! {
    #[test]
    fn requests_survive_any_split(
        requests in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..130), 1..12), 0..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = encode(&requests);
        let (decoded, rest) = decode_all(&split_at(&bytes, &cuts), &Limits::default());
        prop_assert_eq!(decoded, requests);
        prop_assert_eq!(rest, Ok(0));
    }

    #[test]
    fn the_outcome_does_not_depend_on_the_split(
        bytes in near_protocol(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        max_inline in MIN_INLINE..40,
        max_bulk_len in 0_usize..300,
        max_args in 0_usize..40,
        authenticated: bool,
    ) {
        let limits = Limits { max_bulk_len, max_args, max_inline, authenticated };
        let whole = decode_all(&[&bytes], &limits);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&decode_all(&split_at(&bytes, &cuts), &limits), &whole);
        prop_assert_eq!(&decode_all(&single, &limits), &whole);
        for request in &whole.0 {
            // An inline request has as many words as fit in its line.
            prop_assert!(request.len() <= max_args.max(max_inline));
            prop_assert!(request.iter().all(|arg| arg.len() <= max_bulk_len.max(max_inline)));
        }
    }

    #[test]
    fn words_in_quotes_come_out_as_they_went_in(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..6)) {
        let mut line = Vec::new();
        for word in &words {
            line.push(b'"');
            for byte in word {
                line.extend(format!("\\x{byte:02x}").bytes());
            }
            line.extend(b"\" ");
        }
        line.push(b'\n');
        prop_assert_eq!(decode_all(&[&line], &Limits::default()), (vec![words], Ok(0)));
    }

    #[test]
    fn owned_args_equal_their_source(args in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..12)) {
        let slices: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let view = Args::from_slices(&slices);
        let owned = OwnedArgs::from(view);
        prop_assert_eq!(owned.as_args().len(), args.len());
        prop_assert!(owned.as_args().iter().eq(view.iter()));
        prop_assert!(owned.as_args().skip(2).iter().eq(slices.iter().copied().skip(2)));
        prop_assert_eq!(owned.as_args().try_get(args.len()), None);
    }
}

#[test]
fn inline_requests() {
    let check = |line: &[u8], expected: &[&[u8]]| {
        let (requests, rest) = decode_all(&[line, b"\r\n"], &Limits::default());
        assert_eq!(rest, Ok(0), "{}", line.escape_ascii());
        assert_eq!(requests.concat(), expected, "{}", line.escape_ascii());
    };
    check(b"", &[]);
    check(b" \t ", &[]);
    check(b"PING", &[b"PING"]);
    check(b"  SET  k\tv  ", &[b"SET", b"k", b"v"]);
    check(b"ECHO \"\"", &[b"ECHO", b""]);
    check(
        br#"ECHO "a\n\r\t\b\a\x41\xZ\q\"b""#,
        &[b"ECHO", b"a\n\r\t\x08\x07AxZq\"b"],
    );
    check(br"ECHO 'it\'s \n'", &[b"ECHO", br"it's \n"]);
    check(br#"ab"c d" e"#, &[b"abc d", b"e"]);
    check(b"\x0bPING a\x0b", &[b"PING", b"a\x0b"]);
    check(b"a\0b c", &[b"a\0b", b"c"]);
}

#[test]
fn a_long_argument_is_not_looked_at_while_it_arrives() {
    let mut decoder = Decoder::new();
    let mut input = b"*2\r\n$4\r\nECHO\r\n$100000\r\n".to_vec();
    let limits = Limits::default();
    assert_eq!(
        decoder.next(&input, &limits),
        Ok(Step::Incomplete { missing: 100_002 })
    );
    let header = input.len();
    input.resize(header + 60_000, b'x');
    assert_eq!(
        decoder.next(&input, &limits),
        Ok(Step::Incomplete { missing: 40_002 })
    );
    // Whatever lies before the point that was reached is not read again.
    input[..header].fill(b'?');
    input.resize(header + 100_002, b'x');
    assert_eq!(
        decoder.next(&input, &limits),
        Ok(Step::Request {
            consumed: header + 100_002
        })
    );
    assert_eq!(decoder.args(&input).get(1).len(), 100_000);
}

#[test]
fn a_promise_allocates_nothing() {
    let mut decoder = Decoder::new();
    let step = decoder.next(b"*2147483647\r\n$536870912\r\n", &Limits::default());
    assert_eq!(
        step,
        Ok(Step::Incomplete {
            missing: 536_870_914
        })
    );
    assert_eq!(decoder.args_capacity(), 0);
}

#[test]
fn a_large_request_leaves_no_large_buffers_behind() {
    let mut decoder = Decoder::new();
    let limits = Limits::default();
    let large = encode(&[vec![vec![b'x']; 10_000]]);
    assert_eq!(
        decoder.next(&large, &limits),
        Ok(Step::Request {
            consumed: large.len()
        })
    );
    assert!(decoder.args_capacity() >= 10_000);
    assert_eq!(
        decoder.next(b"PING\r\n", &limits),
        Ok(Step::Request { consumed: 6 })
    );
    assert!(decoder.args_capacity() < 1_000);
}

#[test]
fn limits_hold_to_the_byte() {
    let limits = Limits {
        max_bulk_len: 20_000,
        max_args: 12,
        max_inline: 64,
        authenticated: true,
    };
    let guest = Limits {
        authenticated: false,
        ..limits
    };
    let outcome = |bytes: &[u8], limits| decode_all(&[bytes], limits).1;
    assert_eq!(outcome(b"*12\r\n", &limits), Ok(5));
    assert_eq!(
        outcome(b"*13\r\n", &limits),
        Err(ProtocolError::InvalidMultibulkLength)
    );
    assert_eq!(outcome(b"*10\r\n", &guest), Ok(5));
    assert_eq!(
        outcome(b"*11\r\n", &guest),
        Err(ProtocolError::UnauthenticatedMultibulkLength)
    );
    assert_eq!(outcome(b"*1\r\n$20000\r\n", &limits), Ok(12));
    assert_eq!(
        outcome(b"*1\r\n$20001\r\n", &limits),
        Err(ProtocolError::InvalidBulkLength)
    );
    assert_eq!(outcome(b"*1\r\n$16384\r\n", &guest), Ok(12));
    assert_eq!(
        outcome(b"*1\r\n$16385\r\n", &guest),
        Err(ProtocolError::UnauthenticatedBulkLength)
    );
    assert_eq!(outcome(&[b'a'; 64], &limits), Ok(64));
    assert_eq!(
        outcome(&[b'a'; 65], &limits),
        Err(ProtocolError::TooBigInlineRequest)
    );
    assert_eq!(
        outcome(&[b'*'; 65], &limits),
        Err(ProtocolError::TooBigMultibulkCount)
    );
    assert_eq!(
        outcome(&[&b"*1\r\n"[..], &[b'$'; 65]].concat(), &limits),
        Err(ProtocolError::TooBigBulkCount)
    );
}

fn every_reply(reply: &mut dyn Reply) {
    reply.map(1);
    reply.simple("a\r\nb");
    reply.push(2);
    reply.ok();
    reply.set(0);
    reply.array(12);
    reply.integer(-1);
    reply.integer(9);
    reply.integer(10);
    reply.integer(99);
    reply.integer(100);
    reply.integer(i64::MIN);
    reply.bulk(b"a\r\nb");
    reply.bulk_int(-42);
    reply.null();
    reply.null_array();
    reply.double(0.1);
    reply.boolean(true);
    reply.big_number("123");
    reply.verbatim("txt", b"hi");
    reply.error("\r\nERR a\nb\r\n");
}

const EVERY_RESP2: &str = "*2\r\n+a  b\r\n*2\r\n+OK\r\n*0\r\n*12\r\n:-1\r\n:9\r\n:10\r\n:99\r\n:100\r\n\
    :-9223372036854775808\r\n$4\r\na\r\nb\r\n$3\r\n-42\r\n$-1\r\n*-1\r\n$19\r\n0.10000000000000001\r\n:1\r\n\
    $3\r\n123\r\n$2\r\nhi\r\n-ERR a b\r\n";
const EVERY_RESP3: &str = "%1\r\n+a  b\r\n>2\r\n+OK\r\n~0\r\n*12\r\n:-1\r\n:9\r\n:10\r\n:99\r\n:100\r\n\
    :-9223372036854775808\r\n$4\r\na\r\nb\r\n$3\r\n-42\r\n_\r\n_\r\n,0.10000000000000001\r\n#t\r\n\
    (123\r\n=6\r\ntxt:hi\r\n-ERR a b\r\n";

#[test]
fn replies_are_these_bytes_whether_written_at_once_or_recorded_first() {
    for (protocol, expected) in [
        (Protocol::Resp2, EVERY_RESP2),
        (Protocol::Resp3, EVERY_RESP3),
    ] {
        let mut direct = Vec::new();
        every_reply(&mut RespWriter::new(&mut direct, protocol));
        assert_eq!(String::from_utf8_lossy(&direct), expected);

        let mut recorder = Recorder::new(protocol);
        every_reply(&mut recorder);
        let mut later = Vec::new();
        let mut writer = RespWriter::new(&mut later, protocol);
        recorder
            .into_values()
            .iter()
            .for_each(|value| value.write_to(&mut writer));
        assert_eq!(String::from_utf8_lossy(&later), expected);
    }
}

#[test]
fn a_recorder_nests_as_announced() {
    let mut recorder = Recorder::default();
    recorder.array(2);
    recorder.map(1);
    recorder.bulk(b"k");
    recorder.array(0);
    recorder.null();
    let map = Value::Map(vec![Value::bulk("k"), Value::Array(vec![])]);
    assert_eq!(recorder.into_value(), Value::Array(vec![map, Value::Null]));
}
