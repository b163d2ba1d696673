//! Statements that are signed: who turns out to have left something out can be shown to have done so (`design/node.md`, "Evidence of an omission").

use crate::feeds::Stated;
use crate::frame::Question;
use crate::ledger::Ledger;
use bincode::{Decode, Encode};
use kappadb_core::{FeedKey, Hash, KeyError, RangeSet, SecretKey, Seq, Signature, blake2b256, codec};
use std::collections::{BTreeMap, BTreeSet};

/// Raised whenever a release leaves out of answers something else than the one before: nobody is held to other rules than his own.
pub(crate) const RULES: u8 = 1;

const DOMAIN: &[u8] = b"kappadb statement";

/// The first bytes of a root: as many as nobody finds two histories for.
pub type RootTag = [u8; 16];

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct About {
    /// The view's name.
    pub view: String,
    /// An encoded [`Selector`](kappadb_query::Selector).
    pub selector: Vec<u8>,
    /// Feeds of which nothing was wanted.
    pub without: BTreeSet<FeedKey>,
}

impl About {
    /// What a query asks of a view.
    pub(crate) fn of(question: &Question) -> Option<About> {
        match question {
            Question::View { view, selector, without, .. } => {
                Some(About { view: view.clone(), selector: selector.clone(), without: without.clone() })
            }
            Question::Blocks { .. } => None,
        }
    }
}

/// What is claimed of a feed: of what matches, in the tree of `at` blocks with this root and below `claimed`, all that no other entry made redundant
/// that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Claimed {
    /// The feed.
    pub feed: FeedKey,
    /// Every matching entry below this.
    pub claimed: Seq,
    /// Blocks in the tree that both know.
    pub at: u64,
    /// Its root.
    pub root: RootTag,
    /// What was declared by the asker, sent to it in this session, or listed in this answer.
    pub sent: RangeSet,
}

/// What somebody has stated, under its signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SignedStatement {
    /// What was asked.
    pub about: About,
    /// Of the feeds of which it claims something and showed a root, ascending.
    pub feeds: Vec<Claimed>,
    /// By the identity of who stated it.
    pub signature: Signature,
}

impl SignedStatement {
    /// Signs it.
    pub fn sign(by: &SecretKey, about: About, feeds: Vec<Claimed>) -> SignedStatement {
        let signature = by.sign(&message(&about, &feeds).0);
        SignedStatement { about, feeds, signature }
    }

    /// Checks that this identity signed it.
    ///
    /// # Errors
    /// [`KeyError`] if it did not.
    pub fn verify(&self, by: &FeedKey) -> Result<(), KeyError> {
        by.verify(&message(&self.about, &self.feeds).0, &self.signature)
    }
}

fn message(about: &About, feeds: &[Claimed]) -> Hash {
    blake2b256(&[DOMAIN, &codec::encode(&(RULES, about, feeds))])
}

/// What is claimed by what stands stated: both sides of a session find the same at a statement's end.
pub(crate) fn claimed(
    stated: impl Iterator<Item = (FeedKey, Stated)>,
    ledger: &Ledger,
    listed: &BTreeMap<FeedKey, RangeSet>,
) -> Vec<Claimed> {
    let shown = stated.filter(|(_, stated)| stated.claimed > 0 && stated.at > 0);
    let mut feeds: Vec<Claimed> = shown
        .map(|(feed, Stated { claimed, at, root, .. })| {
            let mut sent = ledger.sent(&feed);
            listed.get(&feed).into_iter().for_each(|listed| sent.union_with(listed));
            Claimed { feed, claimed, at, root, sent }
        })
        .collect();
    feeds.sort_unstable_by_key(|claimed| claimed.feed);
    feeds
}
