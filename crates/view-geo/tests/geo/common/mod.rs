//! Random histories, and an index with its tree.

mod model;

pub use model::{Model, heads_of};

use bytes::Bytes;
use kappadb_core::{Coord, EntryId, Extent, FeedKey, Timestamp};
use kappadb_entry::rules;
use kappadb_entry::{Context, Entry, Header, Kind, Places, space};
use kappadb_query::Selector;
use kappadb_store::{FileId, MemoryStore, Op, Overlay, Store, Tree};
use kappadb_view::{Arrived, Change, Index, Notice, Upkeep, View, ViewError};
use kappadb_view_geo::{MapIndex, MapView, Query};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

pub const LONS: [i32; 8] =
    [-1_800_000_000, -1_799_999_999, -900_000_000, 0, 1, 900_000_000, 1_799_999_999, 1_800_000_000];
pub const LATS: [i32; 6] = [-900_000_000, -1, 0, 1, 450_000_000, 900_000_000];
/// First bytes of rows: items in memory, runs, their dead.
pub const MEMORY: u8 = 3;
pub const RUNS: u8 = 4;
pub const DEAD: u8 = 6;
/// The groups of files: runs of keys, of boxes, of references.
pub const FILES: [u16; 3] = [0x0100, 0x0400, 0x0700];

/// Few, so that writers meet.
pub const KEYS: [&str; 4] = ["n1", "w1", "r1", "\u{e4}"];

pub fn feed(n: usize) -> FeedKey {
    FeedKey([u8::try_from(n).expect("few feeds") + 1; 32])
}

pub fn id(writer: usize, seq: u64) -> EntryId {
    EntryId { feed: feed(writer), seq }
}

pub fn put(id: EntryId, key: &str, places: Places) -> Arrived {
    let kind = Kind { space: space::MAP, code: u8::from(places.is_empty()) };
    let header = Header { key: Some(key.into()), places, ..Header::new(kind, Timestamp(0)) };
    Arrived { lseq: 0, id, entry: Entry { header, payload: Some(Bytes::new()) } }
}

pub fn at(west: i32, south: i32, east: i32, north: i32) -> Extent {
    Extent::from_corners(Coord { lon: west, lat: south }, Coord { lon: east, lat: north })
}

/// A box between grid lines: small ones, points, lines, across the antimeridian, at the poles.
pub fn extents() -> impl Strategy<Value = Extent> {
    let lon = || prop::sample::select(&LONS[..]);
    let lat = || prop::sample::select(&LATS[..]);
    (lon(), lat(), lon(), lat(), 0..4u8).prop_map(|(west, a, east, b, shape)| match shape {
        0 => at(west, a, west, a),
        1 => at(west.min(east), a.min(b), west.max(east), a.max(b)),
        _ => at(west, a.min(b), east, a.max(b)),
    })
}

/// What one writer does next.
#[derive(Debug, Clone)]
pub struct Step {
    writer: usize,
    key: String,
    time: i64,
    /// Nowhere is a delete.
    place: Option<Extent>,
    /// Of the entries so far, those whose bit is set are known to the writer.
    sees: u64,
    manners: Manners,
}

#[derive(Debug, Clone)]
enum Manners {
    /// Replaces all heads that it sees.
    Honest,
    /// Replaces some of them.
    Careless(u64),
    /// Names exactly what it sees.
    Explicit,
    /// Says anything.
    Hostile { reach: Vec<u64>, depth: u32, past: Vec<Extent> },
}

fn manners() -> impl Strategy<Value = Manners> {
    let reach = prop::collection::vec(prop::sample::select(vec![0, 2, 1_000_000_000]), 3);
    let past = prop::collection::vec(extents(), 0..3);
    prop_oneof![
        4 => Just(Manners::Honest),
        2 => any::<u64>().prop_map(Manners::Careless),
        1 => Just(Manners::Explicit),
        1 => (reach, 0..12u32, past).prop_map(|(reach, depth, past)| Manners::Hostile { reach, depth, past }),
    ]
}

fn steps(keys: Vec<String>) -> impl Strategy<Value = Step> {
    let place = prop_oneof![1 => Just(None), 4 => extents().prop_map(Some)];
    (0..3usize, prop::sample::select(keys), 0..40i64, place, any::<u64>(), manners()).prop_map(
        |(writer, key, time, place, sees, manners)| Step { writer, key, time, place, sees, manners },
    )
}

/// The entries of a history by several writers, in the order of writing.
pub fn histories(len: usize) -> impl Strategy<Value = Vec<Arrived>> {
    histories_of(1..len, KEYS.map(str::to_owned).to_vec())
}

/// The same, about these keys.
pub fn histories_of(len: Range<usize>, keys: Vec<String>) -> impl Strategy<Value = Vec<Arrived>> {
    prop::collection::vec(steps(keys), len).prop_map(|steps| {
        let mut written: Vec<Arrived> = Vec::new();
        for step in steps {
            let entry = write(&written, &step);
            written.push(entry);
        }
        written
    })
}

fn write(written: &[Arrived], step: &Step) -> Arrived {
    let seq = written.iter().filter(|a| a.id.feed == feed(step.writer)).count() as u64;
    let seen = written.iter().enumerate().filter(|(i, a)| {
        let sees = step.sees >> (i % 64) & 1 == 1 || a.id.feed == feed(step.writer); // a writer knows its own
        sees && a.entry.header.key.as_deref() == Some(step.key.as_bytes())
    });
    let versions = Model::of(seen.map(|(_, a)| a)).versions(step.key.as_bytes());
    let heads: Vec<EntryId> = heads_of(&versions).iter().map(|v| v.id).collect();
    let places = step.place.as_ref().map_or(Places::NOWHERE, Places::on_map);
    let mut arrived = put(id(step.writer, seq), &step.key, places);
    arrived.entry.header.time = Timestamp(step.time);
    let links = match &step.manners {
        Manners::Honest => rules::succeed(&versions, &heads, &feed(step.writer)),
        Manners::Careless(mask) => {
            let some: Vec<_> = (0u64..).zip(heads).filter(|(i, _)| mask >> (i % 64) & 1 == 1).collect();
            let some: Vec<_> = some.into_iter().map(|(_, id)| id).collect();
            rules::succeed(&versions, &some, &feed(step.writer))
        }
        Manners::Explicit => rules::succeed_explicit(&versions, &heads),
        Manners::Hostile { reach, depth, past } => {
            let vector = reach.iter().enumerate().map(|(w, seq)| (feed(w).name(), *seq)).collect();
            let boxes = past.iter().flat_map(|e| e.boxes().iter().copied()).collect();
            let context = Context { vector, ..Context::NOTHING };
            rules::Links { context, depth: *depth, past: Places::new(boxes, Vec::new()) }
        }
    };
    links.apply_to(&mut arrived.entry.header);
    arrived
}

/// Work in the background.
pub type Job = Box<dyn Upkeep<MapIndex>>;

/// An index over a tree in memory.
pub struct Rig {
    pub view: MapView,
    pub tree: Arc<dyn Tree>,
    pub index: MapIndex,
    /// What is under way in the background.
    pub job: Option<Job>,
}

impl Rig {
    pub fn new(memory: usize) -> Rig {
        Rig::over(memory, MemoryStore::new().tree("map").expect("tree"))
    }

    pub fn over(memory: usize, tree: Arc<dyn Tree>) -> Rig {
        let view = MapView::with_memory(memory);
        let index = view.open(tree.clone()).expect("opens");
        Rig { view, tree, index, job: None }
    }

    pub fn try_apply(&mut self, changes: &[Change<'_>]) -> Result<Vec<Notice>, ViewError> {
        let tree = self.tree.clone();
        let mut rows = Overlay::new(&*tree);
        let notices = self.index.apply(changes, &mut rows)?;
        tree.apply(&rows.into_batch())?;
        Ok(notices)
    }

    pub fn hold<'a>(&mut self, entries: impl IntoIterator<Item = &'a Arrived>) -> Vec<Notice> {
        let changes: Vec<_> = entries.into_iter().map(Change::Hold).collect();
        self.try_apply(&changes).expect("applies")
    }

    pub fn withdraw<'a>(&mut self, entries: impl IntoIterator<Item = &'a Arrived>) -> Vec<Notice> {
        let changes: Vec<_> = entries.into_iter().map(Change::Withdraw).collect();
        self.try_apply(&changes).expect("applies")
    }

    /// Does what is due in the background, to its end.
    pub fn keep_up(&mut self, idle: bool) {
        while self.work(idle) {}
    }

    /// Does a piece of what is under way in the background, or begins something. False if nothing is due.
    pub fn work(&mut self, idle: bool) -> bool {
        match self.job.take() {
            None => self.job = self.index.upkeep(idle),
            Some(mut job) => match job.work().expect("works") {
                true => self.job = Some(job),
                false => {
                    self.install(job).expect("installs");
                    return true;
                }
            },
        }
        self.job.is_some()
    }

    pub fn install(&mut self, job: Job) -> Result<(), ViewError> {
        let tree = self.tree.clone();
        let mut rows = Overlay::new(&*tree);
        job.install(&mut self.index, &mut rows)?;
        Ok(tree.apply(&rows.into_batch())?)
    }

    pub fn reopen(&mut self) {
        self.job = None;
        self.index = self.view.open(self.tree.clone()).expect("opens again");
    }

    pub fn answer(&self, extent: &Extent) -> BTreeMap<String, Vec<EntryId>> {
        let hits = self.index.query(extent, &Query::default()).expect("answers").hits;
        hits.into_iter().map(|hit| (hit.key, hit.heads)).collect()
    }

    pub fn serve(&self, selector: &Selector) -> BTreeSet<EntryId> {
        let ids = self.index.matches(selector, &BTreeSet::new()).expect("answers");
        let set: BTreeSet<_> = ids.iter().copied().collect();
        assert_eq!(set.len(), ids.len(), "no entry twice");
        set
    }

    pub fn check(&self) {
        assert_eq!(self.index.check().expect("checks"), Vec::<String>::new());
    }
}

/// A square field of points, ten units apart.
pub fn field(side: i32) -> Vec<Arrived> {
    let cells = (0..side).flat_map(|x| (0..side).map(move |y| (10 * x, 10 * y)));
    let point =
        |(n, (x, y)): (u64, (i32, i32))| put(id(0, n), &format!("n{n:06}"), Places::on_map(&at(x, y, x, y)));
    (0..).zip(cells).map(point).collect()
}

/// The rows whose keys start with this byte; all of them without.
pub fn rows_of(tree: &dyn Tree, prefix: Option<u8>) -> Vec<(Bytes, Bytes)> {
    kappadb_store::prefix_range(tree, prefix.as_slice()).collect::<Result<_, _>>().expect("reads")
}

/// The files of runs of boxes, with their bytes.
pub fn files_of(tree: &dyn Tree, group: u16) -> Vec<(FileId, Bytes)> {
    let numbers = tree.files(group).expect("lists").into_iter();
    let file = numbers.map(|number| {
        let id = FileId { group, number };
        let file = tree.open_file(id).expect("opens").expect("a file");
        (id, file.read(0, usize::try_from(file.len()).expect("small")).expect("reads"))
    });
    file.collect()
}

/// Puts a file in the place of another.
pub fn write_file(tree: &dyn Tree, id: FileId, bytes: &[u8]) {
    let mut file = tree.new_file(id).expect("a file");
    file.write(bytes).expect("writes");
    file.finish().expect("ends");
}

/// Another tree with the same in it.
pub fn copy_of(tree: &dyn Tree) -> Arc<dyn Tree> {
    let copy = MemoryStore::new().tree("map").expect("tree");
    let rows = rows_of(tree, None).into_iter().map(|(key, value)| Op::Put(key, value));
    copy.apply(&rows.collect()).expect("applies");
    let files = FILES.into_iter().flat_map(|group| files_of(tree, group));
    files.for_each(|(id, bytes)| write_file(&*copy, id, &bytes));
    copy
}
