//! Who may touch which key: footprints, the lock table with its FIFO queues, and the keyspace gate.
//!
//! Work that must not be interleaved (a script, an EXEC, a command on several keys) asks the
//! [`Gate`] for its shared side, then the [`KeyLockManager`] for its [`Footprint`]. Work on the
//! whole keyspace asks the gate for its exclusive side and needs no key lock. A plain command on
//! one key asks the gate only, and reads the lock table only where its stripe says that locks exist.
//!
//! # Invariants
//!
//! **Gate first, then key locks.** Whoever holds a key lock or is queued for one holds the gate
//! shared. Nobody waits for the gate while holding or awaiting a key lock: work that wants the gate
//! exclusive first gives up its locks and its hold. So a closed gate only waits for work that goes on.
//!
//! **Ascending waits.** A waiter waits for one lock at a time, and that lock's fingerprint is above
//! all it holds. Taking a free lock out of order is allowed, since it waits for nobody. Of the locks
//! that people wait for, the holder of the highest waits for none, so there is no cycle.
//!
//! **No barging.** A lock with waiters is granted to nobody but the head of its queue (and the
//! shared waiters right behind a shared head). Who releases a lock hands it to them directly. The
//! one exception waits for nobody either: a sole shared holder may become the exclusive one.
//!
//! **Never idle in the table.** A lock is in the table only while it has a holder, and it has
//! waiters only while it has a holder.
//!
//! **One count per hold.** Every hold of a key lock is one count in its stripe of the keyspace:
//! raised after the hold is in the table and before it is granted, lowered after it left the table.
//! A direct hand-over passes the count on. So a plain command that sees zero under the stripe's
//! mutex knows that no granted lock covers its key. A command that is under that mutex already may
//! finish beside a grant: all data is touched under its stripe's mutex, by lock holders too.
//!
//! **Order of the mutexes.** A request's mutex, then a stripe's mutex, then the lock table. No guard
//! of the table is held across a call to the [`LockHost`], and no request's mutex is taken under a
//! stripe's: under a stripe's mutex only [`KeyLockManager::is_conflicting`] and
//! [`KeyLockManager::visit_exclusive`] may be called.
//!
//! **One wake per wait.** A queued ticket is woken once, when everything it asked for is held. A
//! ticket that was cancelled while it waited is never woken; one that was cancelled after its grant
//! may still be, so the owner of the mailbox ignores tokens that it no longer knows.
//!
//! # Depends on
//!
//! Nothing of ours. The layer above hands in a [`LockHost`]: the stripes' counts and the mailboxes.
//! No async waker is known here, only [`WaiterId`]s.

mod counters;
mod duty;
mod footprint;
mod gate;
mod host;
mod manager;
mod request;
mod sabotage;
mod state;
mod sync;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod model;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod stress;

pub use footprint::{Fingerprint, Footprint, Mode};
pub use gate::{Gate, GateAcquire, GateHold, GateStats, GateTicket};
pub use host::{Cancelled, LockHost, WaiterId, Wake};
pub use manager::{Acquire, Extend, KeyLockManager, LockReport, LockStats, Withdrawn};
pub use request::{Held, Queued, Ticket};
