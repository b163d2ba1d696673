//! What a session asks of the side that has storage, and what it is told.

use crate::frame::Lengths;
use crate::signed::RootTag;
use crate::words::Words;
use kappadb_core::{FeedDefinition, FeedKey, RangeSet, Seq};
use kappadb_entry::Bundle;
use kappadb_merkle::{ForkEvidence, Known};
use kappadb_query::Selector;
use std::collections::{BTreeMap, BTreeSet};

/// Names a command within its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// Something for storage or a view to do. Each gets one [`Reply`] of its kind, in any order, at any time.
///
/// A session has at most [`ANSWERS_AT_ONCE`](kappadb_core::limits::ANSWERS_AT_ONCE) of `Answer` and `Locate`, one `Read`, and
/// one of the others under way, so a driver may run all that it gets side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Which durable entries must a peer hold to answer this as this replica would? → [`Reply::Answer`].
    Answer {
        /// The view's name, as the peer gave it.
        view: String,
        /// What is asked.
        selector: Selector,
        /// Only what is held whole is to be claimed, not what earlier answers of others have shown.
        direct: bool,
        /// Feeds that the peer has dropped: all is to be answered as if nothing of them were held, and nothing of them is claimed.
        without: BTreeSet<FeedKey>,
        /// Of which length of each feed the peer has declared something: at which to show the root.
        declared: BTreeMap<FeedKey, u64>,
        /// Feeds that the peer asks after by name, or of which this session has spoken.
        named: BTreeSet<FeedKey>,
        /// The token of an earlier answer to the same question: what arrived before it need not be in this one. It comes from the peer: where it says
        /// nothing, or what it rests on has changed, all is.
        since: Option<Vec<u8>>,
        /// The peer has said of what is held there only what it needs if that token fits. If it does not, [`AnswerError::Stale`] is the answer to a question
        /// for everything.
        strict: bool,
        /// Set if the peer was told of all feeds before, up to that token: only those of which something arrived since are to be covered.
        news: bool,
    },
    /// Which of these blocks are held and durable? → [`Reply::Answer`], with at most one match, and the coverage of that
    /// feed (its `claimed` is not used).
    Locate {
        /// The feed.
        feed: FeedKey,
        /// The blocks.
        ranges: RangeSet,
    },
    /// Blocks with one proof → [`Reply::Read`]: from the front of `ranges` as many as fit in `max_bytes`, at least one; and how long the feeds are that
    /// these blocks name.
    ///
    /// The proof is for `known`, or for [`Known::default`] where it cannot be: if the head has fewer than `known.length`
    /// blocks, or nodes that lead from that tree to the head's are not held. The bundle names which. After an error with
    /// something known, the same is read once more with nothing known.
    Read {
        /// The feed.
        feed: FeedKey,
        /// The blocks wanted: not empty.
        ranges: RangeSet,
        /// What the peer knows already.
        known: Known,
        /// Bytes of blocks and proof to aim at.
        max_bytes: usize,
    },
    /// Check and keep a feed's definition → [`Reply::Defined`]. Blocks of the feed come next.
    Define(FeedDefinition),
    /// Verify and store blocks → [`Reply::Put`]. They need not be durable yet. With them, how long the peer says that feeds are that they name.
    Put(Bundle, Lengths),
    /// Verify and record evidence that a feed forked → [`Reply::Forked`]. Of a feed of which nothing is held there is nothing to record.
    Fork(ForkEvidence),
    /// Make durable and visible what was put → [`Reply::Synced`]. The last command of a session that ended may be this;
    /// its reply is not waited for.
    Sync,
}

/// What became of a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Command::Answer`] and [`Command::Locate`].
    Answer(Result<Answer, AnswerError>),
    /// To [`Command::Read`]; the text says why not.
    Read(Result<(Bundle, Lengths), String>),
    /// To [`Command::Define`].
    Defined(Result<(), PutRefusal>),
    /// To [`Command::Put`].
    Put(Result<Stored, PutRefusal>),
    /// To [`Command::Fork`].
    Forked(Result<(), PutRefusal>),
    /// To [`Command::Sync`]; the text says why not.
    Synced(Result<(), String>),
}

/// Which blocks answer a query, and what that rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Blocks by feed. Each feed at most once, and each has its coverage below.
    pub matches: Vec<(FeedKey, RangeSet)>,
    /// The feeds that the statement is to speak of: those above, those that the peer asks after and those that go on for them, and all of which
    /// something is lacking, those that matter most first, for there may be no room for all.
    pub coverage: Vec<Coverage>,
    /// How many other feeds are known here: the answer has all of each.
    pub whole: u64,
    /// On whose word that rests, and what is claimed above: nobody's, where feeds are held whole.
    pub words: Words,
    /// Evidence for those that forked and that the peer holds, gets or asks after. Sent once in a session. Of the others the `length` above ends
    /// at the fork.
    pub forks: Vec<ForkEvidence>,
    /// Names the moment of this answer, for who asks later what came since: at most [`MAX_TOKEN`](kappadb_core::limits::MAX_TOKEN) bytes.
    pub token: Option<Vec<u8>>,
}

/// What a replica can say of one feed with regard to one query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    /// The feed.
    pub definition: FeedDefinition,
    /// Every matching entry below this seq is in the answer.
    pub claimed: Seq,
    /// Blocks under the longest head known.
    pub length: u64,
    /// A length at which the asker can compare trees: the shorter of that one and the one that it declared. 0 if that tree
    /// cannot be shown.
    pub at: u64,
    /// The first bytes of the root hash of the tree of `at` blocks: who knows another history sees it here, and can then
    /// ask for proof.
    pub root: RootTag,
}

/// Why a query cannot be answered. Told to the peer, for that query only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// There is no such view here.
    #[error("there is no view {0:?} here")]
    UnknownView(String),
    /// The view does not understand this selector.
    #[error("the view does not understand the selector: {0}")]
    Selector(String),
    /// The answer would go over a limit; the text names it.
    #[error("over the limit {0}")]
    Limit(String),
    /// What came since the token cannot be told.
    #[error("what came since cannot be told any more; ask from the beginning")]
    Stale,
    /// It cannot be read now.
    #[error("cannot be read now: {0}")]
    Unavailable(String),
}

/// What a [`Command::Put`] added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// Blocks that were not held before.
    pub blocks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Set if these blocks showed that the feed forked: the seq from which on it is left out.
    pub fork: Option<Seq>,
    /// Blocks below that seq that were not kept, because they could not be linked to the history held here.
    pub contradicted: u64,
    /// Blocks of a feed that is known to have forked before them.
    pub beyond: u64,
}

/// Why something received was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutRefusal {
    /// The proof builds on nodes that are not here, or are others here. Asked again with nothing known.
    #[error("the proof builds on nodes that this replica does not hold")]
    KnownMismatch,
    /// Storage does not know the feed any more, though it was told: a write that failed took the definition with it. It is told again, and what came is
    /// asked for again.
    #[error("a write that failed took the feed with it; ask again")]
    Forgotten,
    /// It does not hold: the peer is at fault.
    #[error("{0}")]
    Bad(String),
    /// This side's storage failed.
    #[error("{0}")]
    Local(String),
}
