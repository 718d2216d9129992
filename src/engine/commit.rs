//! The end of a transaction, and the texts for when the journal refuses it.

use super::outbox::Outbox;
use super::shared::Shared;
use super::worker::Worker;
use crate::command::Error;
use crate::keyspace::Txn;
use aidb::WriteBatch;

/// The reply to a command whose code panicked.
pub const PANICKED: Error =
    Error::text("ERR internal error: the command failed and was rolled back; see the server's log");

/// What a client reads when its write cannot be kept.
pub fn refusal(error: &aidb::Error) -> Error {
    let why = match error {
        aidb::Error::DiskFull { .. } => "No space left on device".to_owned(),
        other => other.to_string(),
    };
    Error::Other(format!("MISCONF Errors writing to the AOF file: {why}").into())
}

/// Has the journal take a batch that is no transaction on keys.
pub fn append(shared: &Shared, batch: &WriteBatch) -> Result<(), Error> {
    let appended = shared.journal.append(batch);
    appended.map(drop).map_err(|error| refusal(&error))
}

/// Commits a transaction, and hands over its side effects while its keys are still kept from others.
#[inline]
pub fn commit(txn: &mut Txn<'_>, outbox: &mut Outbox) -> Result<(), Error> {
    let committed = txn.commit(&outbox.shared.journal);
    committed.map_err(|error| refusal(&error))?;
    outbox.hand_over(txn.effects_mut());
    Ok(())
}

impl Worker {
    /// Commits what the buffers hold, or takes it back with an error.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        let shared = self.shared;
        let mut txn = Txn::new(shared.keyspace, &mut self.buffers, 0, self.now_ms);
        commit(&mut txn, &mut self.outbox)
    }

    /// Takes back what the buffers hold.
    pub(super) fn rollback(&mut self) {
        Txn::new(self.shared.keyspace, &mut self.buffers, 0, self.now_ms).rollback();
    }
}
