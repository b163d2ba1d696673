//! A view of keys and values, as somebody writes it who has the library and nothing else.

use kappadb::view::{
    Change, Draft, Index, KeyUpdate, Keyed, KeyedIndex, Kind, Notice, Overlay, Payload, Payloads, Selector,
    Tree, Upkeep, Version, View, ViewError, rules,
};
use kappadb::{EntryId, FeedKey, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A random number above 1,023: the space of these keys.
pub const SPACE: u32 = 0x51_a7e3;
const PUT: u8 = 0;
const DELETE: u8 = 1;

pub struct Words;

pub struct WordsIndex {
    keyed: Keyed,
    payloads: Option<Payloads>,
}

impl View for Words {
    type Index = WordsIndex;

    fn name(&self) -> &str {
        "words"
    }

    fn version(&self) -> u32 {
        1
    }

    fn space(&self) -> Option<u32> {
        Some(SPACE)
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<WordsIndex, ViewError> {
        Ok(WordsIndex { keyed: Keyed::open(1, SPACE, &rows)?, payloads: None })
    }
}

impl Index for WordsIndex {
    fn payloads(&mut self, payloads: Payloads) {
        self.payloads = Some(payloads);
    }

    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        Ok(self.keyed.apply_all(rows, changes)?.iter().filter_map(KeyUpdate::notice).collect())
    }

    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        self.keyed.upkeep(idle, |index| &mut index.keyed)
    }

    /// A selector of its own: the keys that have this word in them.
    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        let Selector::Custom(word) = selector else { return self.keyed.read().matches(selector, without) };
        let mut ids = Vec::new();
        for row in self.keyed.read().scan(&[], None) {
            let (key, _) = row?;
            if key.split(|byte| *byte == b' ').any(|part| part == word) {
                let active = self.keyed.read().active_without(&key, without)?;
                ids.extend(active.into_iter().map(|version| version.id));
            }
        }
        Ok(ids)
    }
}

impl KeyedIndex for WordsIndex {
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.read().active(key)
    }
}

impl WordsIndex {
    /// The value that a key has at a time, of any size; none if it has none.
    pub fn get(&self, key: &str, now: Timestamp) -> Result<Option<Payload>, ViewError> {
        let heads = self.keyed.read().heads(key.as_bytes())?;
        let winner = rules::winner(&heads.iter().collect::<Vec<_>>(), now).filter(|v| v.kind.code == PUT);
        let (Some(winner), Some(payloads)) = (winner, &self.payloads) else { return Ok(None) };
        let entry = payloads.entry(winner.id)?.ok_or(ViewError::Inconsistent("an entry is gone"))?;
        Ok(Some(payloads.open(winner.id, &entry)?))
    }
}

pub fn put(key: &str, value: impl Into<Vec<u8>>) -> Draft {
    Draft { key: Some(key.into()), payload: value.into(), ..Draft::new(Kind { space: SPACE, code: PUT }) }
}

pub fn delete(key: &str) -> Draft {
    Draft { key: Some(key.into()), ..Draft::new(Kind { space: SPACE, code: DELETE }) }
}
