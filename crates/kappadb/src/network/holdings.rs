//! How much there is of all feeds, and how much of it is here. What comes from peers is shown once it is durable, which may be long after: so it is
//! counted apart.

use super::Network;
use super::forks::Answers;
use kappadb_core::{FeedKey, RangeSet, Seq};
use kappadb_feed::FeedInfo;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much there is of all feeds, as far as it is known, and how much of that is here. What lies beyond a fork counts nowhere, nor does a feed
/// that was dropped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Blocks that there are.
    pub blocks: u64,
    /// Feeds that have any.
    pub feeds: u64,
    /// Blocks that are held here, also those whose payload was cleared.
    pub held: u64,
    /// Feeds of which a block is not held here.
    pub lacking: u64,
    /// Blocks that came from peers since the database was opened, also those that are not yet durable, and so not yet shown.
    pub fetched: u64,
}

/// What came from peers.
#[derive(Default)]
pub(super) struct Coming {
    blocks: AtomicU64,
    /// How long the feeds are of which something came that is not shown yet.
    lengths: Mutex<BTreeMap<FeedKey, Seq>>,
}

impl Coming {
    fn lengths(&self) -> MutexGuard<'_, BTreeMap<FeedKey, Seq>> {
        self.lengths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many blocks came of a feed that is so long.
    pub fn note(&self, feed: FeedKey, blocks: u64, length: Seq) {
        self.blocks.fetch_add(blocks, Ordering::Relaxed);
        raise(&mut self.lengths(), feed, length);
    }

    /// All that came is shown.
    pub fn shown(&self) {
        self.lengths().clear();
    }
}

fn raise(lengths: &mut BTreeMap<FeedKey, Seq>, feed: FeedKey, length: Seq) {
    let known = lengths.entry(feed).or_default();
    *known = length.max(*known);
}

impl Holdings {
    /// Those of a replica. Some feeds may be said to be longer than is known there.
    pub(crate) fn of(network: &Network, said: &BTreeMap<FeedKey, Seq>) -> Holdings {
        let mut lengths = said.clone();
        network.coming.lengths().iter().for_each(|(feed, length)| raise(&mut lengths, *feed, *length));
        let fetched = network.coming.blocks.load(Ordering::Relaxed);
        let mut all = Holdings { fetched, ..Holdings::default() };
        for info in network.feeds.list() {
            let length = info.length.max(lengths.remove(&info.feed).unwrap_or(0));
            if info.dropped {
                continue;
            }
            let blocks = length.min(info.fork.unwrap_or(Seq::MAX));
            let held = that_counts(network, &info);
            all.blocks += blocks;
            all.feeds += u64::from(blocks > 0);
            all.held += held;
            all.lacking += u64::from(held < blocks);
        }
        // Those that were not heard of before.
        for length in lengths.into_values().filter(|length| *length > 0) {
            all.blocks += length;
            all.feeds += 1;
            all.lacking += 1;
        }
        all
    }
}

/// Blocks held of a feed that are not beyond its fork.
fn that_counts(network: &Network, info: &FeedInfo) -> u64 {
    let below = |fork| network.feeds.held(&info.feed).intersection(&RangeSet::below(fork)).count();
    info.fork.map_or(info.held, below)
}

impl Answers {
    /// How long the peers say that feeds are.
    pub fn lengths(&self) -> BTreeMap<FeedKey, Seq> {
        let mut lengths = BTreeMap::new();
        for coverage in self.stated.values().flat_map(|stated| &stated.coverage) {
            raise(&mut lengths, coverage.definition.feed, coverage.length);
        }
        lengths
    }
}
