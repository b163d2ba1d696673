use crate::FeedKey;
use bincode::{Decode, Encode};
use data_encoding::HEXLOWER_PERMISSIVE;
use std::fmt;
use std::str::FromStr;

/// Position of a block in its feed, from 0.
pub type Seq = u64;

/// Position of a block in one replica's arrival log, from 0; never used twice.
pub type Lseq = u64;

/// The random name of a database, independent of the keys that give access to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct DatabaseId(pub [u8; 32]);

/// The name of an entry: its feed and its place in it. Written `<feed hex>/<seq>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct EntryId {
    /// The feed.
    pub feed: FeedKey,
    /// The place in it.
    pub seq: Seq,
}

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not {1}")]
pub struct ParseIdError(String, &'static str);

pub(crate) fn parse_hex32(text: &str, what: &'static str) -> Result<[u8; 32], ParseIdError> {
    HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| ParseIdError(text.to_owned(), what))
}

impl FromStr for DatabaseId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex32(text, "a database id (64 hex digits)").map(DatabaseId)
    }
}

impl FromStr for EntryId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ParseIdError(text.to_owned(), "an entry id (<feed hex>/<seq>)");
        let (feed, seq) = text.split_once('/').ok_or_else(bad)?;
        Ok(EntryId { feed: feed.parse().map_err(|_| bad())?, seq: seq.parse().map_err(|_| bad())? })
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseId({self})")
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.feed, self.seq)
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.feed, self.seq)
    }
}
