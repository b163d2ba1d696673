//! Writing entries of any kind, and the writers of this replica.

use super::Database;
use crate::engine::keyed::KeyedIndex;
use crate::error::{WriteError, WriterError};
use crate::folder::writers::{DEFAULT, WriterInfo};
use crate::write::{Draft, Write};
use kappadb_core::{EntryId, FeedKey};
use kappadb_view::{View, ViewHandle};
use std::sync::Arc;

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
