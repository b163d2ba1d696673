//! Who names what was not written yet. No honest entry names an own entry that did not exist when it arrived here: whoever does claims to
//! have replaced what this replica is yet to write, and hides it where nothing says where an entry is (`design/model.md`, "Liars are named").
//!
//! A view like any other, over the arrival log, which has both: what came from others, and when this replica wrote what. So what it says
//! lasts, is made anew with everything derived, and ends with a feed that is dropped.

use super::{Network, own_lengths};
use crate::error::ReadError;
use kappadb_core::{EntryId, FeedKey, FeedName, Seq, codec};
use kappadb_entry::{Context, context_of};
use kappadb_feed::{Arrival, Feeds};
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::{Arrived, Change, Index, Notice, View, ViewError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const LENGTHS: u8 = 1;
const LIES: u8 = 2;
const MAX_ROW: usize = 256;
/// Feeds that people are warned of by name.
const NAMED: usize = 8;

/// The view. `is_own` tells which feeds are written here.
pub(super) struct Liars {
    is_own: Arc<dyn Fn(&FeedKey) -> bool + Send + Sync>,
}

/// The first entry of each feed that names an own entry which was not written yet, and which own feed.
pub(super) type Lies = BTreeMap<FeedKey, (Seq, FeedKey)>;

pub(super) struct LiarsIndex {
    is_own: Arc<dyn Fn(&FeedKey) -> bool + Send + Sync>,
    /// How long each own feed is by now.
    own: BTreeMap<FeedName, (FeedKey, u64)>,
    lies: Lies,
}

impl Liars {
    pub fn new(feeds: &Feeds) -> Liars {
        let feeds = feeds.clone();
        Liars { is_own: Arc::new(move |feed| feeds.is_own(feed)) }
    }
}

impl View for Liars {
    type Index = LiarsIndex;

    fn name(&self) -> &str {
        "liars"
    }

    fn version(&self) -> u32 {
        1
    }

    /// Of what was written here, the last of each run: how far the feed is by now. Of others, what names anything but entries of its own feed.
    fn wants(&self, arrival: &Arrival, next: Option<&Arrival>) -> bool {
        let Arrival { id, block, .. } = arrival;
        if (self.is_own)(&id.feed) {
            return next.is_none_or(|next| next.id.feed != id.feed || next.id.seq < id.seq);
        }
        context_of(block).is_none_or(|context| !context.vector.is_empty() || !context.ids.is_empty())
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<LiarsIndex, ViewError> {
        let mut index = LiarsIndex { is_own: self.is_own.clone(), own: BTreeMap::new(), lies: Lies::new() };
        for row in prefix_range(&*rows, &[LENGTHS]) {
            let (key, value) = row?;
            index.own.insert(
                feed_of(&key)?.name(),
                (feed_of(&key)?, codec::decode::<u64, MAX_ROW>("length", &value)?),
            );
        }
        for row in prefix_range(&*rows, &[LIES]) {
            let (key, value) = row?;
            index.lies.insert(feed_of(&key)?, codec::decode::<(Seq, FeedKey), MAX_ROW>("lie", &value)?);
        }
        Ok(index)
    }
}

fn row(prefix: u8, feed: &FeedKey) -> Vec<u8> {
    [&[prefix], &feed.0[..]].concat()
}

fn feed_of(row: &[u8]) -> Result<FeedKey, ViewError> {
    let key = row.get(1..).and_then(|key| key.try_into().ok());
    key.map(FeedKey).ok_or(ViewError::Inconsistent("a row of feeds names none"))
}

impl Index for LiarsIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        for change in changes {
            match change {
                Change::Hold(arrived) if (self.is_own)(&arrived.id.feed) => self.wrote(&arrived.id, rows),
                Change::Hold(arrived) => self.look(arrived, rows),
                Change::Withdraw(arrived) => self.withdraw(&arrived.id, rows),
            }
        }
        Ok(Vec::new())
    }

    fn matches(&self, _: &Selector, _: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        Err(ViewError::Unsupported)
    }
}

impl LiarsIndex {
    fn wrote(&mut self, id: &EntryId, rows: &mut Overlay<'_>) {
        let (_, length) = self.own.entry(id.feed.name()).or_insert((id.feed, 0));
        if *length <= id.seq {
            *length = id.seq + 1;
            rows.put(row(LENGTHS, &id.feed), codec::encode(length));
        }
    }

    fn look(&mut self, arrived: &Arrived, rows: &mut Overlay<'_>) {
        let EntryId { feed, seq } = arrived.id;
        if self.lies.get(&feed).is_some_and(|(first, _)| *first <= seq) {
            return;
        }
        if let Some(own) = self.unseen(&arrived.entry.header.context) {
            self.lies.insert(feed, (seq, own));
            rows.put(row(LIES, &feed), codec::encode(&(seq, own)));
        }
    }

    /// The own feed of which this names an entry that is not written yet.
    fn unseen(&self, context: &Context) -> Option<FeedKey> {
        let own = self.own.iter().find(|(name, (feed, length))| {
            let listed = context.vector.binary_search_by_key(*name, |(listed, _)| *listed);
            let listed = listed.ok().and_then(|at| context.vector.get(at)).map(|(_, seq)| *seq);
            let ids = context.ids.iter().filter(|id| id.feed == *feed).map(|id| id.seq);
            listed.into_iter().chain(ids).any(|seq| seq >= *length)
        });
        own.map(|(_, (feed, _))| *feed)
    }

    fn withdraw(&mut self, id: &EntryId, rows: &mut Overlay<'_>) {
        // The first is kept: where it counts no more, nothing of the feed after it does.
        if self.lies.get(&id.feed).is_some_and(|(first, _)| *first == id.seq) {
            self.lies.remove(&id.feed);
            rows.delete(row(LIES, &id.feed));
        }
    }
}

/// Who names entries of feeds written here that were not written yet. Not of feeds that there may be more of than is here: those
/// entries may have been seen elsewhere.
fn lies_so_far(network: &Network) -> Lies {
    let mut lies = network.liars.read(|index| index.lies.clone()).unwrap_or_default();
    if !lies.is_empty() {
        let own = own_lengths(network);
        lies.retain(|_, (_, feed)| own.contains_key(feed));
    }
    lies
}

/// The same, once all that is held was looked at.
pub(crate) fn lies(network: &Network) -> Result<Lies, ReadError> {
    network.liars.ready()?;
    Ok(lies_so_far(network))
}

/// The same for people, a sentence each.
pub(crate) fn lie_warnings(network: &Network) -> Vec<String> {
    let lies = lies_so_far(network);
    let more = lies.len().saturating_sub(NAMED);
    let told = lies.into_iter().take(NAMED).map(|(feed, (seq, own))| {
        format!(
            "entry {seq} of feed {feed} says that it replaces entries of feed {own} that were not written yet when it came: unless this \
             folder is an older copy, that hides what is written here; `kappa feed drop {feed}` leaves that feed out"
        )
    });
    let more = (more > 0).then(|| format!("{more} more feeds do so; `kappa feed list` names them"));
    told.chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::{StoredBlock, Timestamp};
    use kappadb_entry::{Header, Kind, decode_block, encode_block, space};
    use kappadb_store::{MemoryStore, Store};

    const OWN: [FeedKey; 2] = [FeedKey([1; 32]), FeedKey([2; 32])];

    fn arrival(lseq: u64, feed: FeedKey, seq: Seq, context: Context) -> Arrival {
        let header = Header { context, ..Header::new(Kind { space: space::KV, code: 0 }, Timestamp(1)) };
        let block = StoredBlock::whole(encode_block(&header, b"x").unwrap());
        Arrival { lseq, id: EntryId { feed, seq }, block }
    }

    /// What is written here, in runs of several feeds, and others that name what was written and what was not.
    fn log() -> Vec<Arrival> {
        let (mut log, mut written) = (Vec::new(), [0, 0]);
        for n in 0..60u64 {
            let (at, run) = (usize::from(n % 3 == 0), n % 4);
            for _ in 0..run {
                log.push(arrival(log.len() as u64, OWN[at], written[at], Context::NOTHING));
                written[at] += 1;
            }
            let seq = written[1 - at].saturating_sub(1) + u64::from(n % 7 == 0);
            let context = match n % 3 {
                0 => Context::NOTHING,
                1 => Context { vector: vec![(OWN[1 - at].name(), seq)], ..Context::NOTHING },
                _ => Context { ids: vec![EntryId { feed: OWN[1 - at], seq }], ..Context::NOTHING },
            };
            log.push(arrival(
                log.len() as u64,
                FeedKey([10 + u8::try_from(n % 20).unwrap(); 32]),
                n,
                context,
            ));
        }
        log
    }

    /// The lies in the log, given in batches of this size, with all entries or only those that the view wants.
    fn lies(log: &[Arrival], batch: usize, all: bool) -> Lies {
        let view = Liars { is_own: Arc::new(|feed| OWN.contains(feed)) };
        let tree = MemoryStore::new().tree("liars").unwrap();
        let mut index = view.open(tree.clone()).unwrap();
        for batch in log.chunks(batch) {
            let wanted = batch.iter().enumerate().filter(|(at, a)| all || view.wants(a, batch.get(at + 1)));
            let given: Vec<Arrived> = wanted
                .map(|(_, a)| Arrived { lseq: a.lseq, id: a.id, entry: decode_block(&a.block).unwrap() })
                .collect();
            let mut rows = Overlay::new(&*tree);
            index.apply(&given.iter().map(Change::Hold).collect::<Vec<_>>(), &mut rows).unwrap();
            tree.apply(&rows.into_batch()).unwrap();
        }
        assert_eq!(view.open(tree).unwrap().lies, index.lies);
        index.lies
    }

    #[test]
    fn a_liar_is_found_whatever_is_passed_over_and_however_the_log_is_cut() {
        let log = log();
        let all = lies(&log, 1, true);
        assert!((2..10).contains(&all.len()), "{all:?}");
        for batch in [1, 2, 3, 7, 50, log.len()] {
            assert_eq!(lies(&log, batch, false), all, "{batch}");
        }
    }
}
