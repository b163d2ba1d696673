//! The book of claims: what completed questions have shown this replica to hold. Derived data: losing any of it is safe, it only makes
//! answers look less complete than they are. So nothing here is ever waited for, and an error is a line in the log.
//!
//! | key | value |
//! |---|---|
//! | `0`, use u64 | [`Row`]; those used least recently come first |
//! | `1`, H of it | [`Lengths`] that rows name: questions of one time share theirs |
//!
//! Bounded in number and bytes. What was used least recently goes.

use super::super::ask::FEEDS;
use crate::folder::derived::CLAIMS;
use bincode::{Decode, Encode};
use kappadb_core::{FeedKey, Hash, Seq, Timestamp, blake2b256, codec};
use kappadb_query::Selector;
use kappadb_store::{Batch, Store, StoreError, Tree, prefix_range};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Raised whenever a row's meaning changes: older ones are of no use.
const FORMAT: u8 = 1;
/// Claims that are kept: each question looks through all of them.
const MOST: usize = 2_000;
/// Bytes of all that is kept, about, in memory and on disk.
const MOST_BYTES: usize = 4 << 20;
/// Bytes of a claim beside its selector and its lengths, about.
const OVERHEAD: usize = 128;
const MAX_ROW: usize = 64 << 20;

const CLAIM: u8 = 0;
const LENGTHS: u8 = 1;

/// Up to which seq of each feed all is held here that a selector matches. Ascending by feed.
pub(crate) type Lengths = Vec<(FeedKey, Seq)>;

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
    /// When the answer was last complete.
    complete: Option<i64>,
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

    /// Up to which seq of each feed all is held that this question needs.
    pub fn lengths(&self, question: &Question, footing: &Footing) -> BTreeMap<FeedKey, Seq> {
        let mut open = self.lock();
        let Some(open) = open.as_mut() else { return BTreeMap::new() };
        let mut longest = BTreeMap::new();
        for lengths in open.covering(question, footing) {
            for (feed, length) in &*lengths {
                let best: &mut Seq = longest.entry(*feed).or_default();
                *best = (*best).max(*length);
            }
        }
        open.write();
        longest
    }

    /// When an answer that has all of this one was last complete.
    pub fn complete_as_of(&self, question: &Question, footing: &Footing) -> Option<Timestamp> {
        self.lock().as_ref()?.complete_as_of(question, footing)
    }

    /// The same, if that needs no waiting and no disk.
    pub fn complete_as_of_at_once(
        &self,
        question: &Question,
        footing: &Footing,
    ) -> Option<Option<Timestamp>> {
        let open = self.open.try_lock().ok()?;
        Some(open.as_ref()?.complete_as_of(question, footing))
    }

    /// Records what an answer has shown. `complete` is when that was, if it was complete.
    pub fn record(
        &self,
        question: Question,
        footing: Footing,
        lengths: &BTreeMap<FeedKey, Seq>,
        complete: Option<Timestamp>,
    ) {
        if let Some(open) = self.lock().as_mut() {
            open.record(question, footing, lengths, complete);
            open.write();
        }
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

    fn complete_as_of(&self, question: &Question, footing: &Footing) -> Option<Timestamp> {
        let claims = self.claims.values();
        let covering = claims.filter(|(row, _)| row.footing == *footing && row.question.covers(question));
        covering.filter_map(|(row, _)| row.complete).max().map(Timestamp)
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

    fn record(
        &mut self,
        question: Question,
        footing: Footing,
        lengths: &BTreeMap<FeedKey, Seq>,
        complete: Option<Timestamp>,
    ) {
        let same = |(_, (row, _)): &(&u64, &(Row, usize))| row.question == question;
        let before = self.claims.iter().find(same).map(|(used, _)| *used).and_then(|used| self.take(used));
        let before = before.filter(|(row, _)| row.footing == footing);
        let mut all = lengths.clone();
        for (feed, length) in before.iter().flat_map(|(_, lengths)| lengths.iter()) {
            let best = all.entry(*feed).or_default();
            *best = (*best).max(*length);
        }
        let complete = complete.map(|time| time.0).max(before.and_then(|(row, _)| row.complete));
        if all.is_empty() && complete.is_none() {
            return;
        }
        let lengths: Lengths = all.into_iter().collect();
        let hash = blake2b256(&[&codec::encode(&lengths)]);
        self.add(Row { format: FORMAT, question, footing, complete, lengths: hash }, Arc::new(lengths));
        while self.bytes > MOST_BYTES || self.claims.len() > MOST {
            let Some((&oldest, _)) = self.claims.first_key_value() else { break };
            self.take(oldest);
        }
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

fn weight(lengths: &Lengths) -> usize {
    lengths.len() * size_of::<(FeedKey, Seq)>()
}

fn claim_key(used: u64) -> Vec<u8> {
    [&[CLAIM], used.to_be_bytes().as_slice()].concat()
}

fn lengths_key(hash: &Hash) -> Vec<u8> {
    [&[LENGTHS], hash.0.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_store::MemoryStore;

    const FOOTING: Footing = Footing { ground: None, forgotten: 0 };

    fn feed(n: u64) -> FeedKey {
        FeedKey(blake2b256(&[&n.to_le_bytes()]).0)
    }

    fn key(n: u64) -> Question {
        Question { view: "kv".to_owned(), selector: Selector::keys([n.to_be_bytes()]) }
    }

    fn claimed(all: impl IntoIterator<Item = (u64, Seq)>) -> BTreeMap<FeedKey, Seq> {
        all.into_iter().map(|(n, length)| (feed(n), length)).collect()
    }

    fn rows(store: &dyn Store) -> usize {
        store.tree(CLAIMS).unwrap().range(std::ops::Bound::Unbounded, std::ops::Bound::Unbounded).count()
    }

    #[test]
    fn what_was_shown_is_known_after_reopening_and_to_narrower_questions() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let book = Book::new(store.clone());
        let all = Question { view: "kv".to_owned(), selector: Selector::Prefix(Vec::new()) };
        book.record(all.clone(), FOOTING, &claimed([(1, 5), (2, 9)]), Some(Timestamp(70)));
        book.record(key(3), FOOTING, &claimed([(1, 7)]), None);
        for book in [book, Book::new(store)] {
            assert_eq!(book.lengths(&key(3), &FOOTING), claimed([(1, 7), (2, 9)]));
            assert_eq!(book.lengths(&key(4), &FOOTING), claimed([(1, 5), (2, 9)]));
            assert_eq!(book.complete_as_of(&key(3), &FOOTING), Some(Timestamp(70)));
            for footing in
                [Footing { forgotten: 1, ..FOOTING }, Footing { ground: Some(Hash([1; 32])), ..FOOTING }]
            {
                assert!(book.lengths(&key(3), &footing).is_empty());
                assert_eq!(book.complete_as_of(&all, &footing), None);
            }
            let other = Question { view: "map".to_owned(), ..key(3) };
            assert!(book.lengths(&other, &FOOTING).is_empty());
        }
    }

    #[test]
    fn a_question_put_again_takes_the_place_of_the_one_before_and_nothing_is_lost() {
        let store = Arc::new(MemoryStore::new());
        let book = Book::new(store.clone());
        book.record(key(1), FOOTING, &claimed([(1, 5), (2, 3)]), Some(Timestamp(70)));
        book.record(key(1), FOOTING, &claimed([(1, 4), (3, 1)]), None);
        assert_eq!(book.lengths(&key(1), &FOOTING), claimed([(1, 5), (2, 3), (3, 1)]));
        assert_eq!(book.complete_as_of(&key(1), &FOOTING), Some(Timestamp(70)));
        assert_eq!(rows(&*store), 2);
        // On another footing nothing of it holds.
        let later = Footing { forgotten: 1, ..FOOTING };
        book.record(key(1), later, &claimed([(1, 2)]), None);
        assert_eq!(book.lengths(&key(1), &later), claimed([(1, 2)]));
        assert_eq!((book.complete_as_of(&key(1), &later), rows(&*store)), (None, 2));
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_in_use_stays() {
        let all = |writers: u64, n: u64| claimed((0..writers).map(|w| (w, n + 1)));
        for (questions, writers, each) in [(2_100, 3, 20), (60, 2_000, 1)] {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let book = Book::new(store.clone());
            for n in 0..questions {
                // As many writers as an answer speaks of, now and then some further on.
                book.record(key(n), FOOTING, &all(writers, n / each), Some(Timestamp(1)));
                assert_eq!(book.lengths(&key(0), &FOOTING).len() as u64, writers, "question {n}");
            }
            is_bounded(&book, &*store);
        }
    }

    fn is_bounded(book: &Book, store: &dyn Store) {
        let open = book.lock();
        let open = open.as_ref().unwrap();
        let weights: usize = open.lengths.values().map(|(lengths, _)| weight(lengths)).sum();
        let bytes: usize = open.claims.values().map(|(_, bytes)| bytes + OVERHEAD).sum();
        assert_eq!(open.bytes, weights + bytes);
        assert!(open.bytes <= MOST_BYTES && open.claims.len() <= MOST);
        assert!(open.bytes > MOST_BYTES / 2 || open.claims.len() == MOST, "{}", open.bytes);
        assert_eq!(rows(store), open.claims.len() + open.lengths.len());
        let read = Open::read(store).unwrap();
        assert_eq!((read.bytes, read.claims.len(), read.next), (open.bytes, open.claims.len(), open.next));
        assert!(read.batch.is_empty());
    }

    #[test]
    fn damaged_rows_are_swept_away() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let book = Book::new(store.clone());
        book.record(key(1), FOOTING, &claimed([(1, 5)]), None);
        book.record(key(2), FOOTING, &claimed([(1, 6)]), None);
        let mut batch = Batch::new();
        batch.put(claim_key(0), vec![7; 9]);
        batch.put([&[LENGTHS][..], &[9; 32]].concat(), codec::encode(&Lengths::new()));
        batch.put(vec![LENGTHS], vec![]);
        store.tree(CLAIMS).unwrap().apply(&batch).unwrap();
        let book = Book::new(store.clone());
        assert!(book.lengths(&key(1), &FOOTING).is_empty());
        assert_eq!(book.lengths(&key(2), &FOOTING), claimed([(1, 6)]));
        assert_eq!(rows(&*store), 2);
    }
}
