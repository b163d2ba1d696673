//! What a caller asks of a session, and what it is told.

use crate::Introduction;
use crate::command::Coverage;
use crate::error::{QueryError, Refusal, SessionError};
use crate::signed::SignedStatement;
use crate::words::Words;
use bincode::{Decode, Encode};
use kappadb_core::{FeedDefinition, FeedKey, RangeSet};
use kappadb_merkle::{ForkEvidence, Known};
use kappadb_query::Selector;
use std::collections::BTreeSet;

/// Names a question asked here; the same for as long as it is open, whatever happens on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// A question to the peer's view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The view's name; at most [`MAX_VIEW_NAME`](kappadb_core::limits::MAX_VIEW_NAME) bytes.
    pub view: String,
    /// What is asked.
    pub selector: Selector,
    /// True to get the blocks that are not held here; false to be told which blocks match.
    pub inline: bool,
    /// The peer is to claim only what it holds whole, on nobody else's word.
    pub direct: bool,
    /// What is held here. Blocks not named may be sent though they are held.
    pub have: Vec<Have>,
    /// Feeds of which the statement is to speak if the peer knows them, and of those that go on for them. The first
    /// [`MAX_NAMED_FEEDS`](kappadb_core::limits::MAX_NAMED_FEEDS) of which this session has not spoken are named to the peer.
    pub named: Vec<FeedDefinition>,
    /// Forks that are known here: the peer leaves these feeds out too before it answers. Each is sent once in a session,
    /// [`MAX_FORKS_TOLD`](kappadb_core::limits::MAX_FORKS_TOLD) at most.
    pub forks: Vec<Fork>,
    /// Feeds that were dropped here: the peer answers as if nothing of them were held. At most
    /// [`MAX_WITHOUT`](kappadb_core::limits::MAX_WITHOUT).
    pub without: BTreeSet<FeedKey>,
    /// If later matches are wanted, too: from where on.
    pub live: Option<Since>,
    /// Something that came in this session before may not be held any more: nothing is taken as known but what is said here.
    pub forget: bool,
}

/// From where on a live question is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Since {
    /// From the beginning.
    #[default]
    Beginning,
    /// From now on.
    Now,
    /// What came after the statement of this token. A peer to which it says nothing answers from the beginning.
    Token(Vec<u8>),
}

/// Feeds that a statement does not speak of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Rest {
    /// Those of which the answer has all. Who needs to know names them in a question.
    pub whole: u64,
    /// Those of which it lacks something, where there were too many: it is not complete, whatever others say.
    pub lacking: u64,
}

/// A feed that forked, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The feed, of which the peer may not have heard.
    pub definition: FeedDefinition,
    /// The evidence.
    pub evidence: ForkEvidence,
}

/// A request for blocks by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The feed.
    pub feed: FeedKey,
    /// The blocks; at most [`MAX_RANGES`](kappadb_core::limits::MAX_RANGES) ranges.
    pub ranges: RangeSet,
    /// What is held of this feed here.
    pub known: Known,
    /// As [`Ask::forget`].
    pub forget: bool,
}

/// What is held of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Have {
    /// The feed.
    pub definition: FeedDefinition,
    /// Leaves held that are linked to the head of this length.
    pub known: Known,
}

/// Something the caller should know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The peer tells of others. Nobody has checked yet that they said so.
    Introduced {
        /// Where they can be reached.
        peers: Vec<Introduction>,
    },
    /// Blocks that match a question that was not `inline`. One feed may come in several parts. The peer goes on when
    /// these are taken from the session.
    Ranges {
        /// The question.
        query: QueryId,
        /// The feed.
        feed: FeedKey,
        /// The blocks.
        ranges: RangeSet,
    },
    /// The question is answered, and what came is stored, durable and visible.
    Done {
        /// The question.
        query: QueryId,
        /// What the answer rests on: every feed that the peer spoke of. Empty for a fetch.
        statement: Vec<Coverage>,
        /// What it did not speak of.
        rest: Rest,
        /// On whose word the peer's claims rest beside its own.
        words: Words,
        /// The same as it was signed, if it was.
        signed: Option<Box<SignedStatement>>,
        /// What it took.
        stats: Stats,
    },
    /// The present answer to a live question, or, after that, what came to the peer since. What came is stored, durable and visible, and more
    /// may come: it ends with [`Event::Failed`], or when it is cancelled.
    Stated {
        /// The question.
        query: QueryId,
        /// The first time every feed that the peer spoke of, later those of which something came.
        statement: Vec<Coverage>,
        /// What it did not speak of.
        rest: Rest,
        /// On whose word the peer's claims rest beside its own.
        words: Words,
        /// What came since the statement before.
        stats: Stats,
        /// Where to go on, in this session or another.
        token: Option<Vec<u8>>,
    },
    /// The question ended without a full answer. What came until then is kept.
    Failed {
        /// The question.
        query: QueryId,
        /// Why.
        error: QueryError,
    },
    /// A question of the peer's has ended.
    Served(Served),
    /// A live question of the peer's was accepted. From now on [`Session::news`](crate::Session::news) is to be called whenever there may be news
    /// for it.
    Stands {
        /// Names it.
        query: u32,
        /// The view's name, as the peer gave it.
        view: String,
        /// What is asked.
        selector: Selector,
    },
    /// Blocks that were sent to such a question are stored and durable at the peer.
    Reached {
        /// Which, by feed. A feed may be named more than once.
        blocks: Vec<(FeedKey, RangeSet)>,
    },
    /// It is over.
    Falls {
        /// Names it.
        query: u32,
    },
    /// The session ended. The last event, but for the failures of questions asked after it. Send what is left to be sent,
    /// then close the connection.
    Closed {
        /// Why.
        reason: SessionError,
    },
}

/// A question of the peer's, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// What was asked, in words: the kind of the selector and how much it names, never what.
    pub asked: String,
    /// Blocks that were sent.
    pub blocks: u64,
    /// Bytes of the frames with blocks or ranges that were sent.
    pub bytes: u64,
    /// Milliseconds from the question to the end.
    pub ms: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a question of the peer's ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered,
    /// The peer gave it up.
    Cancelled,
    /// It was refused.
    Refused {
        /// Why.
        reason: Refusal,
        /// In words.
        text: String,
    },
}

/// What answering a question took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Blocks received.
    pub blocks_received: u64,
    /// Blocks newly stored.
    pub blocks_stored: u64,
    /// Bytes of those.
    pub bytes_stored: u64,
    /// Bytes of the frames that carried the answer, statement and definitions excluded.
    pub bytes_received: u64,
    /// Of a fetch: blocks asked for that the peer did not have.
    pub missing: u64,
    /// Blocks that came and were not kept, for they are of another history of their feed than is held here, and yet may count.
    /// The answer lacks them, whatever its statement says.
    pub contradicted: u64,
    /// Blocks that came and count nowhere, for their feed is known here to have forked before them. The peer did not know, so what it left
    /// out because of them is missing.
    pub beyond: u64,
}

impl Stats {
    /// Both together.
    #[must_use]
    pub fn and(&self, more: &Stats) -> Stats {
        Stats {
            blocks_received: self.blocks_received + more.blocks_received,
            blocks_stored: self.blocks_stored + more.blocks_stored,
            bytes_stored: self.bytes_stored + more.bytes_stored,
            bytes_received: self.bytes_received + more.bytes_received,
            missing: self.missing + more.missing,
            contradicted: self.contradicted + more.contradicted,
            beyond: self.beyond + more.beyond,
        }
    }
}
