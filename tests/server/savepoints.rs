//! A script that goes back to a savepoint finds every key as it was there, byte for byte, whatever it did since; and what
//! it keeps is what the journal has.

use super::harness::Server;
use super::rollback::{DATABASES, assert_counted};
use super::transfer::{Contents, contents};
use crate::common::generator::Generator;
use crate::common::resp::{Client, Reply};
use crate::common::rng::Rng;

const ROUNDS: usize = 150;
/// Requests, savepoints and ways back in one script.
const STEPS: usize = 40;
/// Rounds from one crash of the server to the next.
const ROUNDS_BETWEEN_CRASHES: usize = 50;

/// Runs the steps in ARGV: requests behind their numbers of words; `save`, which also takes a copy of the keyspace;
/// `back N`, to the Nth savepoint. Returns how often it went back, and what was not as it had been.
const SCRIPT: &str = "
  local function copy()
    local all = {}
    for db = 0, 2 do
      redis.call('SELECT', db)
      for _, key in ipairs(redis.call('KEYS', '*')) do
        all[db .. ' ' .. key] = table.concat({
          redis.call('TYPE', key),
          redis.call('OBJECT', 'ENCODING', key),
          redis.call('PEXPIRETIME', key),
          redis.call('DUMP', key),
        }, ' ')
      end
    end
    redis.call('SELECT', 0)
    return all
  end
  local function compare(before, after, wrong)
    for key, value in pairs(before) do
      if after[key] ~= value then table.insert(wrong, key .. ': ' .. value .. ' became ' .. tostring(after[key])) end
    end
    for key, value in pairs(after) do
      if not before[key] then table.insert(wrong, key .. ' came: ' .. value) end
    end
  end
  local points, copies, wrong, backs, at = {}, {}, {}, 0, 1
  while at <= #ARGV do
    if ARGV[at] == 'save' then
      -- Looking removes what has expired, so it comes first.
      table.insert(copies, copy())
      table.insert(points, redis.savepoint())
      at = at + 1
    elseif ARGV[at] == 'back' then
      local point = tonumber(ARGV[at + 1])
      redis.rollback_to(points[point])
      backs = backs + 1
      compare(copies[point], copy(), wrong)
      for gone = point + 1, #points do
        local later = points[gone]
        if pcall(redis.rollback_to, later) then table.insert(wrong, 'a savepoint that is gone was found') end
        points[gone], copies[gone] = nil, nil
      end
      at = at + 2
    else
      local count = tonumber(ARGV[at])
      redis.pcall(table.unpack(ARGV, at + 1, at + count))
      at = at + count + 1
    end
  end
  return {backs, wrong}
";

#[test]
fn a_script_that_goes_back_finds_all_as_it_was() {
    go_back(&[]);
}

/// With a key that the script declares, the others are locked one by one, and some runs start again.
#[test]
fn a_script_that_goes_back_finds_keys_as_they_were_that_it_did_not_declare() {
    go_back(&["k1"]);
}

fn go_back(keys: &[&str]) {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    let seed = Rng::seed_from_env("AIKV_SAVEPOINT_SEED");
    let mut rng = Rng::new(seed);
    let mut generator = Generator::new(seed, |name| name != "select");
    let (mut went_back, mut kept_most) = (0, 0);
    for round in 1..=ROUNDS {
        let count = keys.len().to_string();
        let mut request: Vec<Vec<u8>> = ["EVAL", SCRIPT, &count].map(Vec::from).into();
        request.extend(keys.iter().copied().map(Vec::from));
        add_steps(&mut request, &mut rng, &mut generator);
        let reply = client.call(&request).reply;
        let Reply::Array(parts) = &reply else {
            panic!("round {round} of seed {seed}: {reply:?}");
        };
        let [Reply::Integer(backs), Reply::Array(wrong)] = &parts[..] else {
            panic!("round {round} of seed {seed}: {reply:?}");
        };
        assert!(wrong.is_empty(), "round {round} of seed {seed}: {wrong:?}");
        went_back += backs;
        learn(&mut generator, &mut client);
        if round % ROUNDS_BETWEEN_CRASHES == 0 {
            let before = kept(&mut client);
            kept_most = kept_most.max(before.len());
            assert_counted(&mut client);
            server.kill9();
            server.restart();
            client = server.client();
            let after = kept(&mut client);
            assert_counted(&mut client);
            let lost = before.iter().find(|key| !after.contains(key));
            assert!(
                before == after,
                "after the crash in round {round} of seed {seed}: {lost:?}"
            );
        }
    }
    assert!(went_back > ROUNDS as i64, "it went back often");
    // A flush may have come just before one of the crashes, hardly before all of them.
    assert!(kept_most > 10, "there was something to keep");
}

/// All that a crash has to leave: what clients read. How it is laid out in memory is not in the journal.
fn kept(client: &mut Client) -> Contents {
    let mut all = Vec::new();
    for db in 0..DATABASES {
        all.extend(contents(client, &db.to_string()));
    }
    client.call(&["SELECT", "0"]);
    for (_, seen) in &mut all {
        const ENCODING_AT: usize = 1;
        seen.remove(ENCODING_AT);
    }
    all
}

fn add_steps(request: &mut Vec<Vec<u8>>, rng: &mut Rng, generator: &mut Generator) {
    let mut saved = 0;
    for _ in 0..STEPS {
        match rng.below(10) {
            0 | 1 => {
                request.push("save".into());
                saved += 1;
            }
            2 if saved > 0 => {
                let point = 1 + rng.below(saved);
                request.push("back".into());
                request.push(point.to_string().into());
                saved = point;
            }
            _ => {
                let args = generator.request().args;
                request.push(args.len().to_string().into());
                request.extend(args);
            }
        }
    }
}

/// Gives the generator some values to restore.
fn learn(generator: &mut Generator, client: &mut Client) {
    for _ in 0..5 {
        let key = client.call(&["RANDOMKEY"]).reply;
        if let Reply::Bulk(key) = key
            && let Reply::Bulk(dump) = client.call(&[&b"DUMP"[..], &key]).reply
        {
            generator.learn_dump(&dump);
        }
    }
}
