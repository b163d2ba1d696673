//! Keys and values at one moment.

use crate::KeyState;
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::rules::Version;
use kappadb_view::ViewError;
use kappadb_view::keyed::{KeyedReader, KeyedSnapshot};

/// What the index says of keys: now, or at the moment of a snapshot.
#[derive(Clone, Copy)]
pub struct KvReader<'a>(pub(crate) KeyedReader<'a>);

/// The index as it was at one moment, whatever is written meanwhile. It keeps that much of memory and disk.
#[derive(Clone)]
pub struct KvSnapshot(pub(crate) KeyedSnapshot);

impl KvSnapshot {
    /// Looks at it.
    pub fn read(&self) -> KvReader<'_> {
        KvReader(self.0.read())
    }

    /// True if a payload lies here that may not be kept, also of versions that were replaced. Looks at every row.
    pub fn keeps_any(&self, may_keep: impl Fn(&EntryId) -> bool) -> Result<bool, ViewError> {
        self.0.keeps_any(may_keep)
    }
}

impl KvReader<'_> {
    /// What a key says at the time `now`.
    pub fn state(&self, key: &[u8], now: Timestamp) -> Result<KeyState, ViewError> {
        Ok(KeyState::of(&self.0.find(key)?, now))
    }

    /// The same, if that needs no disk.
    pub fn state_at_hand(&self, key: &[u8], now: Timestamp) -> Result<Option<KeyState>, ViewError> {
        Ok(self.0.find_at_hand(key)?.map(|active| KeyState::of(&active, now)))
    }

    /// The versions of a key that no other makes redundant, ascending by id: what a new version must know of.
    pub fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.0.active(key)
    }

    /// The versions of a key that no other replaces, ascending by id. Several are a conflict; one may be a delete.
    pub fn heads(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.0.heads(key)
    }

    /// True if the key has a value at the time `now`.
    pub fn contains(&self, key: &[u8], now: Timestamp) -> Result<bool, ViewError> {
        Ok(self.state(key, now)?.shown().is_some())
    }

    /// All versions of a key that are held, ascending by id.
    pub fn history(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.0.versions(key)
    }
}
