//! Writing entries: alone, or in the place of what this replica knows of their key.

use crate::ask;
use crate::database::{Database, Parts};
use crate::error::{ReadError, WriteError};
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, FeedName, Timestamp};
use kappadb_entry::rules::{self, Links, Version};
use kappadb_entry::{Header, Kind, Places, encode_block};
use kappadb_feed::Append;
use kappadb_query::Selector;
use kappadb_view::{Index, View, ViewError, ViewHandle};
use std::collections::BTreeMap;

/// An entry to be. What it replaces is worked out where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// What sort of entry.
    pub kind: Kind,
    /// What it is about, within the space of its kind.
    pub key: Option<Vec<u8>>,
    /// Where it is.
    pub places: Places,
    /// The keys, in the same space, that it refers to.
    pub refs: Vec<Vec<u8>>,
    /// Its content. What does not fit into a block is written into blocks of its own.
    pub payload: Vec<u8>,
    /// When it was made, if that is not now: of what comes from elsewhere and has a date.
    pub time: Option<Timestamp>,
}

impl Draft {
    /// An entry about nothing, nowhere, without content.
    pub fn new(kind: Kind) -> Draft {
        Draft { kind, key: None, places: Places::NOWHERE, refs: Vec::new(), payload: Vec::new(), time: None }
    }
}

/// An index of keyed entries, so that a write can name what it replaces.
pub trait KeyedIndex: Index {
    /// The versions of a key that no other makes redundant, ascending by id.
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError>;
}

impl KeyedIndex for kappadb_view_geo::MapIndex {
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        kappadb_view_geo::MapIndex::active(self, key)
    }
}

impl KeyedIndex for kappadb_view_chat::ChatIndex {
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        kappadb_view_chat::ChatIndex::active(self, key)
    }
}

impl KeyedIndex for kappadb_view_kv::KvIndex {
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        kappadb_view_kv::KvIndex::active(self, key)
    }
}

impl Database {
    /// Appends entries that replace nothing, in one durable batch.
    pub async fn write(&self, drafts: Vec<Draft>) -> Result<Vec<EntryId>, WriteError> {
        self.run_writing(move |parts| {
            let _guard = parts.writing();
            let feed = parts.writer()?;
            let blocks =
                drafts.into_iter().map(|draft| parts.block(draft, &[], &feed)).collect::<Result<_, _>>()?;
            parts.append(feed, blocks)
        })
        .await?
    }

    /// Appends an entry that replaces all heads of its key that `view` knows here. Durable when it returns.
    pub async fn replace<V: View<Index: KeyedIndex>>(
        &self,
        view: &ViewHandle<V>,
        draft: Draft,
    ) -> Result<EntryId, WriteError> {
        let view = view.clone();
        self.run_writing(move |parts| {
            let _guard = parts.writing();
            parts.replace(&view, draft)
        })
        .await?
    }
}

impl Parts {
    /// As [`Database::replace`]. The caller holds the writing lock.
    pub(crate) fn replace<V: View<Index: KeyedIndex>>(
        &self,
        view: &ViewHandle<V>,
        draft: Draft,
    ) -> Result<EntryId, WriteError> {
        let feed = self.writer()?;
        let active = active(view, draft.key.as_deref().unwrap_or_default())?;
        let block = self.block(draft, &active, &feed)?;
        let ids = self.append(feed, vec![block])?;
        ids.first().copied().ok_or(WriteError::Read(ReadError::Closed))
    }

    /// The block of a draft by `feed` that replaces all heads among `active`. A payload too large for it is appended at once.
    pub(crate) fn block(
        &self,
        draft: Draft,
        active: &[Version],
        feed: &FeedKey,
    ) -> Result<Bytes, WriteError> {
        let heads: Vec<EntryId> = rules::heads(active).iter().map(|version| version.id).collect();
        let links = self.within_known(&draft, rules::succeed(active, &heads, feed), feed);
        self.linked_block(draft, links, feed)
    }

    /// The same links without what they name beyond what is known to exist: of a feed, what its newest head here says, or else what a peer
    /// claimed of it that answered for this key. (A head comes only with blocks of its feed, and these need not come if they are redundant.)
    fn within_known(&self, draft: &Draft, links: Links, writer: &FeedKey) -> Links {
        let held = |name: &FeedName| self.feeds.length_of(name);
        let is_known = links.context.vector.iter().all(|(name, seq)| *seq < held(name));
        let answered = if is_known { BTreeMap::new() } else { self.answered(draft) };
        links.within(writer, |name| match answered.get(name) {
            Some(length) if *name != writer.name() => held(name).max(*length),
            _ => held(name),
        })
    }

    /// Up to where of each feed all is known that concerns the key of a draft.
    fn answered(&self, draft: &Draft) -> BTreeMap<FeedName, u64> {
        let view = ask::view_of(draft.kind.space);
        let question = view.zip(draft.key.clone()).map(|(view, key)| (view, Selector::keys([key])));
        let lengths = question.map(|(view, selector)| self.shown(view, &selector, &self.ground()));
        lengths.into_iter().flatten().map(|(feed, length)| (feed.name(), length)).collect()
    }

    /// The same with the links that it is to have.
    pub(crate) fn linked_block(
        &self,
        draft: Draft,
        links: Links,
        feed: &FeedKey,
    ) -> Result<Bytes, WriteError> {
        let Draft { kind, key, places, refs, payload, time } = draft;
        let mut header =
            Header { key, places, ..Header::new(kind, time.unwrap_or_else(|| self.clock.now())) };
        header.set_refs(refs);
        links.apply_to(&mut header);
        let payload = self.fit(*feed, &mut header, payload)?;
        Ok(encode_block(&header, &payload)?)
    }

    /// Appends blocks to an own feed, durably.
    pub(crate) fn append(&self, feed: FeedKey, blocks: Vec<Bytes>) -> Result<Vec<EntryId>, WriteError> {
        let ranges = self.feeds.append(vec![Append { feed, blocks }])?;
        Ok(ranges.into_iter().flatten().map(|seq| EntryId { feed, seq }).collect())
    }
}

/// The active versions of a key, among all that is held now.
pub(crate) fn active<V: View<Index: KeyedIndex>>(
    view: &ViewHandle<V>,
    key: &[u8],
) -> Result<Vec<Version>, ReadError> {
    view.ready()?;
    Ok(view.read(|index| index.active(key))??)
}
