//! What all views of keyed entries share: which versions of each key are held, and which of them count.
//!
//! Rows, under one leading byte that the view chooses, in two [packed tables](crate::packed):
//!
//! ```text
//! P 01 00, P 03 00   key → bincode [Version], ascending by id: the active ones, none redundant; empty if they are many
//!                    | if a payload of theirs is kept here: of each its length + 1 u16 LE (0: it is not), and it
//! P 01 01, P 03 01   sort u8 len(key) u16 BE key feed seq BE → bincode Version
//!                    sort 0: one that another made redundant; sort 1: an active one, of a key that has many
//! ```
//!
//! The active versions are all that answers and peers need. A key mostly has one, so they lie in one row; a key that somebody
//! floods has a row for each, so that one more writes one more. The redundant ones are kept so that they count again when what
//! made them redundant is withdrawn.
//!
//! A view may keep small payloads beside the versions that share a row ([`Keyed::keeping`]). They are copies: whether one may be shown is said by
//! the log, which may have been cleared of it, and where there is none the log is asked.

mod active;
mod reader;
mod update;

pub use active::Active;
pub use reader::{ActiveRows, KeyedReader};
pub use update::KeyUpdate;

use crate::packed::{Area, Layers, Table};
use crate::seen::Seen;
use crate::{Arrived, Upkeep, ViewError};
use bytes::Bytes;
use kappadb_core::EntryId;
use kappadb_entry::Entry;
use kappadb_store::Tree;
use std::sync::Arc;

/// Keys whose active versions are in memory, at most.
const IN_MEMORY: usize = 16_384;
/// Bytes of a payload that is kept beside its version, at most.
pub const MAX_KEPT: usize = 4_096;

/// What of an entry is to be kept beside its version: at most [`MAX_KEPT`] bytes of its payload, the whole of it. It depends on nothing else.
pub type Keeps = fn(&Entry) -> Option<&Bytes>;

/// The versions of the keys of one space, in rows that start with one byte.
pub struct Keyed {
    space: u32,
    keeps: Keeps,
    active: Table,
    each: Table,
    /// All keys, if they are known.
    seen: Option<Seen>,
}

/// All versions as they were at one moment, whatever is taken in or withdrawn later. It keeps that much of memory and disk.
#[derive(Clone)]
pub struct KeyedSnapshot {
    active: Layers,
    each: Layers,
}

impl KeyedSnapshot {
    /// Looks at it.
    pub fn read(&self) -> KeyedReader<'_> {
        KeyedReader { active: &self.active, each: &self.each, seen: None }
    }

    /// True if a payload lies here that may not be kept, also in rows that newer ones replaced. Looks at every row.
    pub fn keeps_any(&self, may_keep: impl Fn(&EntryId) -> bool) -> Result<bool, ViewError> {
        self.active.any(|row| Ok(read_row(row)?.strip(&may_keep)))
    }
}

/// An empty row says that there is none.
fn read_row(row: &Bytes) -> Result<Active, ViewError> {
    if row.is_empty() { Ok(Active::default()) } else { Active::decode(row) }
}

impl Keyed {
    /// Entries whose kind is of `space` (`kappadb_entry::space`), over the rows of `tree` that start with `prefix`, which is not 0. All changes must go
    /// through it, and [`Keyed::upkeep`] must be asked now and then.
    ///
    /// If there are no rows yet it remembers which keys come, up to some 10 million: then nothing is read to find that a key is new, which makes filling
    /// an empty tree much faster.
    pub fn open(prefix: u8, space: u32, tree: &Arc<dyn Tree>) -> Result<Self, ViewError> {
        Keyed::with_memory(prefix, space, tree, IN_MEMORY)
    }

    /// The same with the versions of so many keys in memory, before they are packed. Default: 16,384.
    pub fn with_memory(prefix: u8, space: u32, tree: &Arc<dyn Tree>, keys: usize) -> Result<Self, ViewError> {
        let active = Table::load(tree.clone(), Area { prefix, sort: 0 }, keys)?;
        let each = Table::load(tree.clone(), Area { prefix, sort: 1 }, keys)?;
        let seen = active.read().is_empty()?.then(Seen::default);
        Ok(Keyed { space, keeps: |_| None, active, each, seen })
    }

    /// Keeps payloads beside the active versions of keys that have few. Default: none.
    #[must_use]
    pub fn keeping(self, keeps: Keeps) -> Self {
        Keyed { keeps, ..self }
    }

    /// Looks at it.
    pub fn read(&self) -> KeyedReader<'_> {
        KeyedReader { active: self.active.read(), each: self.each.read(), seen: self.seen.as_ref() }
    }

    /// As it is now. Costs next to nothing, and the next batch the copy of what is in memory.
    pub fn snapshot(&self) -> KeyedSnapshot {
        KeyedSnapshot { active: self.active.read().clone(), each: self.each.read().clone() }
    }

    /// Has the payloads go that may not be kept any more, by the upkeep that comes next, also from what newer rows replaced.
    pub fn strip(&self, may_keep: impl Fn(&EntryId) -> bool + Send + Sync + 'static) {
        self.active.rewrite(Arc::new(move |row| {
            let mut active = read_row(&row)?;
            Ok(if active.strip(&may_keep) { active.encode().into() } else { row })
        }));
    }

    /// A sentence for each part of its rows that has another number of them than it should.
    pub fn audit(&self) -> Result<Vec<String>, ViewError> {
        Ok([self.active.audit()?, self.each.audit()?].concat())
    }

    /// What an index whose part this is, found by `keyed`, has [to do in the background](crate::Index::upkeep) for it, if anything.
    pub fn upkeep<I: 'static>(
        &mut self,
        idle: bool,
        keyed: fn(&mut I) -> &mut Keyed,
    ) -> Option<Box<dyn Upkeep<I>>> {
        let active = self.active.upkeep(idle, move |index| &mut keyed(index).active);
        active.or_else(|| self.each.upkeep(idle, move |index| &mut keyed(index).each))
    }

    /// The key of an entry, if it has one and is of this space.
    fn key<'a>(&self, arrived: &'a Arrived) -> Option<&'a [u8]> {
        let header = &arrived.entry.header;
        header.key.as_deref().filter(|_| header.kind.space == self.space)
    }
}
