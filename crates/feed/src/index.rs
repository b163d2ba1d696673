//! Derived state in the making: what records teach, first in memory, then in one batch with the cursor.
//!
//! Appending, storing bundles and replaying the journal all come through here, so a rebuilt index is the one that was kept.

use crate::ReadError;
use crate::blocks::Blocks;
use crate::nodes::Nodes;
use crate::pages::{Fresh, KEPT_HEIGHT};
use crate::rows::{self, Came, Cursor, Forgotten};
use crate::state::{FeedState, Visible};
use kappadb_core::{FeedDefinition, FeedKey, Lseq, RangeSet, Seq};
use kappadb_journal::Position;
use kappadb_merkle::{ForkEvidence, Node, TreeError, flat};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

/// Rows about to be written before [`Index::is_heavy`]; a batch is a few MiB at most.
const HEAVY: usize = 100_000;

/// The blocks of one journal record.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub at: Position,
    pub first_lseq: Lseq,
    pub ranges: RangeSet,
    pub bytes: u64,
    /// Of these, what came without its payload.
    pub cleared: RangeSet,
}

/// The picture that readers see, and what is to be added to it.
pub(crate) struct Index {
    pub blocks: Arc<Blocks>,
    pub visible: Arc<RwLock<Visible>>,
    pub(crate) feeds: BTreeMap<FeedKey, FeedState>,
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Rows to be deleted.
    pub(crate) gone: BTreeSet<Vec<u8>>,
    /// What became of dropped feeds.
    pub(crate) dropped: BTreeMap<FeedKey, bool>,
    /// Feeds that were forgotten.
    pub(crate) forgotten: BTreeMap<FeedKey, Forgotten>,
    /// Damage that was settled.
    pub(crate) settled: BTreeSet<(u32, u64, u64)>,
    pub(crate) fresh: Fresh,
    /// Feeds, by number, of which all rows that were written are to be deleted.
    pub(crate) emptied: BTreeSet<u32>,
    /// Blocks that are held take another form.
    pub(crate) reforms: bool,
    /// How many feeds there are with those not yet visible.
    count: u32,
}

impl Index {
    pub fn new(blocks: Arc<Blocks>, visible: Arc<RwLock<Visible>>) -> Self {
        let count = visible.read().unwrap_or_else(PoisonError::into_inner).feeds.len();
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Index {
            blocks,
            visible,
            feeds: BTreeMap::new(),
            rows: BTreeMap::new(),
            gone: BTreeSet::new(),
            dropped: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            settled: BTreeSet::new(),
            fresh: Fresh::default(),
            emptied: BTreeSet::new(),
            reforms: false,
            count,
        }
    }

    pub(crate) fn published(&self, feed: &FeedKey) -> Option<Arc<FeedState>> {
        self.visible.read().unwrap_or_else(PoisonError::into_inner).feeds.get(feed).cloned()
    }

    /// Looks at the feed as it will be, without copying it.
    pub fn with<R>(&self, feed: &FeedKey, look: impl FnOnce(&FeedState) -> R) -> Option<R> {
        match self.feeds.get(feed) {
            Some(state) => Some(look(state)),
            None => self.published(feed).map(|state| look(&state)),
        }
    }

    /// The feed, to be changed.
    pub(crate) fn change(&mut self, feed: &FeedKey) -> Option<&mut FeedState> {
        if !self.feeds.contains_key(feed) {
            let state = FeedState::clone(self.published(feed)?.as_ref());
            self.feeds.insert(*feed, state);
        }
        self.feeds.get_mut(feed)
    }

    /// Calls `look` with where the feed's nodes are found: written, not yet written, or computed from durable blocks.
    pub fn with_nodes<R>(&self, feed: &FeedKey, look: impl FnOnce(&mut Nodes<'_>) -> R) -> Option<R> {
        let number = self.with(feed, |state| state.number)?;
        Some(self.with_numbered_nodes(feed, number, look))
    }

    fn with_numbered_nodes<R>(
        &self,
        feed: &FeedKey,
        number: u32,
        look: impl FnOnce(&mut Nodes<'_>) -> R,
    ) -> R {
        let published = self.published(feed);
        let none = RangeSet::new();
        match published.filter(|_| !self.emptied.contains(&number)) {
            Some(state) => look(&mut Nodes::new(&self.blocks, Some(&self.fresh), number, &state.held)),
            None => look(&mut Nodes::new(&self.blocks, Some(&self.fresh), number, &none).without_rows()),
        }
    }

    /// Changes the feed with its nodes at hand.
    pub fn change_with_nodes<R>(
        &mut self,
        feed: &FeedKey,
        change: impl FnOnce(&mut FeedState, &mut Nodes<'_>) -> R,
    ) -> Option<R> {
        self.change(feed)?;
        // Taken out for the time being: the nodes borrow the rest of the index.
        let mut state = self.feeds.remove(feed)?;
        let changed = self.with_numbered_nodes(feed, state.number, |nodes| change(&mut state, nodes));
        self.feeds.insert(*feed, state);
        Some(changed)
    }

    /// A definition, whose signature was checked. False if it was known.
    pub fn define(&mut self, definition: &FeedDefinition) -> bool {
        let new = self.with(&definition.feed, |_| ()).is_none();
        if new {
            self.feeds.insert(definition.feed, FeedState::new(self.count, *definition));
            self.count += 1;
        }
        new
    }

    /// Blocks that were written to the journal.
    pub fn arrive(&mut self, feed: &FeedKey, arrived: &Arrived) -> Result<(), ReadError> {
        let Some(state) = self.change(feed) else { return Ok(()) };
        let number = state.number;
        // Only where damage took the index's word for blocks that the journal still has.
        let again = state.held.intersection(&arrived.ranges);
        state.held.union_with(&arrived.ranges);
        state.bytes += arrived.bytes;
        if !arrived.cleared.is_empty() {
            state.cleared.union_with(&arrived.cleared);
            self.write_cleared(feed);
        }
        self.displace(number, &again)?;
        self.locate(number, arrived.at, &arrived.ranges);
        if !arrived.ranges.is_empty() {
            let came = Came { at: arrived.at, feed: number };
            self.rows.insert(rows::arrival_key(arrived.first_lseq), kappadb_core::codec::encode(&came));
        }
        Ok(())
    }

    /// Verified nodes, and every parent under `length` that follows from them and from what is at hand.
    pub fn learn(&mut self, feed: &FeedKey, length: u64, nodes: Vec<(u64, Node)>) -> Result<(), ReadError> {
        let number = self.with(feed, |state| state.number).ok_or(ReadError::Undefined(*feed))?;
        let closed =
            self.with_nodes(feed, |old| close(old, length, nodes)).ok_or(ReadError::Undefined(*feed))??;
        self.fresh.extend(number, closed);
        Ok(())
    }

    /// Verified nodes that need no joining, and the roots of the tree that they lead to.
    pub fn keep(&mut self, number: u32, nodes: Vec<(u64, Node)>, roots: &[(u64, Node)]) {
        self.fresh.extend(number, nodes);
        self.fresh.set_roots(number, roots);
    }

    /// Evidence that was checked: from `seq` on the feed is not trusted. The lowest counts. False if that was known.
    pub fn fork(&mut self, seq: Seq, evidence: ForkEvidence) -> bool {
        let Some(state) = self.change(&evidence.feed) else { return false };
        let new = state.fork.as_ref().is_none_or(|(known, _)| seq < *known);
        if new {
            let (number, value) = (state.number, kappadb_core::codec::encode(&evidence));
            state.fork = Some((seq, Arc::new(evidence)));
            self.rows.insert(rows::fork_key(number), value);
        }
        new
    }

    /// Blocks that were appended here, up to `end`.
    pub fn appended(&mut self, feed: &FeedKey, end: u64) {
        if let Some(state) = self.change(feed) {
            state.appended = state.appended.max(end);
        }
    }

    /// A head of this length came from a peer.
    pub fn seen(&mut self, feed: &FeedKey, length: u64) {
        if let Some(state) = self.change(feed) {
            state.seen = state.seen.max(length);
        }
    }

    /// Makes `visible` the picture that readers see, filled with what this index has published so far.
    pub fn show_in(&mut self, visible: &Arc<RwLock<Visible>>) {
        let built = std::mem::take(&mut *self.visible.write().unwrap_or_else(PoisonError::into_inner));
        let mut shown = visible.write().unwrap_or_else(PoisonError::into_inner);
        let (changes, reforms, exclusions) = (shown.changes + 1, shown.reforms + 1, shown.exclusions + 1);
        let Visible { setbacks, unsynced, .. } = *shown;
        *shown = Visible { changes, reforms, exclusions, setbacks, unsynced, ..built };
        drop(shown);
        self.visible = visible.clone();
    }

    /// True if there is anything to write.
    pub fn has_news(&self) -> bool {
        let rows = !(self.rows.is_empty() && self.gone.is_empty() && self.fresh.len() == 0);
        let lists = !(self.dropped.is_empty() && self.forgotten.is_empty() && self.settled.is_empty());
        rows || lists || !self.feeds.is_empty()
    }

    /// True if it is time to write what has gathered.
    pub fn is_heavy(&self) -> bool {
        self.rows.len() + self.gone.len() + self.fresh.len() > HEAVY
    }

    /// Writes everything in one batch with the cursor, then lets readers see it. What it tells of is durable in the
    /// journal, or kept there. After an error nothing of it is visible.
    pub fn publish(&mut self, cursor: &Cursor) -> Result<(), ReadError> {
        let batch = self.batch(cursor)?;
        self.blocks.tree.apply(&batch)?;
        self.rows.clear();
        self.gone.clear();
        self.fresh.clear();
        self.emptied.clear();
        let mut visible = self.visible.write().unwrap_or_else(PoisonError::into_inner);
        visible.changes += 1;
        let given_up = !(self.dropped.is_empty() && self.forgotten.is_empty() && self.settled.is_empty());
        visible.reforms += u64::from(std::mem::take(&mut self.reforms) || given_up);
        std::mem::take(&mut self.feeds).into_values().for_each(|state| visible.show(state));
        for (feed, dropped) in std::mem::take(&mut self.dropped) {
            visible.set_dropped(feed, dropped);
        }
        visible.forgotten.append(&mut self.forgotten);
        visible.settled.append(&mut self.settled);
        visible.end = cursor.lseq;
        visible.unsynced = cursor.durable < cursor.at;
        Ok(())
    }
}

/// Adds to `nodes` the parents, up to the roots of `length`, of which both children are in it or in `old`. Each comes once, the lower
/// ones first, those of one height in ascending order.
pub(crate) fn close(
    old: &mut Nodes<'_>,
    length: u64,
    nodes: Vec<(u64, Node)>,
) -> Result<Vec<(u64, Node)>, ReadError> {
    let mut levels: BTreeMap<u32, Vec<(u64, Node)>> = BTreeMap::new();
    for (index, node) in nodes {
        levels.entry(flat::height(index)).or_default().push((index, node));
    }
    let mut closed = Vec::new();
    while let Some((height, mut level)) = levels.pop_first() {
        if level.is_empty() {
            continue;
        }
        level.sort_unstable_by_key(|(index, _)| *index);
        level.dedup_by_key(|(index, _)| *index);
        let above = levels.entry(height + 1).or_default();
        above.sort_unstable_by_key(|(index, _)| *index);
        let joined = parents_of(old, length, &level, above)?;
        above.extend(joined);
        closed.append(&mut level);
    }
    Ok(closed)
}

/// The parents of nodes of one height, ascending, but for those that are in `known`.
fn parents_of(
    old: &mut Nodes<'_>,
    length: u64,
    level: &[(u64, Node)],
    known: &[(u64, Node)],
) -> Result<Vec<(u64, Node)>, ReadError> {
    let mut known = known.iter().map(|(index, _)| *index).peekable();
    let (mut joined, mut rest) = (Vec::new(), level);
    while let [(index, node), after @ ..] = rest {
        let up = flat::parent(*index);
        // Of two siblings the right one comes next.
        let beside = after.first().filter(|(next, _)| *next == flat::sibling(*index));
        rest = after.get(usize::from(beside.is_some())..).unwrap_or_default();
        while known.next_if(|index| *index < up).is_some() {}
        if !flat::in_tree(up, length) || known.peek() == Some(&up) {
            continue;
        }
        let above = match beside {
            Some((_, other)) => Some(join(*index, node, other)?),
            None => match old.get(up)? {
                // A kept node has its own above it already. A low one may have been computed just now.
                Some(above) => (flat::height(up) < KEPT_HEIGHT).then_some(above),
                None => {
                    old.get(flat::sibling(*index))?.map(|other| join(*index, node, &other)).transpose()?
                }
            },
        };
        joined.extend(above.map(|above| (up, above)));
    }
    Ok(joined)
}

/// The parent of the node at `index` and its sibling.
pub(crate) fn join(index: u64, node: &Node, sibling: &Node) -> Result<Node, TreeError> {
    match index < flat::sibling(index) {
        true => kappadb_merkle::parent(node, sibling),
        false => kappadb_merkle::parent(sibling, node),
    }
}
