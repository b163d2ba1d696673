//! What versions of keys say.

use crate::error::{NotHeld, ReadError};
use crate::lines::fields;
use crate::views::kv::KvParts;
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, StoredBlock, Timestamp};
use kappadb_entry::rules::Version;
use kappadb_entry::{Entry, decode_block};
use kappadb_view_kv::{CODE_DELETE, CODE_PUT, KeyState, kind};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// The value of a key that is shown by default. As JSON its bytes are `value`, or `value_base64` if they are no text; how many heads are dated ahead is
/// not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Value {
    /// Its bytes; none if they were cleared here, or could not be fetched whole.
    #[serde(flatten, serialize_with = "fields::value")]
    pub bytes: Option<Bytes>,
    /// The entry that gives it: the winner among the heads.
    pub id: EntryId,
    /// Who wrote it: the entry's feed.
    pub author: FeedKey,
    /// When, as its author says.
    #[serde(rename = "timestamp")]
    pub time: Timestamp,
    /// All heads of the key, ascending; several are a conflict.
    pub heads: Vec<EntryId>,
    /// How many of them are dated after this machine's clock: then a clock is wrong, and it may be this one. They lose against
    /// what is not.
    #[serde(skip)]
    pub ahead: usize,
}

impl Value {
    pub(super) fn new(state: &KeyState, winner: &Version, content: Content) -> Value {
        let Version { id, time, .. } = *winner;
        Value { bytes: content.value(), id, author: id.feed, time, heads: state.ids(), ahead: state.ahead }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// If they are not held here.
    pub fn held(&self) -> Result<&Bytes, NotHeld> {
        self.bytes.as_ref().ok_or(NotHeld(self.id))
    }

    /// Its bytes as text, if they are held and are text.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes.as_deref()?).ok()
    }
}

/// What is known of a key, without a look at what its versions say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KvState {
    /// The entry that gives it its value; none if it has none: its winner is a delete, or something that this release does not know.
    pub winner: Option<EntryId>,
    /// As [`Value::heads`].
    pub heads: Vec<EntryId>,
    /// As [`Value::ahead`].
    pub ahead: usize,
}

impl KvState {
    /// None if nothing is known of the key.
    pub(super) fn of(state: &KeyState) -> Option<KvState> {
        let winner = state.shown().map(|winner| winner.id);
        (!state.heads.is_empty()).then(|| KvState { winner, heads: state.ids(), ahead: state.ahead })
    }
}

/// A version of a key that no other replaces. As JSON what it says is `value` as in [`Value`], and `deleted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// The entry.
    pub id: EntryId,
    /// Who wrote it: the entry's feed.
    pub author: FeedKey,
    /// When, as its author says.
    #[serde(rename = "timestamp")]
    pub time: Timestamp,
    /// What it says.
    #[serde(flatten)]
    pub content: Content,
    /// True for the one that is shown by default.
    pub winner: bool,
    /// True if it is dated after this machine's clock: as in [`Value::ahead`].
    #[serde(skip)]
    pub ahead: bool,
}

/// What a version says of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// It has this value.
    Value(Bytes),
    /// It has none any more.
    Deleted,
    /// It has a value that is not held here: it was cleared, or could not be fetched whole.
    NotHeld,
    /// Something that this release does not know.
    Unknown,
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = match self {
            Content::Value(bytes) => Some(&**bytes),
            _ => None,
        };
        let mut map = serializer.serialize_map(None)?;
        fields::bytes(&mut map, "value", value)?;
        map.serialize_entry("deleted", &(*self == Content::Deleted))?;
        map.end()
    }
}

impl Content {
    /// The value, if it is one that is held.
    pub fn value(self) -> Option<Bytes> {
        match self {
            Content::Value(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl KvParts {
    /// What a key says, among what is indexed already.
    pub(super) fn kv_state_indexed(&self, key: &[u8]) -> Result<KeyState, ReadError> {
        let now = self.clock.now();
        Ok(self.kv.read(|index| index.read().state(key, now))??)
    }

    /// What a version says, from its block if that was read already.
    pub(crate) fn kv_content(
        &self,
        version: &Version,
        block: Option<StoredBlock>,
    ) -> Result<Content, ReadError> {
        match version.kind.code {
            CODE_DELETE => return Ok(Content::Deleted),
            CODE_PUT => {}
            _ => return Ok(Content::Unknown),
        }
        let entry = match block {
            Some(block) => decode_block(&block).ok(),
            None => self.entry(version.id)?,
        };
        let Some(entry) = entry else { return Ok(Content::NotHeld) };
        let payload = self.load_payload(version.id, &entry)?;
        // A slice would keep in memory the whole record that the block was read with.
        Ok(payload.map_or(Content::NotHeld, |bytes| Content::Value(Bytes::copy_from_slice(&bytes))))
    }

    /// What many versions say, in their order. Blocks that lie together are read together.
    pub(super) fn kv_contents(&self, versions: &[&Version]) -> Result<Vec<Content>, ReadError> {
        let mut blocks = self.blocks(versions.iter().map(|version| version.id))?;
        versions.iter().map(|version| self.kv_content(version, blocks.remove(&version.id))).collect()
    }

    /// The entry that gives a key a value; none if it is not held, or something else.
    pub(super) fn kv_put(&self, id: EntryId) -> Result<Option<Entry>, ReadError> {
        Ok(self.entry(id)?.filter(|entry| entry.header.kind == kind(CODE_PUT)))
    }
}
