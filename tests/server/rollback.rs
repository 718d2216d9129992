//! A script that fails leaves nothing: whatever it did, the keyspace is byte for byte what it was.

use super::harness::{Server, error_text};
use crate::common::generator::Generator;
use crate::common::resp::{Client, Reply};
use crate::common::rng::Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ROUNDS: usize = 250;
/// Requests between two scripts, so that each finds something else.
const REQUESTS_BETWEEN: usize = 12;
const REQUESTS_OF_A_SCRIPT: usize = 15;
/// The databases that the generator selects.
pub const DATABASES: usize = 3;

/// Runs requests that stand in ARGV behind their numbers of words, then fails in one of some ways.
const SCRIPT: &str = "
  local at = 2
  while at <= #ARGV do
    local count = tonumber(ARGV[at])
    redis.pcall(table.unpack(ARGV, at + 1, at + count))
    at = at + count + 1
  end
  if ARGV[1] == 'error' then error('the end') end
  if ARGV[1] == 'call' then redis.call('GET') end
  if ARGV[1] == 'nil' then return nothing.at_all end
  if ARGV[1] == 'memory' then return string.rep('x', 1000000000) end
  local deep = {} for _ = 1, 200 do deep = {deep} end
  return deep
";
const ENDS: &[&str] = &["error", "call", "nil", "memory", "deep"];

/// Of each key of each database: its type, encoding, expiry and serialized value.
pub type Snapshot = BTreeMap<(usize, Vec<u8>), Vec<Vec<u8>>>;

#[test]
fn a_script_that_fails_leaves_nothing() {
    roll_back(&[]);
}

/// With a key that the script declares, the others are locked one by one, and some runs start again.
#[test]
fn a_script_that_fails_leaves_nothing_of_keys_that_it_did_not_declare() {
    roll_back(&["k1"]);
}

fn roll_back(keys: &[&str]) {
    let server = Server::start(&[]);
    let mut client = server.client();
    let seed = Rng::seed_from_env("AIKV_ROLLBACK_SEED");
    let mut rng = Rng::new(seed);
    let mut generator = Generator::new(seed, |name| name != "select");
    let mut kept = 0;
    for round in 0..ROUNDS {
        for _ in 0..REQUESTS_BETWEEN {
            learn(&mut generator, &mut client);
        }
        let before = snapshot(&mut client);
        kept += before.len();
        let end = rng.pick(ENDS);
        let count = keys.len().to_string();
        let mut request: Vec<Vec<u8>> = ["EVAL", SCRIPT, &count].map(Vec::from).into();
        request.extend(keys.iter().copied().map(Vec::from));
        request.push(end.into());
        for _ in 0..REQUESTS_OF_A_SCRIPT {
            let args = generator.request().args;
            request.push(args.len().to_string().into());
            request.extend(args);
        }
        let error = error_text(client.call(&request).reply);
        let after = snapshot(&mut client);
        assert_counted(&mut client);
        assert!(
            before == after,
            "round {round} of seed {seed} ended by '{end}' ({error}) left\n{}",
            difference(&before, &after)
        );
    }
    assert!(kept > ROUNDS, "there was something to change");
}

fn learn(generator: &mut Generator, client: &mut Client) {
    let request = generator.request();
    let answer = client.call(&request.args);
    if let (true, Reply::Bulk(dump)) = (request.args[0].eq_ignore_ascii_case(b"dump"), answer.reply)
    {
        generator.learn_dump(&dump);
    }
}

pub fn snapshot(client: &mut Client) -> Snapshot {
    let mut all = Snapshot::new();
    for db in 0..DATABASES {
        client.call(&["SELECT", &db.to_string()]);
        let Reply::Array(keys) = client.call(&["KEYS", "*"]).reply else {
            panic!("KEYS answers with an array");
        };
        for key in keys {
            let Reply::Bulk(key) = key else {
                panic!("a key is a string");
            };
            let asked: [&[&[u8]]; 4] = [
                &[b"TYPE", &key],
                &[b"OBJECT", b"ENCODING", &key],
                &[b"PEXPIRETIME", &key],
                &[b"DUMP", &key],
            ];
            let answers = asked.map(|args| client.call(args).raw);
            all.insert((db, key), answers.into());
        }
    }
    client.call(&["SELECT", "0"]);
    all
}

/// INFO counts the keys that are there, once those that have expired are removed.
pub fn assert_counted(client: &mut Client) {
    let begin = Instant::now();
    loop {
        let (counted, there) = (counted(client), sizes(&snapshot(client)));
        if counted == there {
            return;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{counted:?} keys and volatile ones are counted, {there:?} are there"
        );
    }
}

fn counted(client: &mut Client) -> (usize, usize) {
    let Reply::Bulk(info) = client.call(&["INFO", "keyspace"]).reply else {
        panic!("INFO answers with text");
    };
    let info = String::from_utf8(info).expect("text");
    let sum = |name: &str| {
        let fields = info.split(['\r', '\n', ':', ',']);
        let numbers = fields.filter_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        numbers.map(|n| n.parse::<usize>().expect("a number")).sum()
    };
    (sum("keys"), sum("expires"))
}

fn sizes(snapshot: &Snapshot) -> (usize, usize) {
    let volatile = snapshot.values().filter(|answers| answers[2] != b":-1\r\n");
    (snapshot.len(), volatile.count())
}

pub fn difference(before: &Snapshot, after: &Snapshot) -> String {
    let keys = before.keys().chain(after.keys());
    let changed = keys.filter(|key| before.get(*key) != after.get(*key));
    let shown = |answers: Option<&Vec<Vec<u8>>>| {
        let texts = answers.into_iter().flatten();
        texts
            .map(|a| a.escape_ascii().to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines = changed.map(|key| {
        let (db, name) = key;
        let name = name.escape_ascii();
        let (before, after) = (shown(before.get(key)), shown(after.get(key)));
        format!("{db} {name}: {before}\n  became {after}")
    });
    lines.collect::<Vec<_>>().join("\n")
}
