//! Commands that do a little for each of several keys, as MSET and DEL do: without key locks.
//!
//! A key lock costs several atomic operations, which is more than such a command does for the key. So the stripes of all
//! its keys are taken together instead, and held until the journal has the change: what one key's command does with its one
//! stripe. Where a key is locked, or a change to it awaited, the command goes the way of the others.

use super::Client;
use super::registry::Entry;
use super::worker::Worker;
use crate::command::{Flags, Handler};
use crate::locks::Mode;
use crate::resp::Args;
use smallvec::SmallVec;

/// Others meet few of these stripes, and for a short time only.
const KEYS_MAX: usize = 16;
/// A key and a value for each, and the name.
const ARGS_MAX: usize = 2 * KEYS_MAX + 1;

impl Worker {
    /// Runs such a command, or tells that it has to go the way of the others.
    pub(super) fn each_key(
        &mut self,
        entry: &Entry,
        handler: Handler,
        client: &Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let shared = self.shared;
        if args.len() > ARGS_MAX || !shared.gate.enter(self.shard) {
            return false;
        }
        let keyspace = shared.keyspace;
        let db = keyspace.physical(client.db);
        let mut fingerprints = SmallVec::<[u64; KEYS_MAX]>::new();
        let told = entry.spec.visit_keys(&args, |index, _| {
            fingerprints.push(keyspace.fingerprint(db, args.get(index)));
        });
        if told.is_err() || fingerprints.len() > KEYS_MAX {
            return false;
        }
        let writes = entry.spec.flags.contains(Flags::WRITE);
        let mode = if writes {
            Mode::Exclusive
        } else {
            Mode::Shared
        };
        let any =
            |is: &dyn Fn(u64) -> bool| fingerprints.iter().any(|fingerprint| is(*fingerprint));
        self.run_under_stripes(entry, handler, client, db, args, out, |txn| {
            let busy = txn.enter_all(&fingerprints) > 0
                && any(&|fingerprint| shared.locks.is_conflicting(fingerprint, mode));
            // Whoever waits for what a change brings is served under the key's lock.
            let awaited = writes && any(&|fingerprint| keyspace.awaited.may_contain(fingerprint));
            !busy && !awaited
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::testing::Server;

    #[test]
    fn keys_of_one_stripe_and_keys_named_twice_are_served() {
        let mut server = Server::start(1, &[]);
        let mut client = server.connect(0);
        // More keys than a pair of stripes has room for: some of the names share one.
        for round in 0..300 {
            let (a, b) = (format!("a{round}"), format!("b{round}"));
            let set = format!("MSET {a} 1 {b} 2 {a} 3");
            assert_eq!(server.reply(&mut client, &set), "+OK\r\n");
            let get = format!("MGET {a} {b} {a} none");
            let values = "*4\r\n$1\r\n3\r\n$1\r\n2\r\n$1\r\n3\r\n$-1\r\n";
            assert_eq!(server.reply(&mut client, &get), values);
            let count = format!("EXISTS {a} {a} {b}");
            assert_eq!(server.reply(&mut client, &count), ":3\r\n");
            let remove = format!("DEL {a} {b} {a}");
            assert_eq!(server.reply(&mut client, &remove), ":2\r\n");
        }
    }

    #[test]
    fn an_odd_number_of_arguments_changes_nothing() {
        let mut server = Server::start(1, &[]);
        let mut client = server.connect(0);
        let reply = server.reply(&mut client, "MSET a 1 b");
        assert!(
            reply.starts_with("-ERR wrong number of arguments"),
            "{reply}"
        );
        assert_eq!(server.reply(&mut client, "EXISTS a b"), ":0\r\n");
    }
}
