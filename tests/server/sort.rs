//! SORT reads keys that it cannot name before: nobody changes them while it does, and scripts may forbid it.

use super::harness::{Server, bulk, error_text, eval, get, ok};
use crate::common::resp::Reply;

#[test]
fn what_a_pattern_leads_to_is_seen_at_one_moment() {
    const ROUNDS: usize = 300;
    let server = Server::start(&["--shards", "2"]);
    let (mut writer, mut reader) = (server.client(), server.client());
    writer.call(&["RPUSH", "list", "1", "2"]);
    writer.call(&["MSET", "w1", "0", "w2", "0"]);
    let writing = std::thread::spawn(move || {
        for n in 0..ROUNDS {
            writer.call(&["MSET", "w1", &n.to_string(), "w2", &format!("-{n}")]);
        }
    });
    while !writing.is_finished() {
        let pair = reader.call(&["SORT", "list", "BY", "w*", "GET", "w*", "DESC"]);
        let Reply::Array(pair) = pair.reply else {
            panic!("{pair}");
        };
        let numbers = pair.iter().map(|reply| match reply {
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).parse::<i64>(),
            other => panic!("{other:?}"),
        });
        let sum: i64 = numbers.map(|number| number.expect("a number")).sum();
        assert_eq!(sum, 0, "{pair:?}");
    }
    writing.join().expect("the writer has not failed");
}

const SORTS: &str = "
  redis.call('SET', KEYS[1], 'from the script')
  return redis.call('SORT', KEYS[2], 'BY', 'w*', 'GET', '#')
";

#[test]
fn a_script_follows_patterns_unless_it_may_not() {
    for (option, allowed) in [("allow", true), ("deny", false)] {
        let server = Server::start(&["--script-undeclared-keys", option]);
        let mut client = server.client();
        client.call(&["RPUSH", "list", "1", "2", "3"]);
        assert_eq!(
            client
                .call(&["MSET", "w1", "3", "w2", "2", "w3", "1"])
                .reply,
            ok()
        );
        let sorted = eval(&mut client, SORTS, &["key", "list"], &[]);
        if allowed {
            let expected = ["3", "2", "1"].map(bulk).to_vec();
            assert_eq!(sorted, Reply::Array(expected));
            assert_eq!(get(&mut client, "key"), bulk("from the script"));
        } else {
            let error = error_text(sorted);
            assert!(error.contains("did not declare in KEYS: 'w*'"), "{error}");
            assert_eq!(get(&mut client, "key"), Reply::Null);
        }
        // Without patterns the declared keys are enough.
        let plain = "return redis.call('SORT', KEYS[1], 'DESC', 'STORE', KEYS[2])";
        let stored = eval(&mut client, plain, &["list", "sorted"], &[]);
        assert_eq!(stored, Reply::Integer(3));
    }
}
