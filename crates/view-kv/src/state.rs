//! What a key says at a time.

use crate::entry::is_put;
use bytes::Bytes;
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_view::keyed::Active;

/// A key as it is at a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyState {
    /// The versions that no other replaces, ascending by id; several are a conflict. None if nothing is known of the key.
    pub heads: Vec<Version>,
    /// The head that is shown by default ([`rules::winner`]). It may be a delete.
    pub winner: Option<Version>,
    /// How many heads are not due.
    pub ahead: usize,
    /// What the winner says, if that lies here and was not cleared since: whether it was is said by the log alone.
    pub payload: Option<Bytes>,
}

impl KeyState {
    /// Of all active versions.
    pub fn of(active: &Active, now: Timestamp) -> KeyState {
        let heads = active.heads();
        let winner = rules::winner(&heads, now).cloned();
        let payload = winner.as_ref().and_then(|winner| active.payload(&winner.id)).cloned();
        let ahead = heads.iter().filter(|head| head.time > now).count();
        KeyState { heads: heads.into_iter().cloned().collect(), winner, ahead, payload }
    }

    /// The entries of its heads, ascending.
    pub fn ids(&self) -> Vec<EntryId> {
        self.heads.iter().map(|head| head.id).collect()
    }

    /// The winner, if it is a value.
    pub fn shown(&self) -> Option<&Version> {
        self.winner.as_ref().filter(|winner| is_put(winner))
    }
}
