//! A database that stays open from one command of a batch to the next.

use super::LINGER;
use kappadb::{Database, EntryId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The database, once a command has opened it. Clones are the same.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Option<Opened>>>);

struct Opened {
    database: Database,
    /// What was written last before it was opened.
    before: Option<EntryId>,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Option<Opened>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database, if it is open.
    pub fn get(&self) -> Option<Database> {
        self.lock().as_ref().map(|opened| opened.database.clone())
    }

    /// Keeps what was just opened.
    pub(super) async fn keep(&self, database: &Database) -> anyhow::Result<()> {
        let before = database.last_written().await?;
        *self.lock() = Some(Opened { database: database.clone(), before });
        Ok(())
    }

    /// Closes it, if it is open; who follows what was written gets it before.
    pub async fn close(&self) -> anyhow::Result<()> {
        let opened = self.lock().take();
        let Some(Opened { database, before }) = opened else { return Ok(()) };
        let last = database.last_written().await?;
        if let Some(written) = last.filter(|_| last != before) {
            let _delivery = database.deliver(written, LINGER).await?;
        }
        Ok(database.close().await?)
    }
}
