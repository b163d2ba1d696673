use crate::ViewError;
use kappadb_core::{EntryId, Lseq};
use kappadb_entry::Entry;
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree};
use std::sync::Arc;

/// An entry that reached this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its place in the arrival log. A view's content must not depend on it.
    pub lseq: Lseq,
    /// Its name.
    pub id: EntryId,
    /// What it says. Its payload is missing if it was cleared: then a view shows what it can from the header.
    pub entry: Entry,
}

/// What happened to the set of entries that count.
///
/// A change may come again after a crash: holding what is held and taking out what is not there change nothing.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// This entry counts from now on.
    Hold(&'a Arrived),
    /// This entry counts no more: it lies at or beyond a proven fork of its feed. The view becomes what it would be
    /// had the entry never come.
    Withdraw(&'a Arrived),
}

impl<'a> Change<'a> {
    /// The entry.
    pub fn arrived(&self) -> &'a Arrived {
        match self {
            Change::Hold(arrived) | Change::Withdraw(arrived) => arrived,
        }
    }
}

/// A kind of view: what it is called, and how its index is made from its rows.
pub trait View: Send + Sync + 'static {
    /// What answers.
    type Index: Index;

    /// Its name for peers and people, the same everywhere: 1 to [`kappadb_core::limits::MAX_VIEW_NAME`] letters, digits,
    /// `-`, `_` or `.`.
    fn name(&self) -> &str;

    /// The version of its rows. Raising it makes the view anew from the log.
    fn version(&self) -> u32;

    /// Opens the index over its rows; there are none at first. Rows are only written in [`Index::apply`], except for what
    /// nothing refers to yet (such as the pages of a run before the row that installs it).
    fn open(&self, rows: Arc<dyn Tree>) -> Result<Self::Index, ViewError>;
}

/// A view over the rows of one tree. What it answers depends on the set of changes applied, never on their order or
/// batches, nor on the clock. Row keys that start with byte 0x00 belong to the engine.
pub trait Index: Send + Sync + 'static {
    /// Takes in changes, in order. Rows written to `rows` are committed together with the cursor; the index in memory may
    /// be changed at once: if anything fails from here on it is dropped and opened anew from its rows.
    ///
    /// Returns what became of each key, at most one notice a key.
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError>;

    /// The rows of the last [`Index::apply`] are committed. A place for upkeep (merging runs, sweeping).
    fn committed(&mut self) {}

    /// The entries that a peer who asks this must be sent: those that match where they are or where their past was, and are
    /// not redundant (`design/model.md`). In no particular order.
    fn matches(&self, selector: &Selector) -> Result<Vec<EntryId>, ViewError>;

    /// Looks for contradictions in its own rows; returns a sentence for each.
    fn check(&self) -> Result<Vec<String>, ViewError> {
        Ok(Vec::new())
    }
}

/// What changed about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The key.
    pub key: Vec<u8>,
    /// Its heads now.
    pub heads: Vec<EntryId>,
    /// What was a head before and is none now.
    pub gone: Vec<EntryId>,
}
