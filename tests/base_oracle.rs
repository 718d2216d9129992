//! Numbers and patterns beside those of a real `redis-server`.

use aikv::base::float::{self, FloatError};
use aikv::base::glob::{self, Case};
use aikv::base::number::{self, DoubleText};
use aikv::value::{Str, Value, rdb};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis::{Connection, RedisResult};
use support::RedisServer;

mod support;

#[test]
fn incrbyfloat_gives_the_same_sums() {
    let (_server, mut connection) = connect();
    check(
        4_000,
        &(number_text(), number_text()),
        |(old, increment)| {
            let mut pipeline = redis::pipe();
            let pipeline = pipeline.cmd("SET").arg("key").arg(&old).ignore();
            let reply: RedisResult<(String,)> = pipeline
                .cmd("INCRBYFLOAT")
                .arg("key")
                .arg(&increment)
                .query(&mut connection);
            let expected = match reply {
                Ok((sum,)) => Ok(sum),
                Err(error) if error.to_string().contains("not a valid float") => {
                    Err(FloatError::NotAFloat)
                }
                Err(error) if error.to_string().contains("NaN or Infinity") => {
                    Err(FloatError::NanOrInfinity)
                }
                Err(error) => panic!("{error}"),
            };
            assert_eq!(
                float::incr_by_float(old.as_bytes(), increment.as_bytes()),
                expected,
                "{old} + {increment}"
            );
        },
    );
}

#[test]
fn scores_are_read_and_printed_the_same() {
    let (_server, mut connection) = connect();
    check(4_000, &number_text(), |text| {
        // With `INCR` the answer is the score itself; a small set would have stored -0 as 0.
        let mut pipeline = redis::pipe();
        pipeline.cmd("DEL").arg("key").ignore();
        pipeline
            .cmd("ZADD")
            .arg("key")
            .arg("INCR")
            .arg(&text)
            .arg("member");
        let reply: RedisResult<(String,)> = pipeline.query(&mut connection);
        let score = float::parse_f64(text.as_bytes()).map(DoubleText::new);
        let printed = score.map(|score| String::from_utf8_lossy(score.as_bytes()).into_owned());
        assert_eq!(printed, reply.ok().map(|(score,)| score), "{text}");
    });
}

#[test]
fn integers_are_accepted_and_refused_alike() {
    let (_server, mut connection) = connect();
    check(2_000, &"[-+ ]?[0-9]{0,20}[ .x]?", |text| {
        let mut pipeline = redis::pipe();
        let pipeline = pipeline.cmd("SET").arg("key").arg(&text).ignore();
        let reply: RedisResult<(i64,)> = pipeline
            .cmd("INCRBY")
            .arg("key")
            .arg(0)
            .query(&mut connection);
        assert_eq!(
            number::parse_i64(text.as_bytes()),
            reply.ok().map(|(value,)| value),
            "{text:?}"
        );
    });
}

#[test]
fn patterns_match_the_same() {
    let (_server, mut connection) = connect();
    // `KEYS` respects case, and names of options are compared without it.
    let texts = "[abAB\\[\\]^*?\\\\-]{1,8}";
    let patterns = "([abAB?*\\[\\]^\\\\-]|\\[\\^?[ab]-[abAB]\\]){0,8}";
    check(4_000, &(patterns, texts), |(pattern, text)| {
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("FLUSHALL")
            .ignore()
            .cmd("SET")
            .arg(&text)
            .arg("")
            .ignore()
            .cmd("KEYS")
            .arg(&pattern);
        let (keys,): (Vec<String>,) = pipeline
            .query(&mut connection)
            .expect("redis-server answers");
        let matched = glob::matches(pattern.as_bytes(), text.as_bytes(), Case::Sensitive);
        assert_eq!(matched, !keys.is_empty(), "{pattern} on {text}");
    });
    let option = "maxmemory-policy";
    check(
        1_000,
        &"(\\*|\\?|[mM]|[aA]|[xX]|\\[\\^?[A-Za-z]-[A-Za-z]\\]|\\\\[aAm]){1,4}\\*[pP]?[oO]?licY",
        |pattern| {
            let names: Vec<(String, String)> = redis::cmd("CONFIG")
                .arg("GET")
                .arg(&pattern)
                .query(&mut connection)
                .expect("redis-server answers");
            let matched = glob::matches(pattern.as_bytes(), option.as_bytes(), Case::Ignored);
            assert_eq!(
                matched,
                names.iter().any(|(name, _)| name == option),
                "{pattern}"
            );
        },
    );
}

/// A string that fills the table in which Redis looks for copies: it holds positions of earlier inputs, which may lead to
/// other copies than those that an empty table leads to. After this one they are all beyond the end of a shorter input.
fn table_filler() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    std::iter::repeat_with(|| random.u8(..))
        .take(1 << 20)
        .collect()
}

/// Also what a long string is packed into.
#[test]
fn dumps_of_strings_are_the_same_bytes() {
    let (_server, mut connection) = connect();
    let parts = prop::collection::vec((0..5_u8, 1..900_usize), 0..30);
    check(1_500, &(parts, any::<u64>()), |(parts, seed)| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut input = Vec::new();
        for (kind, len) in parts {
            let start = input.len();
            match kind {
                0 => input.extend(std::iter::repeat_with(|| random.u8(..)).take(len)),
                1 => input.extend(std::iter::repeat_n(random.u8(..), len)),
                2 => input.extend(std::iter::repeat_with(|| random.u8(b'a'..b'e')).take(len)),
                3 => input.extend(
                    format!("user:{};", random.u16(..))
                        .bytes()
                        .cycle()
                        .take(len),
                ),
                _ => input.extend_from_within(start.saturating_sub(len)..start),
            }
        }
        let mut pipeline = redis::pipe();
        let pipeline = pipeline.cmd("SET").arg("key").arg(&input).ignore();
        let (mut dump,): (Vec<u8>,) = pipeline
            .cmd("DUMP")
            .arg("key")
            .query(&mut connection)
            .expect("a dump");
        let ours = rdb::dump(&Value::Str(Str::new(&input)));
        if ours != dump {
            // Perhaps for what the inputs before have left.
            let mut pipeline = redis::pipe();
            let filler = table_filler();
            let pipeline = pipeline.cmd("SET").arg("filler").arg(&filler).ignore();
            let pipeline = pipeline.cmd("DUMP").arg("filler").ignore();
            (dump,) = pipeline
                .cmd("DUMP")
                .arg("key")
                .query(&mut connection)
                .expect("a dump");
        }
        assert!(
            ours == dump,
            "{} bytes: {}",
            input.len(),
            input.escape_ascii()
        );
    });
}

/// From everyday decimals over the edges of the formats to what is no number at all.
fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?[0-9]{1,4}\\.[0-9]{1,4}",
        2 => "-?[0-9]{1,19}",
        2 => "[-+]?[0-9]{0,25}\\.?[0-9]{0,25}([eE][-+]?[0-9]{1,2})?",
        1 => "-?[0-9]{1,3}\\.[0-9]{0,3}e-?(30[0-9]|32[0-9]|49[2-6][0-9])",
        1 => "[-+]?0[xX][0-9a-f]{0,20}\\.?[0-9a-f]{0,20}([pP][-+]?[0-9]{1,4})?",
        1 => "[-+]?(inf|INF|infinity|nan|infinit|)",
        1 => "[-+ 0-9.exp]{0,8}",
        1 => any::<f64>().prop_map(|value| value.to_string()),
    ]
}

fn check<S: Strategy>(cases: u32, inputs: &S, mut compare: impl FnMut(S::Value)) {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let compare = std::cell::RefCell::new(&mut compare);
    let outcome = TestRunner::new(config).run(inputs, |input| {
        (compare.borrow_mut())(input);
        Ok(())
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
}

fn connect() -> (RedisServer, Connection) {
    let server = RedisServer::start(&[]);
    let client = redis::Client::open(("127.0.0.1", server.port)).expect("an address");
    let connection = client.get_connection().expect("redis-server accepts");
    (server, connection)
}
