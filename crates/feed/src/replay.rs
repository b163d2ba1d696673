//! Deriving state from the journal, record by record.

use crate::index::{Arrived, Index};
use crate::rows::{self, Cursor};
use crate::state::run;
use crate::{Problem, ReadError};
use kappadb_core::limits::MAX_FEED_BLOCKS;
use kappadb_core::{
    DatabaseId, EntryId, FeedKey, Form, Lseq, RangeSet, Seq, Signature, SignedHead, StoredBlock,
};
use kappadb_journal::{Damage, Located, Position, Record};
use kappadb_merkle::{Node, flat};
use std::collections::BTreeMap;

/// A replay under way.
pub(crate) struct Replay<'a> {
    index: &'a mut Index,
    database: DatabaseId,
    /// Whether signatures are checked again. Records were verified before they were written, and have checksums.
    check: bool,
    /// Appended blocks whose head has not come yet.
    stash: BTreeMap<FeedKey, Stash>,
    pub anchor: Option<(Position, Signature)>,
    layout: Vec<(u32, u8)>,
    pub found: Found,
}

/// What a replay came across.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub problems: Vec<Problem>,
    pub damage: Vec<Damage>,
    /// Appended blocks that no head covers.
    pub dropped: u64,
    /// Feeds with such blocks at the end.
    pub headless: Vec<FeedKey>,
}

#[derive(Default)]
struct Stash {
    arrived: Vec<Arrived>,
    leaves: Vec<(u64, Node)>,
    next: Seq,
}

impl Stash {
    fn count(&self) -> u64 {
        self.arrived.iter().map(|arrived| arrived.ranges.count()).sum()
    }
}

impl<'a> Replay<'a> {
    pub fn new(
        index: &'a mut Index,
        database: DatabaseId,
        anchor: Option<(Position, Signature)>,
        layout: Vec<(u32, u8)>,
        check: bool,
    ) -> Self {
        let (stash, found) = (BTreeMap::new(), Found::default());
        Replay { index, database, check, stash, anchor, layout, found }
    }

    /// Takes in every durable record from `from` on. `progress` is told `lseq`s.
    pub fn run(
        mut self,
        from: Position,
        total: Lseq,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Option<(Position, Signature)>, Found), ReadError> {
        for item in self.index.blocks.reader.clone().scan(from) {
            match item {
                Ok(located) => {
                    let (next, lseq) =
                        (located.next, located.first_lseq.saturating_add(located.record.block_count()));
                    self.take_in(located)?;
                    self.save_now_and_then(next, lseq)?;
                    progress(lseq.min(total), total);
                }
                Err(damage) => self.found.damage.push(damage),
            }
        }
        for (feed, stash) in std::mem::take(&mut self.stash) {
            self.found.dropped += stash.count();
            self.found.headless.push(feed);
        }
        Ok((self.anchor, self.found))
    }

    /// A cursor may not stand between blocks and their head.
    fn save_now_and_then(&mut self, at: Position, lseq: Lseq) -> Result<(), ReadError> {
        if !self.index.is_heavy() || !self.stash.is_empty() {
            return Ok(());
        }
        let (format, database, anchor) = (rows::FORMAT, self.database, self.anchor);
        let (damaged, layout) = (!self.found.damage.is_empty(), self.layout.clone());
        self.index.publish(&Cursor { format, database, at, durable: at, lseq, anchor, damaged, layout })
    }

    fn take_in(&mut self, located: Located) -> Result<(), ReadError> {
        let Located { at, first_lseq, record, .. } = located;
        if let Some(feed) = beyond(&record) {
            self.found.problems.push(Problem::Beyond(feed));
            return Ok(());
        }
        match record {
            Record::Blocks { feed, first, blocks } if self.is_defined(&feed) => {
                let ranges = run(first..first + blocks.len() as u64);
                self.stash_blocks(feed, arrived(at, first_lseq, ranges, &blocks), &blocks);
                Ok(())
            }
            Record::Head { feed, head } if self.is_defined(&feed) => {
                self.anchor = Some((at, head.signature));
                self.head(feed, head)
            }
            Record::Fetched { feed, head, ranges, nodes, blocks } if self.is_defined(&feed) => {
                self.anchor = Some((at, head.signature));
                self.fetched(feed, head, nodes, arrived(at, first_lseq, ranges, &blocks), &blocks)
            }
            Record::Definition(definition) => {
                let good = !self.check || definition.verify(&self.database).is_ok();
                if !good {
                    self.found.problems.push(Problem::Signature(definition.feed));
                }
                self.index.define(&definition);
                Ok(())
            }
            Record::Fork(evidence) if self.is_defined(&evidence.feed) => {
                match evidence.verify(&self.database) {
                    Ok(seq) => drop(self.index.fork(seq, evidence)),
                    Err(_) => self.found.problems.push(Problem::Signature(evidence.feed)),
                }
                Ok(())
            }
            Record::Clear { feed, ranges, freed } if self.is_defined(&feed) => {
                self.index.clear(&feed, &ranges, freed);
                Ok(())
            }
            Record::Drop(feed) => {
                self.index.drop_feed(&feed, true);
                Ok(())
            }
            Record::Allow(feed) => {
                self.index.drop_feed(&feed, false);
                Ok(())
            }
            // Without any blocks it says that from here on nothing of the feed is held.
            Record::Gone { feed, blocks: 0 } => self.index.forget(&feed, first_lseq),
            Record::Filled { feed, ranges, blocks } if self.is_defined(&feed) => {
                self.index.fill(&feed, at, &ranges, &blocks)
            }
            Record::Settled { damage, given_up } => {
                self.index.settle(&damage, &given_up);
                Ok(())
            }
            // Blocks of a dropped feed that are no more, and the journal's own.
            _ => Ok(()),
        }
    }

    fn is_defined(&mut self, feed: &FeedKey) -> bool {
        let defined = self.index.with(feed, |_| ()).is_some();
        if !defined && !self.found.problems.contains(&Problem::Undefined(*feed)) {
            self.found.problems.push(Problem::Undefined(*feed));
        }
        defined
    }

    fn leaves(
        &mut self,
        feed: FeedKey,
        ranges: &RangeSet,
        blocks: &[StoredBlock],
    ) -> Option<Vec<(u64, Node)>> {
        match kappadb_entry::leaf_nodes(blocks) {
            Ok(nodes) => Some(ranges.iter().map(flat::leaf_index).zip(nodes).collect()),
            Err(error) => {
                let id = EntryId { feed, seq: ranges.iter().next().unwrap_or_default() };
                self.found.problems.push(Problem::Block { id, reason: error.to_string() });
                None
            }
        }
    }

    /// Blocks that follow on those in wait are in wait with them. Blocks at or before these come after a crash that
    /// kept the others' head from the disk: the others are gone.
    fn stash_blocks(&mut self, feed: FeedKey, arrived: Arrived, blocks: &[StoredBlock]) {
        let Some(leaves) = self.leaves(feed, &arrived.ranges, blocks) else { return };
        let stash = self.stash.entry(feed).or_default();
        if arrived.ranges.intersects(&(0..stash.next)) {
            self.found.dropped += stash.count();
            *stash = Stash::default();
        }
        stash.next = arrived.ranges.end();
        stash.leaves.extend(leaves);
        stash.arrived.push(arrived);
    }

    fn head(&mut self, feed: FeedKey, head: SignedHead) -> Result<(), ReadError> {
        self.check_head(feed, &head);
        let length = head.head.length;
        let mut stash = self.stash.remove(&feed).unwrap_or_default();
        let all = stash.count();
        stash.arrived.retain(|arrived| arrived.ranges.end() <= length);
        stash.leaves.retain(|(index, _)| flat::in_tree(*index, length));
        self.found.dropped += all - stash.count();
        self.index.learn(&feed, length, stash.leaves)?;
        let ranges: RangeSet =
            stash.arrived.iter().flat_map(|arrived| arrived.ranges.ranges().to_vec()).collect();
        stash.arrived.iter().try_for_each(|arrived| self.index.arrive(&feed, arrived))?;
        self.index.appended(&feed, ranges.end());
        self.index.state_head(&feed, head, &ranges)?;
        self.check_leads(feed, &head, &ranges);
        Ok(())
    }

    fn fetched(
        &mut self,
        feed: FeedKey,
        head: SignedHead,
        mut nodes: Vec<(u64, Node)>,
        arrived: Arrived,
        blocks: &[StoredBlock],
    ) -> Result<(), ReadError> {
        self.check_head(feed, &head);
        let Some(leaves) = self.leaves(feed, &arrived.ranges, blocks) else { return Ok(()) };
        nodes.extend(leaves);
        self.index.learn(&feed, head.head.length, nodes)?;
        self.index.arrive(&feed, &arrived)?;
        self.index.seen(&feed, head.head.length);
        self.index.state_head(&feed, head, &arrived.ranges)
    }

    fn check_head(&mut self, feed: FeedKey, head: &SignedHead) {
        if self.check && head.verify(&self.database, &feed).is_err() {
            self.found.problems.push(Problem::Signature(feed));
        }
    }

    /// A head over blocks appended here leads the feed, unless damage took some of its blocks.
    fn check_leads(&mut self, feed: FeedKey, head: &SignedHead, ranges: &RangeSet) {
        let leads =
            self.index.with(&feed, |state| state.newest.is_some_and(|newest| newest.head == head.head));
        if leads != Some(true) && !ranges.is_empty() {
            self.found.problems.push(Problem::Head { feed, length: head.head.length });
        }
    }
}

/// The feed of a record that speaks of what no tree can have.
fn beyond(record: &Record) -> Option<FeedKey> {
    let (feed, fits) = match record {
        Record::Blocks { feed, first, blocks } => {
            (feed, first.saturating_add(blocks.len() as u64) <= MAX_FEED_BLOCKS)
        }
        Record::Head { feed, head } => (feed, head.head.length <= MAX_FEED_BLOCKS),
        Record::Fetched { feed, head, ranges, nodes, .. } => {
            let length = head.head.length;
            let in_tree = nodes.iter().all(|(index, _)| flat::in_tree(*index, length));
            (feed, length <= MAX_FEED_BLOCKS && ranges.end() <= length && in_tree)
        }
        _ => return None,
    };
    (!fits).then_some(*feed)
}

fn arrived(at: Position, first_lseq: Lseq, ranges: RangeSet, blocks: &[StoredBlock]) -> Arrived {
    let bytes = blocks.iter().map(|block| block.bytes.len() as u64).sum();
    let cleared = without_payload(&ranges, blocks);
    Arrived { at, first_lseq, ranges, bytes, cleared }
}

/// Which of these blocks came without their payload.
pub(crate) fn without_payload(ranges: &RangeSet, blocks: &[StoredBlock]) -> RangeSet {
    let pairs = ranges.iter().zip(blocks);
    pairs.filter(|(_, block)| block.form == Form::Cleared).map(|(seq, _)| seq).collect()
}
