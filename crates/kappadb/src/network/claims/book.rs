//! The book of claims: what completed questions have shown this replica to hold. Derived data: losing any of it is safe, it only makes
//! answers look less complete than they are. So nothing here is ever waited for, and an error is a line in the log.
//!
//! | key | value |
//! |---|---|
//! | `0`, use u64 | [`Row`]; those used least recently come first |
//! | `1`, H of it | [`Lengths`] that rows name: questions of one time share theirs |
//!
//! A claim is worth as much as those on whose word it rests: so each says who these are, and goes when one of them is not to be believed.
//!
//! Bounded in number and bytes. What was used least recently goes.

use super::super::ask::FEEDS;
use super::claim::{AsOf, Claims, Lengths, by_word, each, keep_better, weight};
use crate::folder::derived::CLAIMS;
use bincode::{Decode, Encode};
use kappadb_core::{FeedKey, Hash, Timestamp, blake2b256, codec};
use kappadb_query::Selector;
use kappadb_store::{Batch, Store, StoreError, Tree, prefix_range};
use kappadb_sync::Words;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Raised whenever a row's meaning changes: older ones are of no use.
const FORMAT: u8 = 2;
/// Claims that are kept: each question looks through all of them.
const MOST: usize = 2_000;
/// Bytes of all that is kept, about, in memory and on disk.
const MOST_BYTES: usize = 4 << 20;
/// Bytes of a claim beside its selector and its lengths, about.
const OVERHEAD: usize = 128;
const MAX_ROW: usize = 64 << 20;

const CLAIM: u8 = 0;
const LENGTHS: u8 = 1;

/// What a claim rests on beside what is held. Where it is another, the claim says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Footing {
    /// The entries that all who took part had left out, hashed; none if there were none.
    pub ground: Option<Hash>,
    /// How often what was held of a feed had been given up by then.
    pub forgotten: u64,
}

/// What is asked for: a selector of a view.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Question {
    pub view: String,
    pub selector: Selector,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
struct Row {
    format: u8,
    question: Question,
    footing: Footing,
    /// When the answer was last complete, and on whose word.
    complete: Option<(i64, Words)>,
    lengths: Hash,
}

/// The book. Its rows are read when it is first looked into.
pub(crate) struct Book {
    store: Arc<dyn Store>,
    open: Mutex<Option<Open>>,
}

/// The rows, in memory.
struct Open {
    tree: Arc<dyn Tree>,
    claims: BTreeMap<u64, (Row, usize)>,
    lengths: HashMap<Hash, (Arc<Lengths>, usize)>,
    next: u64,
    bytes: usize,
    batch: Batch,
}

impl Question {
    fn covers(&self, other: &Question) -> bool {
        // Who has all of the feeds has also what is redundant, whatever a view asks.
        self.view == FEEDS || (self.view == other.view && self.selector.covers(&other.selector))
    }
}

impl Book {
    pub fn new(store: Arc<dyn Store>) -> Book {
        Book { store, open: Mutex::default() }
    }

    /// Up to which seq of each feed all is held that this question needs; only as far as that rests on nobody's word who was not asked, if it is to
    /// be `direct`.
    pub fn claims(&self, question: &Question, footing: &Footing, direct: bool) -> Claims {
        let mut open = self.lock();
        let Some(open) = open.as_mut() else { return Claims::new() };
        let mut best = Claims::new();
        for lengths in open.covering(question, footing) {
            each(&lengths).filter(|(_, claim)| !direct || claim.words.is_direct()).for_each(
                |(feed, claim)| {
                    keep_better(&mut best, feed, claim);
                },
            );
        }
        open.write();
        best
    }

    /// When an answer that has all of this one was last complete, and on whose word; of those alone that were direct, if it is to be.
    pub fn complete_as_of(&self, question: &Question, footing: &Footing, direct: bool) -> Option<AsOf> {
        self.lock().as_ref()?.complete_as_of(question, footing, direct)
    }

    /// The same, if that needs no waiting and no disk.
    pub fn complete_as_of_at_once(&self, question: &Question, footing: &Footing) -> Option<Option<AsOf>> {
        let open = self.open.try_lock().ok()?;
        Some(open.as_ref()?.complete_as_of(question, footing, false))
    }

    /// Records what an answer has shown. `complete` is when that was, if it was complete, and on whose word.
    pub fn record(&self, question: Question, footing: Footing, claims: Claims, complete: Option<AsOf>) {
        if let Some(open) = self.lock().as_mut() {
            open.record(question, footing, claims, complete);
            open.write();
        }
    }

    /// Forgets whatever may rest on the word of this peer. Durable when it returns, unless the store fails.
    pub fn forget(&self, peer: &FeedKey) {
        if let Some(open) = self.lock().as_mut() {
            open.forget(peer);
            open.write();
        }
        let _ = self.store.flush().inspect_err(note);
    }

    /// The rows; none if they cannot be read.
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Open::read(&*self.store).inspect_err(note).ok();
        }
        open
    }
}

fn note(error: &StoreError) {
    tracing::warn!(%error, "what earlier questions have shown cannot be read or kept");
}

impl Open {
    fn read(store: &dyn Store) -> Result<Open, StoreError> {
        let tree = store.tree(CLAIMS)?;
        let (claims, lengths) = (BTreeMap::new(), HashMap::new());
        let mut open = Open { tree: tree.clone(), claims, lengths, next: 0, bytes: 0, batch: Batch::new() };
        for row in prefix_range(&*tree, &[LENGTHS]) {
            let (key, value) = row?;
            match codec::decode::<Lengths, MAX_ROW>("claims", &value) {
                Ok(lengths) if key.get(1..) == Some(&blake2b256(&[&value]).0[..]) => {
                    open.lengths.insert(blake2b256(&[&value]), (Arc::new(lengths), 0));
                }
                _ => open.batch.delete(key),
            }
        }
        for row in prefix_range(&*tree, &[CLAIM]) {
            let (key, value) = row?;
            let used = key.last_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            let row = codec::decode::<Row, MAX_ROW>("claim", &value).ok();
            let row = row.filter(|row| row.format == FORMAT && open.lengths.contains_key(&row.lengths));
            match used.zip(row) {
                Some((used, row)) => open.insert(used, row, value.len()),
                None => open.batch.delete(key),
            }
        }
        let unused = open.lengths.iter().filter(|(_, (_, users))| *users == 0).map(|(hash, _)| *hash);
        for hash in unused.collect::<Vec<_>>() {
            open.lengths.remove(&hash);
            open.batch.delete(lengths_key(&hash));
        }
        Ok(open)
    }

    fn complete_as_of(&self, question: &Question, footing: &Footing, direct: bool) -> Option<AsOf> {
        let claims = self.claims.values().map(|(row, _)| row);
        let covering = claims.filter(|row| row.footing == *footing && row.question.covers(question));
        let complete = covering.filter_map(|row| row.complete.as_ref());
        let latest = complete.filter(|(_, words)| !direct || words.is_direct()).max_by_key(|(time, _)| *time);
        latest.map(|(time, words)| (Timestamp(*time), words.clone()))
    }

    /// What the claims say that cover a question. They have been used now.
    fn covering(&mut self, question: &Question, footing: &Footing) -> Vec<Arc<Lengths>> {
        let covers =
            |(_, (row, _)): &(&u64, &(Row, usize))| row.footing == *footing && row.question.covers(question);
        let used: Vec<u64> = self.claims.iter().filter(covers).map(|(used, _)| *used).collect();
        let named: BTreeSet<Hash> =
            used.iter().filter_map(|used| self.claims.get(used)).map(|(row, _)| row.lengths).collect();
        // Those used lately stay where they are: else each look would be a write.
        let stale = self.next.saturating_sub(self.claims.len() as u64 / 4);
        for before in used.into_iter().filter(|used| *used < stale) {
            if let Some((row, lengths)) = self.take(before) {
                self.add(row, lengths);
            }
        }
        named.iter().filter_map(|hash| self.lengths.get(hash)).map(|(lengths, _)| lengths.clone()).collect()
    }

    fn record(&mut self, question: Question, footing: Footing, mut claims: Claims, complete: Option<AsOf>) {
        let same = |(_, (row, _)): &(&u64, &(Row, usize))| row.question == question;
        let before = self.claims.iter().find(same).map(|(used, _)| *used).and_then(|used| self.take(used));
        let before = before.filter(|(row, _)| row.footing == footing);
        for (feed, claim) in before.iter().flat_map(|(_, lengths)| each(lengths)) {
            keep_better(&mut claims, feed, claim);
        }
        let before = before.and_then(|(row, _)| row.complete);
        let complete = complete.map(|(time, words)| (time.0, words));
        let complete = before.into_iter().chain(complete).max_by_key(|(time, _)| *time);
        self.put(Row { format: FORMAT, question, footing, complete, lengths: Hash([0; 32]) }, &claims);
        while self.bytes > MOST_BYTES || self.claims.len() > MOST {
            let Some((&oldest, _)) = self.claims.first_key_value() else { break };
            self.take(oldest);
        }
    }

    /// Forgets whatever may rest on the word of this peer.
    fn forget(&mut self, peer: &FeedKey) {
        let rests_on = |row: &Row, lengths: &Lengths| {
            let complete = row.complete.as_ref().is_some_and(|(_, words)| words.rests_on(peer));
            complete || lengths.iter().any(|(words, _)| words.rests_on(peer))
        };
        let lengths = |row: &Row| self.lengths.get(&row.lengths).map(|(lengths, _)| lengths.clone());
        let resting =
            self.claims.iter().filter(|(_, (row, _))| lengths(row).is_some_and(|all| rests_on(row, &all)));
        for used in resting.map(|(used, _)| *used).collect::<Vec<_>>() {
            let Some((row, lengths)) = self.take(used) else { continue };
            let claims = each(&lengths).filter(|(_, claim)| !claim.words.rests_on(peer)).collect();
            let complete = row.complete.filter(|(_, words)| !words.rests_on(peer));
            self.put(Row { complete, ..row }, &claims);
        }
    }

    /// Puts what is claimed behind all others, unless that is nothing.
    fn put(&mut self, row: Row, claims: &Claims) {
        if claims.is_empty() && row.complete.is_none() {
            return;
        }
        let lengths = by_word(claims);
        let hash = blake2b256(&[&codec::encode(&lengths)]);
        self.add(Row { lengths: hash, ..row }, Arc::new(lengths));
    }

    /// Puts a claim behind all others.
    fn add(&mut self, row: Row, lengths: Arc<Lengths>) {
        let (used, value) = (self.next, codec::encode(&row));
        if !self.lengths.contains_key(&row.lengths) {
            self.batch.put(lengths_key(&row.lengths), codec::encode(&*lengths));
            self.lengths.insert(row.lengths, (lengths, 0));
        }
        let bytes = value.len();
        self.batch.put(claim_key(used), value);
        self.insert(used, row, bytes);
    }

    fn insert(&mut self, used: u64, row: Row, bytes: usize) {
        if let Some((lengths, users)) = self.lengths.get_mut(&row.lengths) {
            self.bytes += bytes + OVERHEAD + if *users == 0 { weight(lengths) } else { 0 };
            *users += 1;
        }
        self.next = self.next.max(used + 1);
        self.claims.insert(used, (row, bytes));
    }

    /// Takes a claim out, with what it said.
    fn take(&mut self, used: u64) -> Option<(Row, Arc<Lengths>)> {
        let (row, bytes) = self.claims.remove(&used)?;
        self.batch.delete(claim_key(used));
        self.bytes -= bytes + OVERHEAD;
        let (lengths, users) = self.lengths.get_mut(&row.lengths)?;
        let said = lengths.clone();
        *users -= 1;
        if *users == 0 {
            self.lengths.remove(&row.lengths);
            self.bytes -= weight(&said);
            self.batch.delete(lengths_key(&row.lengths));
        }
        Some((row, said))
    }

    /// Writes what has changed. It lasts after the store's next flush; nobody waits for that.
    fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if !batch.is_empty()
            && let Err(error) = self.tree.apply(&batch)
        {
            note(&error);
        }
    }
}

fn claim_key(used: u64) -> Vec<u8> {
    [&[CLAIM], used.to_be_bytes().as_slice()].concat()
}

fn lengths_key(hash: &Hash) -> Vec<u8> {
    [&[LENGTHS], hash.0.as_slice()].concat()
}

#[cfg(test)]
mod tests;
