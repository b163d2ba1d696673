//! An arrival log in memory, a keyed view, and random histories.
use bytes::Bytes;
use kappadb_core::{Coord, EntryId, FeedKey, GeoBox, Lseq, Seq, StoredBlock, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Context, Header, Kind, Places, decode_block, encode_block, space};
use kappadb_query::Selector;
use kappadb_store::{Overlay, Store, Tree};
use kappadb_view::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

type Wake = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct State {
    blocks: BTreeMap<Lseq, (EntryId, StoredBlock)>,
    end: Lseq,
    excluded: Exclusions,
    wakes: Vec<Wake>,
    /// Gives at most so many blocks at once, whatever was asked for.
    cap: usize,
    failing: bool,
}

/// An arrival log in memory. Clones are the same log.
#[derive(Clone)]
pub struct Log(Arc<Mutex<State>>);

impl Log {
    pub fn new() -> Self {
        Log(Arc::new(Mutex::new(State { cap: usize::MAX, ..State::default() })))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakes = {
            let mut state = self.0.lock().unwrap();
            change(&mut state);
            state.wakes.clone()
        };
        wakes.iter().for_each(|wake| wake());
    }

    pub fn arrive(&self, id: EntryId, block: StoredBlock) {
        self.change(|state| {
            state.blocks.insert(state.end, (id, block));
            state.end += 1;
        });
    }

    /// Numbers that were lost to damage.
    pub fn lose(&self, count: u64) {
        self.change(|state| state.end += count);
    }

    pub fn fork(&self, feed: FeedKey, seq: Seq) {
        self.change(|state| {
            let first = state.excluded.entry(feed).or_insert(seq);
            *first = seq.min(*first);
        });
    }

    /// The feed counts again, as one that was dropped and is wanted again.
    pub fn take_back(&self, feed: &FeedKey) {
        self.change(|state| {
            state.excluded.remove(feed);
        });
    }

    pub fn cap(&self, cap: usize) {
        self.change(|state| state.cap = cap);
    }

    pub fn fail(&self, failing: bool) {
        self.change(|state| state.failing = failing);
    }

    /// Becomes a log with only the first blocks of this one.
    pub fn cut(&self, end: Lseq) {
        self.change(|state| {
            state.end = end;
            state.blocks.split_off(&end);
        });
    }

    /// Becomes another log of the same length, with these blocks.
    pub fn become_other(&self, blocks: Vec<(EntryId, StoredBlock)>) {
        self.change(|state| {
            state.end = blocks.len() as u64;
            state.blocks = (0..).zip(blocks).collect();
        });
    }

    /// The block at a number, again, as if it had been fetched twice.
    pub fn repeat(&self, lseq: Lseq) {
        let block = self.0.lock().unwrap().blocks.get(&lseq).cloned();
        block.into_iter().for_each(|(id, block)| self.arrive(id, block));
    }

    /// What counts: every version that arrived, is an entry with a key, and lies before its feed's fork.
    pub fn model(&self) -> BTreeMap<Vec<u8>, BTreeMap<EntryId, Version>> {
        let state = self.0.lock().unwrap();
        let mut out: BTreeMap<Vec<u8>, BTreeMap<EntryId, Version>> = BTreeMap::new();
        for (id, block) in state.blocks.values() {
            let Ok(entry) = decode_block(block) else { continue };
            if entry.header.kind.space != space::KV
                || state.excluded.get(&id.feed).is_some_and(|first| id.seq >= *first)
            {
                continue;
            }
            if let Some(key) = &entry.header.key {
                out.entry(key.clone()).or_default().insert(*id, Version::from_header(*id, &entry.header));
            }
        }
        out
    }
}

impl Source for Log {
    fn end(&self) -> Lseq {
        self.0.lock().unwrap().end
    }

    fn arrivals(&self, from: Lseq, max_blocks: usize) -> Result<Vec<Arrival>, ReadError> {
        let state = self.0.lock().unwrap();
        if state.failing {
            return Err(ReadError::Undefined(FeedKey([0; 32])));
        }
        let arrivals = state.blocks.range(from..state.end).take(max_blocks.min(state.cap));
        Ok(arrivals
            .map(|(lseq, (id, block))| Arrival { lseq: *lseq, id: *id, block: block.clone() })
            .collect())
    }

    fn exclusions(&self) -> Exclusions {
        self.0.lock().unwrap().excluded.clone()
    }

    fn subscribe(&self, wake: Wake) {
        self.0.lock().unwrap().wakes.push(wake);
    }
}

/// Called with each change before it is applied.
pub type Probe = Arc<dyn Fn(&Change<'_>) + Send + Sync>;

/// The heads of keys: the smallest view of keyed entries.
#[derive(Clone)]
pub struct KvView {
    pub version: u32,
    pub probe: Option<Probe>,
}

pub struct KvIndex {
    pub version: u32,
    keyed: Keyed,
    probe: Option<Probe>,
}

impl KvView {
    pub fn new(version: u32) -> Self {
        KvView { version, probe: None }
    }

    pub fn with(version: u32, probe: impl Fn(&Change<'_>) + Send + Sync + 'static) -> Self {
        KvView { version, probe: Some(Arc::new(probe)) }
    }
}

impl View for KvView {
    type Index = KvIndex;

    fn name(&self) -> &str {
        "kv"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<KvIndex, ViewError> {
        Ok(KvIndex {
            version: self.version,
            // Next to nothing in memory: all that is tried goes through runs, too.
            keyed: Keyed::with_memory(1, space::KV, &rows, 1)?,
            probe: self.probe.clone(),
        })
    }
}

impl Index for KvIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        for change in changes {
            self.probe.iter().for_each(|probe| probe(change));
        }
        let updates = self.keyed.apply_all(rows, changes)?;
        Ok(updates.iter().filter_map(KeyUpdate::notice).collect())
    }

    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        self.keyed.upkeep(idle, |index| &mut index.keyed)
    }

    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        self.keyed.read().matches(selector, without)
    }

    fn check(&self) -> Result<Vec<String>, ViewError> {
        self.keyed.audit()
    }
}

impl KvIndex {
    pub fn heads(&self, key: &[u8]) -> Vec<EntryId> {
        self.keyed.read().heads(key).unwrap().iter().map(|v| v.id).collect()
    }

    /// For each key: all versions, and the active ones.
    pub fn content(&self) -> BTreeMap<Vec<u8>, (Vec<EntryId>, Vec<EntryId>)> {
        let ids = |versions: Vec<Version>| versions.into_iter().map(|v| v.id).collect::<Vec<_>>();
        let row = |row: Result<(Vec<u8>, Vec<Version>), ViewError>| {
            let (key, active) = row.unwrap();
            let versions = self.keyed.read().versions(&key).unwrap();
            (key, (ids(versions), ids(active)))
        };
        self.keyed.read().scan(b"", None).map(row).collect()
    }
}

/// What [`KvIndex::content`] must be, straight from the definitions.
pub fn expected(log: &Log) -> BTreeMap<Vec<u8>, (Vec<EntryId>, Vec<EntryId>)> {
    let key = |(key, versions): (Vec<u8>, BTreeMap<EntryId, Version>)| {
        let active = |v: &&Version| !versions.values().any(|f| rules::makes_redundant(f, v));
        let active = versions.values().filter(active).map(|v| v.id).collect();
        (key, (versions.keys().copied().collect(), active))
    };
    log.model().into_iter().map(key).collect()
}

/// Everything of a view that must be as [`expected`]: rows, matches, and its own check.
pub fn assert_as_expected(views: &Views, handle: &ViewHandle<KvView>, log: &Log) {
    handle.ready().unwrap();
    let expected = expected(log);
    assert_eq!(handle.read(KvIndex::content).unwrap(), expected);
    let matches: BTreeSet<EntryId> = handle.matches(&Selector::Everything).unwrap().into_iter().collect();
    assert_eq!(matches, expected.into_values().flat_map(|(_, active)| active).collect());
    assert_eq!(views.verify().unwrap(), Vec::<String>::new());
}

pub fn open(log: &Log, store: &Arc<dyn Store>) -> (Views, ViewHandle<KvView>) {
    let views = Views::new(log.clone(), store.clone());
    let handle = views.register(KvView::new(1)).unwrap();
    (views, handle)
}

pub fn feed(n: u8) -> FeedKey {
    FeedKey([n; 32])
}

pub fn id(writer: u8, seq: Seq) -> EntryId {
    EntryId { feed: feed(writer), seq }
}

/// An entry of `key` that names exactly `replaced`, one deeper than all of a short chain.
pub fn entry(key: &str, depth: u32, replaced: &[EntryId]) -> StoredBlock {
    let mut header = Header::new(Kind { space: space::KV, code: 0 }, Timestamp(0));
    header.key = Some(key.as_bytes().to_vec());
    header.depth = depth;
    header.context = Context {
        ids: replaced.iter().copied().collect::<BTreeSet<_>>().into_iter().collect(),
        ..Context::NOTHING
    };
    StoredBlock::whole(encode_block(&header, b"value").unwrap())
}

/// One write of a random history, by numbers that [`blocks`] makes sense of.
#[derive(Debug, Clone)]
pub struct Write {
    writer: u8,
    key: u8,
    sees: u64,
    picks: u64,
    place: Option<u8>,
    hostile: Option<(Option<u64>, u32, u8)>,
    noise: bool,
}

pub fn writes(most: usize) -> impl Strategy<Value = Vec<Write>> {
    let hostile = prop::option::weighted(0.15, (prop::option::of(0u64..6), 0u32..12, 0u8..40));
    let place = prop::option::weighted(0.8, 0u8..40);
    let write = (0u8..4, 0u8..3, any::<u64>(), any::<u64>(), place, hostile, prop::bool::weighted(0.05));
    let write = write.prop_map(|(writer, key, sees, picks, place, hostile, noise)| Write {
        writer,
        key,
        sees,
        picks,
        place,
        hostile,
        noise,
    });
    prop::collection::vec(write, 1..most)
}

fn place(at: u8, width: u8) -> Places {
    let corner = |lon: u8| Coord::from_degrees(f64::from(lon), 0.0).unwrap();
    Places::new(vec![GeoBox::point(corner(at)).hull(&GeoBox::point(corner(at + width)))], Vec::new())
}

/// The blocks of a history: writers that see parts of what came before, merge parts of the heads that they see, and lie
/// at times.
pub fn blocks(writes: &[Write]) -> Vec<(EntryId, StoredBlock)> {
    let (mut all, mut seqs): (Vec<(u8, Version)>, [u64; 4]) = (Vec::new(), [0; 4]);
    let mut out = Vec::new();
    for write in writes {
        let seq = &mut seqs[usize::from(write.writer)];
        let name = id(write.writer, *seq);
        *seq += 1;
        if write.noise {
            out.push((name, StoredBlock::whole(Bytes::from_static(b"\x05noise, not an entry"))));
            continue;
        }
        let seen = |n: usize, v: &Version| write.sees >> (n % 64) & 1 == 1 || v.id.feed == name.feed;
        let seen = all.iter().enumerate().filter(|(n, (key, v))| *key == write.key && seen(*n, v));
        let seen: Vec<Version> = seen.map(|(_, (_, v))| v.clone()).collect();
        let heads = rules::heads(&seen).into_iter().enumerate();
        let picked: Vec<EntryId> =
            heads.filter(|(n, _)| write.picks >> n & 1 == 1).map(|(_, v)| v.id).collect();
        let mut header = Header::new(Kind { space: space::KV, code: 0 }, Timestamp(i64::from(write.key)));
        header.key = Some(vec![b'a' + write.key]);
        header.places = write.place.map_or_else(Places::default, |at| place(at, 3));
        rules::succeed(&seen, &picked, &name.feed).apply_to(&mut header);
        if let Some((up_to, depth, at)) = write.hostile {
            header.context = Context::NOTHING;
            if let Some(seq) = up_to {
                header.context.vector = (0..4).map(|n| (feed(n).name(), seq)).collect();
            }
            (header.depth, header.past) = (depth, place(at, 20));
        }
        all.push((write.key, Version::from_header(name, &header)));
        out.push((name, StoredBlock::whole(encode_block(&header, &name.seq.to_le_bytes()).unwrap())));
    }
    out
}
