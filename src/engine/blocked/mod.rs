//! Commands that wait for data: BLPOP, BZPOPMIN, XREAD BLOCK and their like.
//!
//! A command that finds nothing is *blocked*: it becomes a [`Waiter`] in the queues of its keys, and its client is parked.
//! Whoever commits a change to such a key serves the waiters, in their order, before it gives up its locks: it runs
//! their commands itself, whichever shard they came from, and sends each reply to the waiter's shard. So between a
//! push and the pop that it serves there is no gap for anybody to step into.
//!
//! Where that cannot be, because the command needs another key (BLMOVE's destination) that is locked by someone else, the
//! waiter is *called*: its own shard queues for the locks and runs the command again. Until then nobody behind it is
//! served from that key. Whoever was called and is done, served or not, sees to those behind.
//!
//! Invariants:
//! - A waiter enters its queues under the locks of its keys; a change to a key that is waited on is committed under that
//!   key's lock. So no change goes unseen. A change without a lock (a lazy expiry) calls the first in the queue.
//! - After each commit, and after each end of a called waiter, every key of theirs either has nothing for its waiters, or
//!   its first waiter is called.
//! - A waiter keeps its number, and so its place, until it is over.
//! - Only a waiter's own shard ends its wait without an answer from its command: by timeout, CLIENT UNBLOCK, or because the
//!   client has left.

mod serve;
#[cfg(test)]
pub(super) mod tests;
mod waiters;

pub use serve::Served;
pub use waiters::Waiters;
use waiters::{Stage, WaitState, Waiter};

use super::admission::{self, Grants, Wait};
use super::client::{Client, ClientFlags};
use super::registry::Entry;
use super::tracking;
use super::work::{Kind, Token, Work};
use super::worker::{Flow, Worker};
use crate::base::clock;
use crate::command::{KeyFlags, Wish};
use crate::locks::{Footprint, Mode, WaiterId};
use crate::resp::{Args, OwnedArgs, Reply, RespWriter};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A blocked command, as its own shard keeps it.
pub struct Blocked {
    waiter: Arc<Waiter>,
    /// On the monotonic clock; `None`: never.
    due_us: Option<u64>,
    /// What it queues for after it was called.
    wait: Option<Wait>,
    /// How long it ran before it began to wait.
    ran: Duration,
}

impl Blocked {
    pub fn due_us(&self) -> Option<u64> {
        self.due_us
    }

    /// The command, and its arguments.
    pub fn request(&self) -> (&'static Entry, OwnedArgs) {
        (self.waiter.entry, self.waiter.args.clone())
    }
}

impl Worker {
    /// Has a command wait that found nothing. Its keys are locked.
    pub(super) fn block(
        &mut self,
        entry: &'static Entry,
        client: &mut Client,
        args: Args<'_>,
        wish: &Wish,
    ) -> Flow {
        let token = self.works.reserve();
        let waiter = Arc::new(self.waiter(entry, client, args, wish, token));
        self.shared.waiters.enter(&waiter, &waiter.state.lock());
        client.info.set_flag(ClientFlags::BLOCKED, true);
        self.stats().blocked_clients.raise();
        let due_us = wish.timeout.map(|timeout| {
            let timeout_us = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
            clock::monotonic_us().saturating_add(timeout_us)
        });
        let blocked = Blocked {
            waiter,
            due_us,
            wait: None,
            ran: self.note_blocked(entry),
        };
        self.park(client, token, Kind::Blocked(Box::new(blocked)))
    }

    fn waiter(
        &self,
        entry: &'static Entry,
        client: &Client,
        args: Args<'_>,
        wish: &Wish,
        token: Token,
    ) -> Waiter {
        let mut mode = Mode::Shared;
        let mut others = SmallVec::new();
        let visited = entry.spec.visit_keys(&args, |index, keys| {
            let needed = admission::mode(keys.access());
            if wish.keys.contains(&index) {
                mode = mode.max(needed);
            } else if !keys.flags.contains(KeyFlags::NOT_KEY) {
                others.push((index, needed));
            }
        });
        debug_assert!(visited.is_ok(), "the handler has read its keys");
        let mut waiter = Waiter {
            id: WaiterId {
                shard: self.shard,
                token,
            },
            number: self.shared.waiters.take_number(),
            entry,
            args: resolved(args, wish),
            db: client.db,
            protocol: client.protocol,
            no_touch: client.no_touch,
            client: client.id(),
            tracker: tracking::reader(client),
            awaited: wish.awaited,
            mode,
            others,
            state: Mutex::new(WaitState {
                stage: Stage::Waiting,
                keys: SmallVec::new(),
            }),
        };
        let arguments: SmallVec<[usize; 2]> = wish.keys.clone().collect();
        let keys = waiter.fingerprints(self.shared.keyspace, &arguments);
        waiter.state.get_mut().keys = keys;
        waiter
    }

    /// Goes on with a blocked command: it was called, or has got its locks, or its time is over.
    pub(super) fn blocked_resume(
        &mut self,
        token: Token,
        mut blocked: Box<Blocked>,
        client: &mut Client,
        since_us: u64,
        out: &mut Vec<u8>,
    ) -> Flow {
        let stage = blocked.waiter.state.lock().stage;
        if let Stage::Called(argument) = stage {
            let waiter = blocked.waiter.clone();
            let needs = || self.needs(&waiter, argument);
            let admitted = match blocked.wait.take() {
                Some(wait) => self.keeper.advance(wait, token, needs),
                None => self.keeper.admit(needs, token),
            };
            match admitted {
                Ok(mut grants) => {
                    let served = self.run_called(&blocked.waiter, argument, &mut grants);
                    self.keeper.release(grants);
                    if let Some(served) = served {
                        self.answer_served(&blocked, &served, client, out);
                        return Flow::Done;
                    }
                }
                Err(wait) => blocked.wait = Some(wait),
            }
        }
        let now_us = clock::monotonic_us();
        if blocked.due_us.is_some_and(|due_us| due_us <= now_us) {
            if self.give_up(&mut blocked) {
                self.end_wait(client);
                RespWriter::new(out, client.protocol).null_array();
                return Flow::Done;
            }
            // Somebody has served it; the reply is on its way.
            blocked.due_us = None;
        }
        self.put_back(token, client, since_us, Kind::Blocked(blocked))
    }

    /// Hands a client the reply that another command's commit has brought about.
    pub fn served(&mut self, served: &Served, client: &mut Client, out: &mut Vec<u8>) -> Flow {
        let Some(Work { kind, .. }) = self.works.take(served.token) else {
            return Flow::Parked;
        };
        let Kind::Blocked(blocked) = kind else {
            unreachable!("only blocked commands are served");
        };
        debug_assert!(blocked.wait.is_none(), "who is served was not called");
        client.parked = None;
        let mark = out.len();
        self.answer_served(&blocked, served, client, out);
        Self::apply_reply_mode(client, out, mark, Flow::Done);
        Flow::Done
    }

    fn answer_served(
        &mut self,
        blocked: &Blocked,
        served: &Served,
        client: &mut Client,
        out: &mut Vec<u8>,
    ) {
        let waiter = &blocked.waiter;
        self.end_wait(client);
        out.extend_from_slice(&served.reply);
        let args = waiter.args.as_args();
        self.note_served(waiter.entry, client, &args, blocked.ran, served);
    }

    /// Ends the wait of a blocked command as its timeout would. `false`: its reply is on its way.
    pub(super) fn unblock_waiter(
        &mut self,
        token: Token,
        client: &mut Client,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(Work { kind, since_us, .. }) = self.works.take(token) else {
            return false;
        };
        let Kind::Blocked(mut blocked) = kind else {
            unreachable!("the caller has looked");
        };
        if !self.give_up(&mut blocked) {
            self.put_back(token, client, since_us, Kind::Blocked(blocked));
            return false;
        }
        client.parked = None;
        self.end_wait(client);
        RespWriter::new(out, client.protocol).null_array();
        true
    }

    /// Forgets the blocked command of a client that has left.
    pub(super) fn cancel_blocked(&mut self, mut blocked: Blocked) {
        // Where somebody has served it, the reply finds nobody.
        self.give_up(&mut blocked);
        self.stats().blocked_clients.lower();
    }

    /// Ends a wait without an answer. `false`: somebody has served it already.
    fn give_up(&mut self, blocked: &mut Blocked) -> bool {
        let waiter = &blocked.waiter;
        let mut state = waiter.state.lock();
        let stage = std::mem::replace(&mut state.stage, Stage::Over);
        if stage == Stage::Over {
            return false;
        }
        self.shared.waiters.leave(waiter, &state);
        let keys = state.keys.clone();
        drop(state);
        if let Some(wait) = blocked.wait.take() {
            self.keeper.cancel(wait);
        }
        if matches!(stage, Stage::Called(_)) {
            for (fingerprint, _) in keys {
                self.call_first(fingerprint);
            }
        }
        true
    }

    fn end_wait(&mut self, client: &Client) {
        client.info.set_flag(ClientFlags::BLOCKED, false);
        self.stats().blocked_clients.lower();
    }

    /// The locks under which a waiter's command may be run again.
    fn needs(&self, waiter: &Waiter, argument: usize) -> Footprint {
        let keyspace = self.shared.keyspace;
        let db = keyspace.physical(waiter.db);
        let args = waiter.args.as_args();
        let mut footprint =
            Footprint::single(keyspace.fingerprint(db, args.get(argument)), waiter.mode);
        for (index, mode) in &waiter.others {
            footprint.insert(keyspace.fingerprint(db, args.get(*index)), *mode);
        }
        footprint
    }

    /// Counts a command that has begun to wait, and tells how long it ran until then.
    fn note_blocked(&mut self, entry: &Entry) -> Duration {
        let now = Instant::now();
        let ran = now.duration_since(self.clock);
        self.clock = now;
        let shard = self.stats();
        shard
            .command(entry.number as usize)
            .ran(ran.as_nanos() as u64, false);
        shard.commands_processed.add(1);
        ran
    }
}

/// A request as retries shall read it.
fn resolved(args: Args<'_>, wish: &Wish) -> OwnedArgs {
    if wish.resolved.is_empty() {
        return OwnedArgs::from(args);
    }
    let mut slices: Vec<&[u8]> = args.iter().collect();
    for (index, argument) in &wish.resolved {
        slices[*index] = argument;
    }
    OwnedArgs::from(Args::from_slices(&slices))
}
