//! Writing entries of any kind, the writers of this replica, and whom what they wrote has reached.

use super::Database;
use crate::engine::keyed::KeyedIndex;
use crate::error::{ReadError, WriteError, WriterError};
use crate::folder::writers::{DEFAULT, WriterInfo};
use crate::node::Delivery;
use crate::write::{Draft, Write};
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::decode_block;
use kappadb_view::{View, ViewHandle};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

impl Database {
    /// Appends entries that replace nothing, all or none. Durable when it returns.
    pub fn write(&self, drafts: Vec<Draft>) -> Write<Vec<EntryId>, WriteError> {
        Write::shared(&self.parts, move |parts, batch| {
            drafts.into_iter().map(|draft| batch.put(parts, draft, &[])).collect()
        })
    }

    /// Appends an entry that replaces all heads of its key that `view` knows here. Durable when it returns.
    pub fn replace<V: View<Index: KeyedIndex>>(
        &self,
        view: &ViewHandle<V>,
        draft: Draft,
    ) -> Write<EntryId, WriteError> {
        let view = view.clone();
        Write::shared(&self.parts, move |parts, batch| batch.replace(parts, &view, draft))
    }

    /// The feed that this handle writes; made if there is none yet.
    pub fn writer(&self) -> Write<FeedKey, WriteError> {
        Write::shared(&self.parts, |parts, _| parts.writer())
    }

    /// The writers of this replica, by name. The first is called `default` and is made with the first write.
    pub async fn writers(&self) -> Result<Vec<WriterInfo>, WriterError> {
        let names = self.run(|parts| parts.writers()).await?;
        Ok(names.into_iter().map(|(name, feed)| WriterInfo { name, feed }).collect())
    }

    /// Makes a writer: a feed of this replica, under a name of 1 to 96 characters, which does not begin with `imported:`. Durable when it returns.
    ///
    /// # Errors
    /// [`WriterError::Exists`], [`WriterError::Name`].
    pub fn new_writer(&self, name: &str) -> Write<FeedKey, WriterError> {
        let name = name.to_owned();
        Write::apart(&self.parts, move |parts, _| parts.new_writer(&name))
    }

    /// A handle to the same database that writes as this writer, whatever it writes.
    ///
    /// # Errors
    /// [`WriterError::Unknown`].
    pub async fn with_writer(&self, name: &str) -> Result<Database, WriterError> {
        let wanted = name.to_owned();
        let known = self.run(move |parts| wanted == DEFAULT || parts.writers().contains_key(&wanted)).await?;
        if !known {
            return Err(WriterError::Unknown(name.to_owned()));
        }
        Ok(Database { parts: Arc::new(self.parts.named(name)), shared: self.shared.clone() })
    }

    /// Begins a new feed for this handle's writer, which names the one before as what it goes on for. The way back for who
    /// wrote on after restoring an old copy, or whose feed was forked by another copy of this replica.
    pub fn new_feed(&self) -> Write<FeedKey, WriteError> {
        Write::apart(&self.parts, |parts, _| parts.next_feed())
    }
}

/// How long a session lasts before it is believed that the peer asks for nothing live.
const ASKED: Duration = Duration::from_millis(300);
/// How often it is looked whether peers that are called are there.
const LOOK: Duration = Duration::from_millis(50);

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
        let mut called = begun;
        loop {
            let seen = self.parts.standing.changed.count();
            let delivery = self.delivery(id).await?;
            let links = &self.parts.links;
            let is_calling = links.is_calling();
            if is_calling {
                called = Instant::now();
            }
            let left = within.saturating_sub(begun.elapsed());
            let left = match delivery {
                Delivery { ref awaited, .. } if !awaited.is_empty() => left,
                Delivery { ref held_by, .. } if !held_by.is_empty() => return Ok(delivery),
                _ if is_calling => left,
                _ if !links.is_connected() => return Ok(delivery),
                _ => left.min(ASKED.saturating_sub(called.elapsed())),
            };
            if left.is_zero() {
                return Ok(delivery);
            }
            // Of a peer that answers a call nobody is told here.
            let left = if is_calling { left.min(LOOK) } else { left };
            let _ = timeout(left, self.parts.standing.changed.beyond(seen)).await;
        }
    }

    /// The last entry that was written here since the database was opened, if any was.
    ///
    /// # Errors
    /// If the database is closed.
    pub async fn last_written(&self) -> Result<Option<EntryId>, ReadError> {
        self.run(|parts| parts.feeds.last_appended()).await
    }
}
