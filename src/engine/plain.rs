//! Data commands on their way through admission, handler and commit.

use super::Client;
use super::admission::{self, Grants, Wait};
use super::commit::{self, PANICKED};
use super::outbox::Outbox;
use super::registry::Entry;
use super::tracking::note_reads;
use super::work::{Kind, Token};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::command::{Access, Ctx, Error, Flags, Handler, Waiting, Wish};
use crate::keyspace::Txn;
use crate::locks::{Footprint, Mode};
use crate::resp::{Args, OwnedArgs, Reply, RespWriter};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A walk that has met more locked keys than this gets the keyspace for itself.
const MET_MAX: usize = 64;

impl Worker {
    /// Runs a data command, or parks it.
    #[inline]
    pub(super) fn plain(
        &mut self,
        entry: &'static Entry,
        handler: Handler,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let shared = self.shared;
        let only_key = if entry.spec.flags.contains(Flags::BLOCKING) {
            None
        } else {
            entry.spec.only_key(args.len())
        };
        if let Some((at, access)) = only_key {
            if !shared.gate.enter(self.shard) {
                return self.plain_locked(entry, handler, client, args, out);
            }
            let db = shared.keyspace.physical(client.db);
            let fingerprint = shared.keyspace.fingerprint(db, args.get(at));
            let is_free = |txn: &mut Txn<'_>| {
                let busy = txn.enter(fingerprint) > 0
                    && shared
                        .locks
                        .is_conflicting(fingerprint, admission::mode(access));
                // Whoever waits for what a change brings is served under the key's lock.
                let awaited =
                    access == Access::Write && shared.keyspace.awaited.may_contain(fingerprint);
                !busy && !awaited
            };
            if self.run_under_stripes(entry, handler, client, db, args, out, is_free) {
                return Flow::Done;
            }
            return self.plain_locked(entry, handler, client, args, out);
        }
        let touches = Flags::KEYSPACE.union(Flags::GATE);
        if entry.spec.keys.is_empty() && !entry.spec.flags.intersects(touches) {
            return self.run_granted(entry, handler, &mut Grants::default(), client, args, out);
        }
        if entry.spec.flags.contains(Flags::EACH_KEY)
            && self.each_key(entry, handler, client, args, out)
        {
            return Flow::Done;
        }
        self.plain_locked(entry, handler, client, args, out)
    }

    /// Runs a data command without key locks, while it holds the stripes of its keys: `enter` takes them, and tells whether
    /// that is enough. If not, nothing was done.
    #[expect(clippy::too_many_arguments, reason = "a request and its place")]
    #[inline]
    pub(super) fn run_under_stripes(
        &mut self,
        entry: &Entry,
        handler: Handler,
        client: &Client,
        db: u8,
        args: Args<'_>,
        out: &mut Vec<u8>,
        enter: impl FnOnce(&mut Txn<'_>) -> bool,
    ) -> bool {
        let mut txn = Txn::new(self.shared.keyspace, &mut self.buffers, db, self.now_ms);
        if !enter(&mut txn) {
            return false;
        }
        note_reads(&mut self.outbox, entry, client, &args);
        let mark = out.len();
        let mut reply = RespWriter::new(out, client.protocol);
        let mut ctx = Ctx {
            txn,
            args,
            reply: &mut reply,
            string_len_max: self.string_len_max,
            rng: &mut self.rng,
            waiting: Waiting::forbidden(),
        };
        // The stripes stay held until the journal has the change, so its order is everybody's.
        let result = run_and_commit(handler, &mut ctx, &mut self.outbox);
        drop(ctx);
        self.call_waiters();
        if let Err(error) = result {
            self.answer_error(client, out, mark, &error);
        }
        true
    }

    /// Runs a data command under locks, or parks it until it has them.
    fn plain_locked(
        &mut self,
        entry: &'static Entry,
        handler: Handler,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let token = self.works.reserve();
        let admitted = if entry.spec.needs_gate(&args) {
            self.keeper.admit_alone(token)
        } else {
            let footprint = || {
                // Where the keys cannot be told, the handler finds the fault and names it.
                let keyspace = self.shared.keyspace;
                let footprint = admission::footprint(keyspace, client.db, entry.spec, &args);
                let footprint = footprint.unwrap_or_default();
                self.warm_keys(client, &footprint);
                footprint
            };
            self.keeper.admit(footprint, token)
        };
        match admitted {
            Ok(grants) => self.run_until_clean(entry, handler, grants, client, args, out),
            Err(wait) => {
                let kind = Kind::Plain {
                    entry,
                    args: OwnedArgs::from(args),
                    wait,
                };
                self.park(client, token, kind)
            }
        }
    }

    /// Goes on waiting for the locks of a parked data command.
    pub(super) fn advance_plain(
        &self,
        wait: Wait,
        token: Token,
        entry: &Entry,
        client: &Client,
        args: &OwnedArgs,
    ) -> Result<Grants, Wait> {
        self.keeper.advance(wait, token, || {
            let keyspace = self.shared.keyspace;
            let footprint = admission::footprint(keyspace, client.db, entry.spec, &args.as_args());
            // Where the keys cannot be told, the handler finds the fault and names it.
            footprint.unwrap_or_default()
        })
    }

    /// Goes on with a parked data command.
    pub(super) fn plain_granted(
        &mut self,
        entry: &'static Entry,
        grants: Grants,
        client: &mut Client,
        args: &OwnedArgs,
        out: &mut Vec<u8>,
    ) -> Flow {
        let super::registry::Run::Data(handler) = entry.run else {
            unreachable!("only data commands are parked as such");
        };
        let flow = self.run_until_clean(entry, handler, grants, client, args.as_args(), out);
        self.note_resumed(flow, entry, client, &args.as_args());
        flow
    }

    /// Runs a handler under locks and gives them back. One that has walked over keys which another's transaction has
    /// locked runs again once it shares their locks, as often as it meets new ones; in the end with the keyspace to itself.
    fn run_until_clean(
        &mut self,
        entry: &'static Entry,
        handler: Handler,
        mut grants: Grants,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        loop {
            let mark = out.len();
            let flow = self.run_granted(entry, handler, &mut grants, client, args, out);
            let met = self.take_met(&grants);
            if met.is_empty() {
                self.keeper.release(grants);
                return flow;
            }
            debug_assert!(
                !entry.spec.flags.contains(Flags::WRITE),
                "only readers walk"
            );
            out.truncate(mark);
            let held = grants.locks.as_ref();
            let footprint = held.map_or_else(|| met.clone(), |held| held.footprint().union(&met));
            self.keeper.release(grants);
            let token = self.works.reserve();
            let admitted = if footprint.len() > MET_MAX {
                self.keeper.admit_alone(token)
            } else {
                self.keeper.admit(|| footprint, token)
            };
            match admitted {
                Ok(admitted) => grants = admitted,
                Err(wait) => {
                    let args = OwnedArgs::from(args);
                    return self.park(client, token, Kind::Plain { entry, args, wait });
                }
            }
        }
    }

    /// The keys of others' transactions that the last walk has met, to be shared.
    pub(super) fn take_met(&mut self, grants: &Grants) -> Footprint {
        let met = self.buffers.met.drain(..);
        met.filter(|fingerprint| !grants.covers(*fingerprint, Mode::Shared))
            .map(|fingerprint| (fingerprint, Mode::Shared))
            .collect()
    }

    /// Runs a handler whose keys are admitted, commits, and serves those who waited for that.
    fn run_granted(
        &mut self,
        entry: &'static Entry,
        handler: Handler,
        grants: &mut Grants,
        client: &mut Client,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Flow {
        let keyspace = self.shared.keyspace;
        debug_assert!(
            admission::is_admitted(keyspace, client.db, entry.spec, &args, grants),
            "{} runs without its locks",
            entry.spec.name
        );
        note_reads(&mut self.outbox, entry, client, &args);
        let mark = out.len();
        let mut reply = RespWriter::new(out, client.protocol);
        let db = keyspace.physical(client.db);
        let waiting = if entry.spec.flags.contains(Flags::BLOCKING) {
            Waiting::allowed()
        } else {
            Waiting::forbidden()
        };
        let result = self
            .call_waiting(handler, db, args, &mut reply, waiting)
            .and_then(|wish| self.commit().map(|()| wish));
        let flow = match result {
            Ok(None) => Flow::Done,
            Ok(Some(wish)) => self.block(entry, client, args, &wish),
            Err(error) => {
                self.answer_error(client, out, mark, &error);
                Flow::Done
            }
        };
        self.serve_waiters(grants);
        flow
    }

    /// Runs a handler in MULTI or in a script, inside the transaction that the buffers hold. On an error nothing of the
    /// handler's doing remains.
    pub(super) fn call(
        &mut self,
        handler: Handler,
        db: u8,
        args: Args<'_>,
        reply: &mut dyn Reply,
        waiting: Waiting,
    ) -> Result<(), Error> {
        let wish = self.call_waiting(handler, db, args, reply, waiting)?;
        debug_assert!(wish.is_none(), "it was told not to wait");
        Ok(())
    }

    /// The same for a command that may be able to wait; what it wishes to wait for, if it has not answered.
    pub(super) fn call_waiting(
        &mut self,
        handler: Handler,
        db: u8,
        args: Args<'_>,
        reply: &mut dyn Reply,
        waiting: Waiting,
    ) -> Result<Option<Box<Wish>>, Error> {
        let txn = Txn::new(self.shared.keyspace, &mut self.buffers, db, self.now_ms);
        let savepoint = txn.savepoint();
        let rng = &mut self.rng;
        let mut ctx = Ctx {
            txn,
            args,
            reply,
            string_len_max: self.string_len_max,
            rng,
            waiting,
        };
        let result = catch_unwind(AssertUnwindSafe(|| handler(&mut ctx)));
        let error = match result {
            Ok(Ok(())) => return Ok(ctx.waiting.take_wish()),
            Ok(Err(error)) => error,
            Err(_) => PANICKED,
        };
        ctx.txn.rollback_to(savepoint);
        Err(error)
    }

    /// Replaces what was answered since `mark` by an error.
    pub(super) fn answer_error(
        &mut self,
        client: &Client,
        out: &mut Vec<u8>,
        mark: usize,
        error: &Error,
    ) {
        out.truncate(mark);
        let line = error.line();
        self.failed = true;
        self.shared.observer.errors.count(line.as_bytes());
        RespWriter::new(out, client.protocol).error(&line);
    }

    /// Keeps work until its token is woken.
    pub(super) fn park(&mut self, client: &mut Client, token: u64, kind: Kind) -> Flow {
        self.put_back(token, client, clock::monotonic_us(), kind)
    }
}

/// Runs a handler whose keys are admitted, and commits; what is not committed is taken back.
#[inline]
fn run_and_commit(handler: Handler, ctx: &mut Ctx<'_>, outbox: &mut Outbox) -> Result<(), Error> {
    let error = match catch_unwind(AssertUnwindSafe(|| handler(ctx))) {
        Ok(Ok(())) => return commit::commit(&mut ctx.txn, outbox),
        Ok(Err(error)) => error,
        Err(_) => PANICKED,
    };
    ctx.txn.rollback();
    Err(error)
}
