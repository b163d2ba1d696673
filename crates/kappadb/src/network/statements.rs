//! What peers stated under their signature, held against what comes to light later: who has left something out is noted, and its word forgotten.
//! When an entry is evidence, and why never against an honest peer: `design/node.md`, "Evidence of an omission".
//!
//! | key | value |
//! |---|---|
//! | use u64 | [`Kept`]; the oldest go first |
//!
//! Derived data, as the claims are that rest on it: losing it is safe.

use super::Network;
use super::ask::{KV, MAP};
use super::claims::{Footing, group};
use super::forks::{Ground, tag};
use crate::error::ReadError;
use crate::folder::derived::STATEMENTS;
use crate::folder::omissions::{MAX_STATEMENT, Omission};
use bincode::{Decode, Encode};
use kappadb_core::{EntryId, FeedKey, RangeSet, codec};
use kappadb_query::Selector;
use kappadb_store::{Batch, Store, StoreError, Tree};
use kappadb_sync::{Claimed, SignedStatement};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Deref};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Statements that are kept, and their bytes.
const MOST: usize = 256;
const MOST_BYTES: usize = 4 << 20;

/// What somebody stated, and what the answer rested on.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
struct Kept {
    peer: FeedKey,
    footing: Footing,
    statement: SignedStatement,
}

/// What is kept, in memory too.
pub(super) struct Statements {
    store: Arc<dyn Store>,
    /// How often what is held had changed when it was last looked, more by one; 0 if it was not.
    looked: AtomicU64,
    open: Mutex<Option<Open>>,
}

struct Open {
    tree: Arc<dyn Tree>,
    /// With the bytes of each, and how many blocks of its feeds were held when it was last looked at.
    kept: BTreeMap<u64, (Arc<Kept>, usize, u64)>,
    bytes: usize,
}

impl Statements {
    pub fn new(store: Arc<dyn Store>) -> Statements {
        Statements { store, looked: AtomicU64::new(0), open: Mutex::default() }
    }

    /// Does something with what is kept; nothing if it cannot be read.
    fn with<T: Default>(&self, job: impl FnOnce(&mut Open) -> Result<T, StoreError>) -> T {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            *open = Open::read(&*self.store).inspect_err(note).ok();
        }
        let done = open.as_mut().map(job).and_then(|done| done.inspect_err(note).ok());
        done.unwrap_or_default()
    }
}

fn note(error: &StoreError) {
    tracing::warn!(%error, "what peers stated cannot be read or kept");
}

impl Open {
    fn read(store: &dyn Store) -> Result<Open, StoreError> {
        let tree = store.tree(STATEMENTS)?;
        let mut open = Open { tree: tree.clone(), kept: BTreeMap::new(), bytes: 0 };
        for row in tree.range(Bound::Unbounded, Bound::Unbounded) {
            let (key, value) = row?;
            let used = key.as_ref().try_into().ok().map(u64::from_be_bytes);
            let kept = codec::decode::<Kept, { 2 * MAX_STATEMENT }>("statement", &value).ok();
            if let (Some(used), Some(kept)) = (used, kept) {
                open.bytes += value.len();
                open.kept.insert(used, (Arc::new(kept), value.len(), 0));
            }
        }
        Ok(open)
    }

    /// Keeps a statement behind all others; what the peer stated of the same before goes.
    fn keep(&mut self, kept: Kept) -> Result<(), StoreError> {
        let value = codec::encode(&kept);
        if value.len() > MAX_STATEMENT {
            return Ok(());
        }
        let is_same = |old: &Kept| old.peer == kept.peer && old.statement.about == kept.statement.about;
        let same = self.kept.iter().find(|(_, (old, ..))| is_same(old)).map(|(used, _)| *used);
        let mut batch = Batch::new();
        same.iter().for_each(|used| self.take(*used, &mut batch));
        let used = self.kept.last_key_value().map_or(0, |(used, _)| used + 1);
        self.bytes += value.len();
        self.kept.insert(used, (Arc::new(kept), value.len(), 0));
        batch.put(used.to_be_bytes().to_vec(), value);
        while self.bytes > MOST_BYTES || self.kept.len() > MOST {
            let Some((&oldest, _)) = self.kept.first_key_value() else { break };
            self.take(oldest, &mut batch);
        }
        self.tree.apply(&batch)
    }

    fn take(&mut self, used: u64, batch: &mut Batch) {
        if let Some((_, bytes, _)) = self.kept.remove(&used) {
            self.bytes -= bytes;
            batch.delete(used.to_be_bytes().to_vec());
        }
    }
}

/// Holds peers to what they stated.
pub(super) struct Judge<'a>(pub &'a Network);

impl Deref for Judge<'_> {
    type Target = Network;

    fn deref(&self) -> &Network {
        self.0
    }
}

impl Judge<'_> {
    /// Keeps what a peer has signed, if it can be held to that: of questions that each entry answers or not by itself.
    pub fn keep(&self, peer: FeedKey, ground: &Ground, statement: SignedStatement) {
        let selector = Selector::decode(&statement.about.selector);
        let by_itself = matches!(
            selector,
            Ok(Selector::Keys(_) | Selector::Prefix(_) | Selector::Range { .. } | Selector::Boxes { .. })
        );
        if by_itself && [KV, MAP].contains(&&*statement.about.view) {
            let footing = self.footing(ground);
            self.statements.with(|open| open.keep(Kept { peer, footing, statement }));
        }
    }

    /// Holds what is here against what peers have stated. Who has left something out is noted, and its word forgotten.
    pub fn look(&self) {
        let changes = self.feeds.changes() + 1;
        if self.statements.looked.swap(changes, Ordering::Relaxed) != changes
            && let Err(error) = self.hold_to_statements()
        {
            tracing::warn!(%error, "what peers stated cannot be held against what is here");
        }
    }

    fn hold_to_statements(&self) -> Result<(), ReadError> {
        let footing = self.footing(&self.ground());
        let all = self.statements.with(|open| Ok(open.kept.clone()));
        for (used, (kept, _, looked)) in all {
            let held = kept.statement.feeds.iter().map(|of| self.feeds.held(&of.feed).count()).sum();
            if held == looked || kept.footing != footing {
                continue;
            }
            self.statements.with(|open| {
                open.kept.get_mut(&used).into_iter().for_each(|(_, _, looked)| *looked = held);
                Ok(())
            });
            if let Some(entry) = self.omitted(&kept.statement)? {
                self.note_omission(&kept, entry);
            }
        }
        Ok(())
    }

    fn note_omission(&self, kept: &Kept, entry: EntryId) {
        let Kept { peer, statement, .. } = kept.clone();
        self.forget_word(&peer);
        match self.omissions.note(Omission { peer, entry, statement }) {
            Ok(true) => self.own.warn(&format!(
                "peer {peer} has left entry {entry} out of an answer that it signed as whole: nothing rests on its word any more; \
                 `kappa peer remove {peer}` asks it no more"
            )),
            Ok(false) => {}
            Err(error) => tracing::warn!(%peer, %entry, %error, "what a peer left out cannot be written down"),
        }
    }

    /// An entry that the statement should have had, if there is one and nothing can be said for who made it.
    fn omitted(&self, statement: &SignedStatement) -> Result<Option<EntryId>, ReadError> {
        let unsent = |of: &Claimed, ranges: &RangeSet| {
            ranges.intersection(&RangeSet::below(of.claimed.min(of.at))).minus(&of.sent)
        };
        let held = |of: &Claimed| self.feeds.held(&of.feed);
        let is_suspect = |of: &&Claimed| !unsent(of, &held(of)).is_empty();
        // What made an entry redundant may have been lost here since, or count nowhere, and the peer did not know.
        let counts =
            |of: &Claimed| of.sent.minus(&held(of)).is_empty() && self.beyond(&of.feed, &of.sent) == 0;
        let all_counts = statement.feeds.iter().all(counts);
        let suspects: Vec<&Claimed> = statement.feeds.iter().filter(is_suspect).collect();
        let Ok(selector) = Selector::decode(&statement.about.selector) else { return Ok(None) };
        if !all_counts || suspects.is_empty() {
            return Ok(None);
        }
        let view = &statement.about.view;
        self.views.ready(view)?;
        let active = group(self.views.matches(view, &selector, &BTreeSet::new())?);
        for of in suspects {
            let lacking = active.get(&of.feed).map(|ranges| unsent(of, ranges)).unwrap_or_default();
            let first = lacking.iter().next();
            if let Some(seq) = first
                && self.is_history_of(of)?
            {
                return Ok(Some(EntryId { feed: of.feed, seq }));
            }
        }
        Ok(None)
    }

    /// True if what is held of a feed is of the history of which the statement showed the root, all of it.
    fn is_history_of(&self, of: &Claimed) -> Result<bool, ReadError> {
        let is_loose = self.feeds.loose_ends().iter().any(|(feed, _)| *feed == of.feed);
        let root = self.feeds.root_at(&of.feed, of.at)?;
        Ok(!is_loose && root.is_some_and(|root| tag(&root) == of.root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::SecretKey;
    use kappadb_store::MemoryStore;
    use kappadb_sync::About;

    fn kept(peer: u8, question: u64, ranges: u64) -> Kept {
        let key = SecretKey::from_seed(&[peer; 32]);
        let selector = question.to_be_bytes().to_vec();
        let about = About { view: "kv".to_owned(), selector, without: BTreeSet::new() };
        let sent = (0..ranges).map(|n| 2 * n).collect();
        let claimed = Claimed { feed: key.public(), claimed: 9, at: 9, root: [2; 16], sent };
        let statement = SignedStatement::sign(&key, about, vec![claimed]);
        Kept { peer: key.public(), footing: Footing { ground: None, forgotten: 0 }, statement }
    }

    fn all(statements: &Statements) -> Vec<Kept> {
        statements.with(|open| {
            assert_eq!(open.bytes, open.kept.values().map(|(_, bytes, _)| bytes).sum::<usize>());
            Ok(open.kept.values().map(|(kept, ..)| (**kept).clone()).collect())
        })
    }

    #[test]
    fn of_one_peer_and_question_the_last_is_kept_also_after_reopening() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let statements = Statements::new(store.clone());
        for one in [kept(1, 1, 1), kept(2, 1, 1), kept(1, 2, 1), kept(1, 1, 3)] {
            statements.with(|open| open.keep(one));
        }
        let expected = [kept(2, 1, 1), kept(1, 2, 1), kept(1, 1, 3)];
        for statements in [statements, Statements::new(store)] {
            assert_eq!(all(&statements), expected);
        }
    }

    #[test]
    fn what_peers_make_this_replica_keep_is_bounded() {
        for (ranges, at_most) in [(1, MOST), (20_000, 120), (900_000, 0)] {
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
            let statements = Statements::new(store.clone());
            let rounds = if ranges == 1 { 300 } else { 130 };
            let one = kept(1, 0, ranges);
            for question in 0..rounds {
                let mut one = one.clone();
                one.statement.about.selector = question.to_string().into_bytes();
                statements.with(|open| open.keep(one));
            }
            let (now, again) = (all(&statements), all(&Statements::new(store)));
            assert!(now.len() <= at_most && now == again, "{} of {ranges} ranges", now.len());
            assert!(
                now.is_empty()
                    || now.last().unwrap().statement.about.selector == (rounds - 1).to_string().into_bytes()
            );
        }
    }
}
