//! The data: a striped table of entries, and [`Txn`], the only way to change it.
//!
//! Invariants:
//! - One stripe holds the keys of one slice of the hash space, of all databases, under one mutex. A [`Txn`] holds at most
//!   one stripe at a time, so stripes need no order among themselves.
//! - A stripe counts the key locks held in it (`raise`, `lower`). A plain command on one key that sees zero under the
//!   mutex may go ahead without looking at the lock table.
//! - Every change goes through a primitive of [`Txn`], which changes the value, appends the record to the write batch and
//!   keeps what undoes it. Nobody else writes to an entry but recovery.
//! - A logical database number becomes a physical one at the border (`Keyspace::physical`); below it, and on disk, only
//!   physical numbers exist. So SWAPDB is one small record.
//!
//! - A collection is changed through an [`Edit`], element by element; a value as a whole through the methods of [`Txn`].
//!
//! Depends on `value`, `aidb`, `base`.

mod access;
mod awaited;
mod edit;
mod effects;
mod entries;
mod evict;
mod expire;
mod index;
mod load;
mod log;
mod record;
mod scan;
mod sizes;
mod stored;
mod table;
mod txn;
mod undo;
mod watch;

pub use access::{Access, AccessRule};
pub use awaited::Readied;
pub use edit::{Absent, Collection, Edit, WrongType};
pub use effects::{Effect, Effects, Notify};
pub use entries::Entry;
pub use evict::{EvictionPool, Policy, Sampling};
pub use load::{LoadError, Loader};
pub use record::group as record_group;
pub use scan::ScanFilter;
pub use sizes::Resized;
pub use table::{DATABASES_MAX, DbSize, Key, Keyspace};
pub use txn::{Expiry, Savepoint, Txn, TxnBuffers, TxnCounts};
pub use watch::WatchFlag;
