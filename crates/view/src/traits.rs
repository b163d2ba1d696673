use crate::{Payloads, ViewError};
use kappadb_core::{EntryId, FeedKey, Lseq};
use kappadb_entry::{Entry, kind_of};
use kappadb_feed::Arrival;
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An entry that reached this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its place in the arrival log. What a view says of the set of entries must not depend on it: only of what is about this replica alone,
    /// such as what is new here.
    pub lseq: Lseq,
    /// Its name.
    pub id: EntryId,
    /// What it says. Its payload is missing if it was cleared: then a view shows what it can from the header. It is empty if it lies in blocks of its own:
    /// [`Payloads::open`] reads it wherever it is.
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

    /// The space of kinds that it is about (`kappadb_entry::space`), if it is one. Default: all are of interest.
    fn space(&self) -> Option<u32> {
        None
    }

    /// Whether it is to be given the entry in this block, as far as the block's first bytes show: what it does not want is not decoded for it.
    /// `next` came after it: a view that looks at how far feeds have come may pass over what the next one of the same feed says as well. None does
    /// not mean that there is no next.
    ///
    /// Default: what is in [the space](View::space) that it is about. What a view does not understand it should want: then it is counted as passed over.
    fn wants(&self, arrival: &Arrival, next: Option<&Arrival>) -> bool {
        let _ = next;
        let about = |space| kind_of(&arrival.block).is_none_or(|kind| kind.space == space);
        self.space().is_none_or(about)
    }

    /// Opens the index over its rows; there are none at first. Rows are only written in [`Index::apply`], except for what
    /// nothing refers to yet (such as the pages of a run before the row that installs it).
    fn open(&self, rows: Arc<dyn Tree>) -> Result<Self::Index, ViewError>;
}

/// A view over the rows of one tree. What it answers depends on the set of changes applied, never on their order or
/// batches, nor on the clock. Row keys that start with byte 0x00 belong to the engine.
pub trait Index: Send + Sync + 'static {
    /// Is given, once and before anything else, what reads payloads of any size. An index that wants it keeps it. Default: it does not.
    ///
    /// While changes are taken in, all of an entry's payload is there on a replica that holds everything. On others a part may come later, or be cleared;
    /// nothing tells the index of that. So what an index keeps should rest on what the entry itself says, and on its payload only as far as an answer may
    /// lack something; or the payload is read when the index is asked.
    fn payloads(&mut self, payloads: Payloads) {
        let _ = payloads;
    }

    /// Takes in changes, in order. Rows written to `rows` are committed together with the cursor; the index in memory may
    /// be changed at once: if anything fails from here on it is dropped and opened anew from its rows.
    ///
    /// Returns what became of each key, at most one notice a key.
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError>;

    /// A job that makes this index better at rest, to be done in the background while it goes on answering and taking changes
    /// in: merging runs, sweeping. Asked for after each batch, unless a job of this index is under way. `idle` is true if
    /// nothing waits to be indexed: time for work that can be put off.
    ///
    /// Never changes what the index answers.
    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>>
    where
        Self: Sized,
    {
        let _ = idle;
        None
    }

    /// The entries that a peer who asks this must be sent: those that match where they are or where their past was, and are
    /// not redundant (`design/model.md`). In no particular order.
    ///
    /// All as if no entry of the feeds `without` were held: the asker has dropped them. What only they made redundant is sent then
    /// ([`KeyedReader::active_without`](crate::KeyedReader::active_without)), and they count for no limit.
    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError>;

    /// Compares it with one that was made anew from the same entries; returns a sentence for each difference. `fresh` may lie in as little memory as it
    /// takes to read along both.
    ///
    /// Default: what both would send to whoever asks for everything.
    fn compare(&self, fresh: &Self) -> Result<Vec<String>, ViewError>
    where
        Self: Sized,
    {
        let all = |index: &Self| match index.matches(&Selector::Everything, &BTreeSet::new()) {
            Ok(mut ids) => {
                ids.sort_unstable();
                ids.dedup();
                Ok(ids)
            }
            Err(ViewError::Unsupported) => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        Ok(differences(&all(self)?, &all(fresh)?))
    }

    /// Looks for contradictions in its own rows; returns a sentence for each.
    fn check(&self) -> Result<Vec<String>, ViewError> {
        Ok(Vec::new())
    }
}

/// A job in the background, on behalf of an index. It may be dropped between any two calls (at closing, on errors, by a crash):
/// what it wrote until then must be of no meaning to an index opened anew, which may sweep it.
pub trait Upkeep<I>: Send {
    /// Does a piece of the work, of some milliseconds, on a thread of its own and without the index: reads rows that do not change,
    /// writes or removes rows that nothing refers to. Returns whether there is more.
    ///
    /// # Errors
    /// The job ends, and the index is opened anew.
    fn work(&mut self) -> Result<bool, ViewError>;

    /// Puts the finished work in place, between two batches: nothing else is done with the index meanwhile, so be brief. Rows are
    /// committed as those of [`Index::apply`] are.
    fn install(self: Box<Self>, index: &mut I, rows: &mut Overlay<'_>) -> Result<(), ViewError>;
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
    /// How often the heads changed in the batch that this tells of: above 1 there were others between.
    pub changes: u32,
}

/// What an index has and should not have, and what it lacks, a sentence each. Both are ascending.
pub fn differences(kept: &[EntryId], fresh: &[EntryId]) -> Vec<String> {
    let not_in = |ids: &[EntryId], id: &&EntryId| ids.binary_search(id).is_err();
    let extra =
        kept.iter().filter(|id| not_in(fresh, id)).map(|id| format!("{id} is in it and should not be"));
    let missing = fresh.iter().filter(|id| not_in(kept, id)).map(|id| format!("{id} is missing"));
    extra.chain(missing).collect()
}
