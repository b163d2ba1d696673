//! The codec of every frame: `kind u8 | body`, without the length word, which is the transport's.

use crate::Introduction;
use crate::event::Rest;
use crate::signed::RootTag;
use crate::words::Words;
use bincode::{Decode, Encode};
use bytes::Bytes;
use kappadb_core::codec::{self, DecodeError};
use kappadb_core::limits::{MAX_CREDIT, MAX_FRAME, MAX_INTRODUCED, MAX_NAMED_FEEDS, MAX_SELECTOR};
use kappadb_core::limits::{MAX_TEXT, MAX_TOKEN, MAX_VIEW_NAME, MAX_WITHOUT, STATEMENT_PART};
use kappadb_core::{FeedDefinition, FeedKey, FeedName, RangeSet, Seq, Signature, SignedHead, StoredBlock};
use kappadb_core::{decode_blocks, encode_blocks};
use kappadb_merkle::{ForkEvidence, Known, Node};
use std::collections::BTreeSet;

/// Kinds with this bit may be skipped by who does not know them.
pub const SKIPPABLE: u8 = 0x80;

/// A frame. What each is for, who may send it and when is in `design/protocol.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the protocol's text describes each field; names are the same there")]
#[non_exhaustive]
pub enum Frame {
    Query(Query),
    Accept { query: u32 },
    Feed(FeedDefinition),
    Blocks(Blocks),
    Ranges(Ranges),
    Statement(Statement),
    Done { query: u32 },
    Error { query: u32, code: u8, text: String },
    Credit { query: u32, bytes: u64 },
    Cancel { query: u32 },
    ForkProof(Box<ForkEvidence>),
    Close { code: u8, text: String },
    Update { query: u32, selector: Vec<u8> },
    Held { query: u32, statements: u64 },
    Alive { answer: bool },
    Introduce(Vec<Introduction>),
}

/// What the asker holds of a feed: leaves that are linked to the head of a length.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Declared {
    /// The feed.
    pub feed: FeedKey,
    /// The leaves, and the length.
    pub known: Known,
}

/// Opens a query.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Query {
    /// Greater than every earlier one of this direction.
    pub id: u32,
    /// Bytes of results that may be in flight; at most [`MAX_CREDIT`].
    pub credit: u64,
    /// What was known before in the other direction is dropped when this is accepted.
    pub forget: bool,
    /// What the asker holds.
    pub have: Vec<Declared>,
    /// Feeds of which the statement must speak, if the answerer knows them; at most [`MAX_NAMED_FEEDS`].
    pub named: Vec<FeedKey>,
    /// What it wants.
    pub question: Question,
}

/// What a query is about.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Question {
    /// What answers a selector.
    View {
        /// The view's name; at most [`MAX_VIEW_NAME`] bytes.
        view: String,
        /// An encoded [`Selector`](kappadb_query::Selector); at most [`MAX_SELECTOR`] bytes. Not looked into here.
        selector: Vec<u8>,
        /// Blocks, not only ranges.
        inline: bool,
        /// The answerer is to claim only what it holds whole, on nobody else's word.
        direct: bool,
        /// Later matches too, until it is cancelled.
        live: bool,
        /// Only what came after the statement with this token, or, if it is empty, what comes from now on; at most [`MAX_TOKEN`] bytes.
        since: Option<Vec<u8>>,
        /// The answer is to be as if nothing of these feeds were held: the asker has dropped them. At most [`MAX_WITHOUT`].
        without: BTreeSet<FeedKey>,
    },
    /// These blocks.
    Blocks {
        /// The feed.
        feed: FeedKey,
        /// Which.
        ranges: RangeSet,
    },
}

/// Blocks with their proof; block bytes follow their table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    /// What goes before the block table.
    pub top: BlocksTop,
    /// As many as `top.ranges` has numbers.
    pub blocks: Vec<StoredBlock>,
}

/// The part of a Blocks frame before the block table.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct BlocksTop {
    /// The query answered.
    pub query: u32,
    /// The feed's number.
    pub feed: u32,
    /// Left out if it is the last one sent of this feed.
    pub head: Option<SignedHead>,
    /// The proof builds on nothing; else on all that is known of the feed.
    pub fresh: bool,
    /// Which blocks.
    pub ranges: RangeSet,
    /// The nodes needed.
    pub proof: Vec<Node>,
    /// Of feeds that these blocks name: how long they are, if this session has not said so.
    pub lengths: Lengths,
}

/// How long feeds are known to be, by the names that entries have for them.
pub type Lengths = Vec<(FeedName, u64)>;

/// Blocks that match.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ranges {
    /// The query answered.
    pub query: u32,
    /// The feed's number.
    pub feed: u32,
    /// Which blocks.
    pub ranges: RangeSet,
}

/// What an answer rests on, as far as it differs from the last statement of this direction; after the first statement of a live
/// query, what it says of the feeds that it names, and of no others.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Statement {
    /// The query answered.
    pub query: u32,
    /// At most [`STATEMENT_PART`].
    pub changes: Vec<Change>,
    /// What is not spoken of. The same in all parts.
    pub rest: Rest,
    /// Where a live query can be gone on with; at most [`MAX_TOKEN`] bytes. In the last part only.
    pub token: Option<Vec<u8>>,
    /// If this is the last part, and on whose word the statement rests.
    pub last: Last,
}

/// Whether a part of a statement is the last one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Last {
    /// More parts follow.
    No,
    /// It is, and all that the statement claims is the answerer's own word.
    Own,
    /// It is, and beside the answerer's word the statement rests on these.
    OnWord(Words),
    /// It is, all that the statement claims is the answerer's own word, and it is signed.
    Signed {
        /// By which rules it was answered.
        rules: u8,
        /// See [`SignedStatement`](crate::SignedStatement).
        signature: Signature,
    },
}

/// A feed's new place in the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Change {
    /// The feed's number.
    pub feed: u32,
    /// Every matching entry below this is in the answer.
    pub claimed: Seq,
    /// Blocks under the longest head known.
    pub length: u64,
    /// The shorter of that and the length that the asker declared; 0 if that tree cannot be shown.
    pub at: u64,
    /// First bytes of the root hash of the tree of `at` blocks.
    pub root: RootTag,
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Not even a kind.
    #[error("an empty frame")]
    Empty,
    /// A kind that this version does not know and may not skip.
    #[error("a frame of unknown kind {0:#04x}")]
    UnknownKind(u8),
    /// The frame is longer than MAX_FRAME.
    #[error("a frame of {0} bytes is over the limit MAX_FRAME ({MAX_FRAME})")]
    TooLong(usize),
    /// A part is longer than it may be.
    #[error("a frame's {part} is over its limit {limit}")]
    Limit {
        /// The part.
        part: &'static str,
        /// Its limit.
        limit: &'static str,
    },
    /// The body is not that of its kind.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Frame {
    fn kind(&self) -> u8 {
        match self {
            Frame::Query(_) => 1,
            Frame::Accept { .. } => 2,
            Frame::Feed(_) => 3,
            Frame::Blocks(_) => 4,
            Frame::Ranges(_) => 5,
            Frame::Statement(_) => 6,
            Frame::Done { .. } => 7,
            Frame::Error { .. } => 8,
            Frame::Credit { .. } => 9,
            Frame::Cancel { .. } => 10,
            Frame::ForkProof(_) => 11,
            Frame::Close { .. } => 12,
            Frame::Update { .. } => 13,
            Frame::Held { .. } => 14,
            Frame::Alive { .. } => 1 | SKIPPABLE,
            Frame::Introduce(_) => 2 | SKIPPABLE,
        }
    }

    /// Kind and body.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.kind()];
        match self {
            Frame::Query(body) => codec::encode_into(body, &mut out),
            Frame::Accept { query } | Frame::Done { query } | Frame::Cancel { query } => {
                codec::encode_into(query, &mut out);
            }
            Frame::Feed(body) => codec::encode_into(body, &mut out),
            Frame::Blocks(body) => {
                codec::encode_into(&body.top, &mut out);
                encode_blocks(body.blocks.iter(), &mut out);
            }
            Frame::Ranges(body) => codec::encode_into(body, &mut out),
            Frame::Statement(body) => codec::encode_into(body, &mut out),
            Frame::Error { query, code, text } => codec::encode_into(&(query, code, text), &mut out),
            Frame::Credit { query, bytes } => codec::encode_into(&(query, bytes), &mut out),
            Frame::ForkProof(body) => codec::encode_into(body.as_ref(), &mut out),
            Frame::Close { code, text } => codec::encode_into(&(code, text), &mut out),
            Frame::Update { query, selector } => codec::encode_into(&(query, selector), &mut out),
            Frame::Held { query, statements } => codec::encode_into(&(query, statements), &mut out),
            Frame::Alive { answer } => codec::encode_into(answer, &mut out),
            Frame::Introduce(peers) => codec::encode_into(peers, &mut out),
        }
        out
    }

    /// Reads kind and body, all of `frame`. `None` for an unknown kind that may be skipped.
    pub fn decode(frame: &[u8]) -> Result<Option<Frame>, FrameError> {
        if frame.len() > MAX_FRAME {
            return Err(FrameError::TooLong(frame.len()));
        }
        let (kind, body) = frame.split_first().ok_or(FrameError::Empty)?;
        let frame = match *kind {
            1 => Frame::Query(exact("query", body)?),
            2 => Frame::Accept { query: exact("accept", body)? },
            3 => Frame::Feed(exact("feed", body)?),
            4 => Frame::Blocks(blocks(body)?),
            5 => Frame::Ranges(exact("ranges", body)?),
            6 => Frame::Statement(exact("statement", body)?),
            7 => Frame::Done { query: exact("done", body)? },
            8 => exact("error", body).map(|(query, code, text)| Frame::Error { query, code, text })?,
            9 => exact("credit", body).map(|(query, bytes)| Frame::Credit { query, bytes })?,
            10 => Frame::Cancel { query: exact("cancel", body)? },
            11 => Frame::ForkProof(Box::new(exact("fork proof", body)?)),
            12 => exact("close", body).map(|(code, text)| Frame::Close { code, text })?,
            13 => exact("update", body).map(|(query, selector)| Frame::Update { query, selector })?,
            14 => exact("held", body).map(|(query, statements)| Frame::Held { query, statements })?,
            0x81 => Frame::Alive { answer: exact("alive", body)? },
            0x82 => Frame::Introduce(exact("introduce", body)?),
            unknown if unknown & SKIPPABLE != 0 => return Ok(None),
            unknown => return Err(FrameError::UnknownKind(unknown)),
        };
        frame.check()?;
        Ok(Some(frame))
    }

    /// The frame's name in errors.
    pub fn name(&self) -> &'static str {
        match self {
            Frame::Query(_) => "Query",
            Frame::Accept { .. } => "Accept",
            Frame::Feed(_) => "Feed",
            Frame::Blocks(_) => "Blocks",
            Frame::Ranges(_) => "Ranges",
            Frame::Statement(_) => "Statement",
            Frame::Done { .. } => "Done",
            Frame::Error { .. } => "Error",
            Frame::Credit { .. } => "Credit",
            Frame::Cancel { .. } => "Cancel",
            Frame::ForkProof(_) => "ForkProof",
            Frame::Close { .. } => "Close",
            Frame::Update { .. } => "Update",
            Frame::Held { .. } => "Held",
            Frame::Alive { .. } => "Alive",
            Frame::Introduce(_) => "Introduce",
        }
    }

    fn check(&self) -> Result<(), FrameError> {
        let token = |token: &Option<Vec<u8>>| {
            at_most("token", token.as_ref().map_or(0, Vec::len), MAX_TOKEN, "MAX_TOKEN")
        };
        match self {
            Frame::Introduce(peers) if peers.len() > MAX_INTRODUCED => {
                Err(FrameError::Limit { part: "introductions", limit: "MAX_INTRODUCED" })
            }
            Frame::Introduce(peers) if !peers.iter().all(Introduction::fits) => {
                Err(FrameError::Limit { part: "addresses", limit: "MAX_ADDRESSES" })
            }
            Frame::Query(Query { credit, .. }) if *credit > MAX_CREDIT => {
                Err(FrameError::Limit { part: "credit", limit: "MAX_CREDIT" })
            }
            Frame::Query(Query { named, .. }) if named.len() > MAX_NAMED_FEEDS => {
                Err(FrameError::Limit { part: "named feeds", limit: "MAX_NAMED_FEEDS" })
            }
            Frame::Query(Query {
                question: Question::View { view, selector, since, without, .. }, ..
            }) => {
                at_most("view name", view.len(), MAX_VIEW_NAME, "MAX_VIEW_NAME")?;
                at_most("selector", selector.len(), MAX_SELECTOR, "MAX_SELECTOR")?;
                at_most("feeds to leave out", without.len(), MAX_WITHOUT, "MAX_WITHOUT")?;
                token(since)
            }
            Frame::Statement(Statement { last: Last::OnWord(words), .. }) if !words.are_well_formed() => {
                Err(FrameError::Limit { part: "words", limit: "MAX_WORDS" })
            }
            Frame::Statement(Statement { changes, token: resume, .. }) => {
                at_most("statement", changes.len(), STATEMENT_PART, "STATEMENT_PART")?;
                token(resume)
            }
            Frame::Error { text, .. } | Frame::Close { text, .. } => {
                at_most("text", text.len(), MAX_TEXT, "MAX_TEXT")
            }
            Frame::Update { selector, .. } => {
                at_most("selector", selector.len(), MAX_SELECTOR, "MAX_SELECTOR")
            }
            _ => Ok(()),
        }
    }
}

fn at_most(part: &'static str, len: usize, limit: usize, name: &'static str) -> Result<(), FrameError> {
    if len > limit { Err(FrameError::Limit { part, limit: name }) } else { Ok(()) }
}

fn exact<T: Decode<()> + Encode>(what: &'static str, body: &[u8]) -> Result<T, FrameError> {
    Ok(codec::decode::<T, MAX_FRAME>(what, body)?)
}

fn blocks(body: &[u8]) -> Result<Blocks, FrameError> {
    let (top, used) = codec::decode_prefix::<BlocksTop, MAX_FRAME>("blocks", body)?;
    let table = Bytes::copy_from_slice(body.get(used..).unwrap_or_default());
    Ok(Blocks { top, blocks: decode_blocks(table)? })
}

/// `text` cut to [`MAX_TEXT`] bytes at a character.
pub(crate) fn short(text: &str) -> String {
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}
