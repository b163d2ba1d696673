//! Whether what was written here has reached anybody.

use crate::database::Database;
use crate::error::ReadError;
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::decode_block;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a session lasts before it is believed that the peer asks for nothing live.
const ASKED: Duration = Duration::from_millis(300);

/// Whom an entry has reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Peers that have confirmed, since this replica was opened, that they hold it durably.
    pub held_by: BTreeSet<FeedKey>,
    /// Peers that are connected and asked for such entries live, and have not confirmed it yet.
    pub awaited: BTreeSet<FeedKey>,
}

impl Database {
    /// Whom an entry that was written here has reached. A peer that follows what it belongs to says so when it holds it durably; of one that only asks now
    /// and then, nothing is known.
    ///
    /// # Errors
    /// If it cannot be read here.
    pub async fn delivery(&self, id: EntryId) -> Result<Delivery, ReadError> {
        self.run(move |parts| {
            let header = match parts.feeds.block(&id)? {
                Some(block) => decode_block(&block).ok().map(|entry| entry.header),
                None => None,
            };
            let held_by = parts.standing.holders(&id);
            let mut awaited = header.map(|header| parts.standing.wanted_by(&header)).unwrap_or_default();
            awaited.retain(|peer| !held_by.contains(peer));
            Ok(Delivery { held_by, awaited })
        })
        .await?
    }

    /// Waits until an entry that was written here has reached all connected peers that follow what it belongs to, `within` at most, and says whom it has
    /// reached. If nobody is connected, or nobody wants it, that is said at once, or as soon as those with whom a session was just begun have had
    /// time to ask.
    ///
    /// # Errors
    /// If it cannot be read here.
    pub async fn deliver(&self, id: EntryId, within: Duration) -> Result<Delivery, ReadError> {
        let begun = Instant::now();
        let mut changes = self.parts.standing.changes();
        loop {
            let delivery = self.delivery(id).await?;
            let patience = match delivery {
                Delivery { ref awaited, .. } if !awaited.is_empty() => within,
                Delivery { ref held_by, .. } if !held_by.is_empty() => return Ok(delivery),
                _ if !self.parts.links.is_connected() => return Ok(delivery),
                _ => ASKED.min(within),
            };
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() || timeout(left, changes.changed()).await.is_err() {
                return self.delivery(id).await;
            }
        }
    }

    /// The last entry that was written here since the database was opened, if any was.
    ///
    /// # Errors
    /// If the database is closed.
    pub async fn last_written(&self) -> Result<Option<EntryId>, ReadError> {
        self.run(|parts| {
            let last = parts.grown().into_iter().max_by_key(|(_, length)| *length);
            Ok(last.map(|(feed, length)| EntryId { feed, seq: length - 1 }))
        })
        .await?
    }
}
