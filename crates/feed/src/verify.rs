//! Checking everything: checksums, signatures, every block's path to a signed head, and every derived row against the journal.
//!
//! The journal is replayed into memory with all checks on; what comes out is what derived state must be.

use crate::blocks::Blocks;
use crate::heads::{has_roots, leads_up_with};
use crate::index::{Index, close};
use crate::nodes::Nodes;
use crate::pages::{KEPT_HEIGHT, Page, Place};
use crate::replay::Replay;
use crate::rows::{self, tag};
use crate::state::{FeedState, Visible, run};
use crate::writer::Writer;
use crate::{CommitError, OpenError, Problem, ReadError};
use bytes::Bytes;
use kappadb_core::{EntryId, FeedKey, RangeSet, SignedHead};
use kappadb_journal::{Damage, Position};
use kappadb_merkle::{Node, flat};
use kappadb_store::{MemoryStore, Store, Tree};
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

/// Blocks hashed at once.
const CHUNK: u64 = 1 << 12;

pub(crate) fn verify(
    writer: &mut Writer,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<Problem>, OpenError> {
    writer.commit()?;
    let total = writer.journal()?.next_lseq();
    let reader = writer.journal()?.reader();
    let tree = MemoryStore::new().tree(rows::TREE)?;
    let visible: Arc<RwLock<Visible>> = Arc::default();
    let mut index = Index::new(Arc::new(Blocks::new(tree, reader)), visible.clone());
    let layout = writer.journal()?.layout();
    let replay = Replay::new(&mut index, writer.database, None, layout, true);
    let (_, found) = replay.run(Position::START, total, progress)?;
    index.publish(&writer.cursor()?)?;
    remember(writer, &found.damage)?;
    let mut problems: Vec<Problem> = found.damage.into_iter().map(Problem::Damage).collect();
    problems.extend(found.problems);
    let visible = visible.read().unwrap_or_else(PoisonError::into_inner);
    for (feed, state) in &visible.feeds {
        problems.extend(check_feed(&index.blocks, feed, state)?);
    }
    match compare(&*writer.index.blocks.tree, &index.blocks, &visible) {
        Ok(differences) => problems.extend(differences),
        Err(error) => problems.push(Problem::Derived(error.to_string())),
    }
    Ok(problems)
}

impl From<ReadError> for CommitError {
    fn from(error: ReadError) -> Self {
        CommitError::Derived(Arc::new(error))
    }
}

/// From now on own feeds take no appends, and the next opening looks through the whole journal.
fn remember(writer: &mut Writer, found: &[Damage]) -> Result<(), OpenError> {
    let new: Vec<Damage> = found.iter().filter(|damage| !writer.damage.contains(damage)).cloned().collect();
    if !new.is_empty() {
        writer.damage.extend(new);
        writer.dirty = true;
        writer.commit()?;
    }
    Ok(())
}

/// Every held block must lead to the roots of a signed head.
fn check_feed(blocks: &Blocks, feed: &FeedKey, state: &FeedState) -> Result<Vec<Problem>, ReadError> {
    let newest = state.newest.map(|head| (head, state.linked(&state.held)));
    let others = state.unlinked.iter().map(|unlinked| (unlinked.head, unlinked.ranges.clone()));
    let mut problems = Vec::new();
    for (head, ranges) in newest.into_iter().chain(others) {
        let mut nodes = Nodes::new(blocks, None, state.number, &state.held);
        if !has_roots(&head, &mut nodes)? {
            problems.push(Problem::Head { feed: *feed, length: head.head.length });
            continue;
        }
        for part in ranges.ranges() {
            let mut start = part.start;
            while start < part.end {
                let end = (start - start % CHUNK + CHUNK).min(part.end);
                let chunk = run(start..end);
                let mut nodes = Nodes::new(blocks, None, state.number, &state.held);
                problems.extend(check_chunk(blocks, &mut nodes, feed, state.number, &head, &chunk)?);
                start = end;
            }
        }
    }
    Ok(problems)
}

fn check_chunk(
    blocks: &Blocks,
    nodes: &mut Nodes<'_>,
    feed: &FeedKey,
    number: u32,
    head: &SignedHead,
    chunk: &RangeSet,
) -> Result<Vec<Problem>, ReadError> {
    let problem = |seq, reason: String| vec![Problem::Block { id: EntryId { feed: *feed, seq }, reason }];
    let first = chunk.iter().next().unwrap_or_default();
    let (seqs, found): (Vec<_>, Vec<_>) = match blocks.collect(number, chunk) {
        Ok(found) => found.into_iter().unzip(),
        Err(error) => return Ok(problem(first, error.to_string())),
    };
    if let Some(missing) = chunk.minus(&seqs.iter().copied().collect()).iter().next() {
        return Ok(problem(missing, "it is not where it should be".to_owned()));
    }
    let leaves = match kappadb_entry::leaf_nodes(&found) {
        Ok(leaves) => seqs.iter().copied().map(flat::leaf_index).zip(leaves).collect(),
        Err(error) => return Ok(problem(first, error.to_string())),
    };
    let length = head.head.length;
    let mut unproved = Vec::new();
    let closed: HashMap<u64, Node> = close(nodes, length, leaves)?.into_iter().collect();
    for (&index, &node) in &closed {
        let top = flat::is_root(index, length) || !closed.contains_key(&flat::parent(index));
        if differs(nodes, index, &node)? || (top && !leads_up_with(index, Some(node), length, nodes)?) {
            unproved.push(flat::leaf_span(index).start.max(first));
        }
    }
    unproved.sort_unstable();
    unproved.dedup();
    Ok(unproved.into_iter().map(|seq| Problem::Unproved(EntryId { feed: *feed, seq })).collect())
}

fn differs(nodes: &mut Nodes<'_>, index: u64, node: &Node) -> Result<bool, ReadError> {
    Ok(flat::height(index) >= KEPT_HEIGHT && nodes.get(index)?.is_some_and(|held| held != *node))
}

type Rows = BTreeMap<Bytes, Bytes>;

fn all_rows(tree: &dyn Tree) -> Result<Rows, ReadError> {
    let rows = tree.range(Bound::Unbounded, Bound::Unbounded);
    let rows = rows.filter(|row| !row.as_ref().is_ok_and(|(key, _)| key.first() == Some(&tag::CURSOR)));
    Ok(rows.collect::<Result<_, _>>()?)
}

/// `kept` must have the rows that the journal gives, but may have or lack nodes that can be computed from blocks: whether these were
/// written depends on what came together.
fn compare(kept: &dyn Tree, derived: &Blocks, visible: &Visible) -> Result<Vec<Problem>, ReadError> {
    let (kept, made) = (all_rows(kept)?, all_rows(&*derived.tree)?);
    let states: BTreeMap<u32, &FeedState> =
        visible.feeds.values().map(|state| (state.number, &**state)).collect();
    let mut problems = Vec::new();
    for (key, value) in &made {
        match kept.get(key) {
            Some(found) if found == value => {}
            found if key.first() == Some(&tag::NODES) => {
                let (found, made) = (found.map(|row| Page::decode(row)).transpose(), Page::decode(value)?);
                match found.map(Option::unwrap_or_default) {
                    Ok(found) if !bears_out(derived, &states, key, &found, &made)? => {
                        problems.push(Problem::RowWrong(name(key)));
                    }
                    Ok(found) if !bears_out(derived, &states, key, &made, &found)? => {
                        problems.push(Problem::RowMissing(name(key)));
                    }
                    Ok(_) => {}
                    Err(_) => problems.push(Problem::RowWrong(name(key))),
                }
            }
            Some(_) => problems.push(Problem::RowWrong(name(key))),
            None => problems.push(Problem::RowMissing(name(key))),
        }
    }
    for (key, value) in kept.iter().filter(|(key, _)| !made.contains_key(*key)) {
        let page = (key.first() == Some(&tag::NODES)).then(|| Page::decode(value).ok()).flatten();
        let none = Page::default();
        if !page.map_or(Ok(false), |page| bears_out(derived, &states, key, &page, &none))? {
            problems.push(Problem::RowWrong(name(key)));
        }
    }
    Ok(problems)
}

/// True if each node of the first page is in the second, or need not be written and is what it would be.
fn bears_out(
    blocks: &Blocks,
    states: &BTreeMap<u32, &FeedState>,
    key: &Bytes,
    page: &Page,
    other: &Page,
) -> Result<bool, ReadError> {
    let state = rows::feed_number(key).and_then(|number| states.get(&number));
    for (index, node) in page.nodes(rows::number_at_end(key).unwrap_or_default()) {
        let Some(index) = index.filter(|index| *index < flat::END) else { return Ok(false) };
        let found = match (other.get(Place::of(index))?, state) {
            (None, Some(state)) if flat::height(index) < KEPT_HEIGHT => {
                Nodes::new(blocks, None, state.number, &state.held).without_rows().get(index)?
            }
            (found, _) => found,
        };
        if found != Some(node) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn name(key: &[u8]) -> String {
    let kind = match key.first() {
        Some(&tag::FEED) => "feed",
        Some(&tag::LOCATION) => "location",
        Some(&tag::ARRIVAL) => "arrival",
        Some(&tag::NODES) => "nodes",
        Some(&tag::FORK) => "fork",
        Some(&tag::CLEARED) => "cleared",
        Some(&tag::DROPPED) => "dropped",
        Some(&tag::FORGOTTEN) => "forgotten",
        Some(&tag::SETTLED) => "settled",
        _ => "unknown",
    };
    let digits: String = key.iter().skip(1).map(|byte| format!("{byte:02x}")).collect();
    format!("{kind} {digits}")
}
