//! The rows of keys against a plain model, where a key has few active versions and where it has many.

use crate::common::{feed, id};
use bytes::Bytes;
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Context, Entry, Header, Kind, space};
use kappadb_store::{MemoryStore, Overlay, Store, Tree};
use kappadb_view::keyed::KeyedReader;
use kappadb_view::packed::{Area, Table};
use kappadb_view::{Arrived, Change, KeyUpdate, Keyed};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const PREFIX: u8 = 7;

fn arrived(key: u8, id: EntryId, depth: u32, context: Context) -> Arrived {
    let header = Header::new(Kind { space: space::KV, code: 0 }, Timestamp(0));
    let header = Header { key: Some(vec![key]), depth, context, ..header };
    Arrived { lseq: 0, id, entry: Entry { header, payload: Some(said(id)) } }
}

/// What an entry says: a long word now and then.
fn said(id: EntryId) -> Bytes {
    vec![id.feed.0[0]; usize::try_from(id.seq).unwrap()].into()
}

/// Short words are kept.
fn short(entry: &Entry) -> Option<&Bytes> {
    entry.payload.as_ref().filter(|payload| payload.len() < 30)
}

prop_compose! {
    /// An entry of one of two keys. Most name nothing, so that many are active; some name all of a feed or two, and a few.
    fn entry()(
        key in prop_oneof![4 => Just(0_u8), 1 => Just(1)], writer in 0..4_u8, seq in 0..40_u64, depth in 0..4_u32,
        vector in prop::option::weighted(0.15, prop::collection::btree_map(0..4_u8, 0..40_u64, 0..4)),
        own in prop::option::weighted(0.2, 0..40_u64),
    ) -> Arrived {
        let vector = vector.into_iter().flatten().map(|(n, seq)| (feed(n).name(), seq)).collect();
        arrived(key, id(writer, seq), depth, Context { own, vector, ..Context::NOTHING })
    }
}

struct Rig {
    keyed: Keyed,
    tree: Arc<dyn Tree>,
}

impl Rig {
    /// With little memory, so that much is packed.
    fn new() -> Rig {
        Rig::with_memory(2)
    }

    fn with_memory(keys: usize) -> Rig {
        Rig::over(MemoryStore::new().tree("rows").unwrap(), keys)
    }

    fn over(tree: Arc<dyn Tree>, keys: usize) -> Rig {
        let keyed = Keyed::with_memory(PREFIX, space::KV, &tree, keys).unwrap().keeping(short);
        Rig { keyed, tree }
    }

    /// Does what there is to do in the background, and opens it anew.
    fn rest(&mut self) {
        while let Some(mut job) = self.keyed.upkeep(true, |keyed: &mut Keyed| keyed) {
            while job.work().unwrap() {}
            let mut rows = Overlay::new(&*self.tree);
            job.install(&mut self.keyed, &mut rows).unwrap();
            self.tree.apply(&rows.into_batch()).unwrap();
        }
        *self = Rig::over(self.tree.clone(), 2);
    }

    /// Returns the updates, and how many rows were written.
    fn apply(&mut self, changes: &[Change<'_>]) -> (Vec<KeyUpdate>, usize) {
        let mut rows = Overlay::new(&*self.tree);
        let updates = self.keyed.apply_all(&mut rows, changes).unwrap();
        let written = rows.len();
        self.tree.apply(&rows.into_batch()).unwrap();
        (updates, written)
    }

    /// Rows of one version each.
    fn rows_of_versions(&self) -> usize {
        let table = Table::load(self.tree.clone(), Area { prefix: PREFIX, sort: 1 }, 2).unwrap();
        let (mut rows, mut count) = (table.with_prefix(&[]).unwrap(), 0);
        while rows.advance().unwrap() {
            count += 1;
        }
        count
    }

    fn active(&self, key: u8) -> Vec<Version> {
        self.keyed.read().active(&[key]).unwrap()
    }
}

fn versions(held: &BTreeMap<EntryId, Arrived>, key: u8) -> Vec<Version> {
    let of_key = held.values().filter(|a| a.entry.header.key == Some(vec![key]));
    of_key.map(|a| Version::from_header(a.id, &a.entry.header)).collect()
}

fn active(versions: &[Version]) -> Vec<Version> {
    let redundant = |v: &Version| versions.iter().any(|f| rules::makes_redundant(f, v));
    versions.iter().filter(|v| !redundant(v)).cloned().collect()
}

fn ids<'a>(versions: impl IntoIterator<Item = &'a Version>) -> Vec<EntryId> {
    versions.into_iter().map(|v| v.id).collect()
}

proptest! {
    #[test]
    fn rows_are_those_of_the_versions_held_whatever_came_and_went(
        entries in prop::collection::vec((entry(), any::<bool>()), 1..120), batch in 1..40_usize, gone in 0..4_u8, rests: u64,
    ) {
        let mut by_id = BTreeMap::new();
        let entries: Vec<_> = entries.into_iter().filter(|(a, _)| by_id.insert(a.id, ()).is_none()).collect();
        let (mut rig, mut held) = (Rig::new(), BTreeMap::new());
        // Each batch holds some, and takes some out that came before or in it.
        for (n, part) in entries.chunks(batch).enumerate() {
            if rests >> (n % 64) & 1 == 1 {
                rig.rest();
            }
            let mut changes = Vec::new();
            for (arrived, goes) in part {
                changes.push(Change::Hold(arrived));
                held.insert(arrived.id, arrived.clone());
                let other = entries.iter().find(|(a, _)| held.contains_key(&a.id) && a.id.feed == feed(gone));
                if let Some((other, _)) = other.filter(|_| *goes) {
                    changes.push(Change::Withdraw(other));
                    held.remove(&other.id);
                }
            }
            let before = [0, 1].map(|key| rig.active(key));
            let (updates, _) = rig.apply(&changes);
            for key in [0, 1] {
                let (all, found) = (versions(&held, key), rig.active(key));
                prop_assert_eq!(ids(&found), ids(&active(&all)));
                prop_assert_eq!(&found, &active(&all));
                let row = rig.keyed.read().find(&[key]).unwrap();
                for version in &found {
                    // What came back from among the redundant ones, or was one of many, may have to be read elsewhere.
                    let kept = row.payload(&version.id);
                    prop_assert!(kept.is_none_or(|kept| *kept == said(version.id) && kept.len() < 30));
                }
                prop_assert_eq!(rig.keyed.read().versions(&[key]).unwrap(), all);
                let update = updates.iter().find(|update| update.key == [key]);
                prop_assert_eq!(update.is_some(), found != before[usize::from(key)]);
                if let Some(KeyUpdate { before: was, after, changes, .. }) = update {
                    prop_assert!(*was == before[usize::from(key)] && *after == found && *changes > 0);
                }
            }
            let scanned: Vec<_> = rig.keyed.read().scan(&[], None).collect::<Result<_, _>>().unwrap();
            let there = [0, 1].into_iter().filter(|key| !rig.active(*key).is_empty());
            prop_assert_eq!(scanned, there.map(|key| (vec![key], rig.active(key))).collect::<Vec<_>>());
        }
        let all: Vec<_> = held.values().map(Change::Withdraw).collect();
        rig.apply(&all);
        prop_assert!(rig.keyed.read().is_empty().unwrap());
        prop_assert_eq!(rig.rows_of_versions(), 0, "rows are left of nothing");
    }

    /// What is left out at reading is what would be there had it never come.
    #[test]
    fn leaving_out_is_as_if_it_were_not_held(
        entries in prop::collection::vec(entry(), 1..80), gone in prop::collection::btree_set(0..4_u8, 0..3),
    ) {
        let held: BTreeMap<_, _> = entries.into_iter().map(|a| (a.id, a)).collect();
        let mut rig = Rig::new();
        rig.apply(&held.values().map(Change::Hold).collect::<Vec<_>>());
        let out = |id: &EntryId| gone.iter().any(|n| feed(*n) == id.feed);
        let left = rig.keyed.read().leave_out(&[0], rig.active(0), out).unwrap();
        let mut without = held.clone();
        without.retain(|id, _| !out(id));
        prop_assert_eq!(left, active(&versions(&without, 0)));
    }
}

#[test]
fn short_payloads_lie_beside_the_versions_that_count_also_once_they_are_packed() {
    let mut rig = Rig::new();
    let put = |key, writer, seq| arrived(key, id(writer, seq), 0, Context::NOTHING);
    let all = [put(0, 1, 3), put(0, 2, 29), put(0, 3, 30), put(1, 1, 0), put(2, 1, 5), put(3, 1, 6)];
    rig.apply(&all.iter().map(Change::Hold).collect::<Vec<_>>());
    for round in 0..2 {
        for arrived in &all {
            let row = rig.keyed.read().find(arrived.entry.header.key.as_ref().unwrap()).unwrap();
            assert_eq!(row.payload(&arrived.id), short(&arrived.entry), "{round}");
        }
        rig.rest();
    }
    // One more version of a key takes nothing away.
    rig.apply(&[Change::Hold(&put(0, 0, 4))]);
    let row = rig.keyed.read().find(&[0]).unwrap();
    let kept = [id(0, 4), id(1, 3), id(2, 29), id(3, 30)].map(|id| row.payload(&id).map(Bytes::len));
    assert_eq!(kept, [Some(4), Some(3), Some(29), None]);
    assert!(rig.keyed.audit().unwrap().is_empty());
}

#[test]
fn a_snapshot_says_what_was_whatever_comes_and_is_merged() {
    let mut rig = Rig::with_memory(8);
    let put = |key, seq| arrived(key, id(1, seq), 0, Context::NOTHING);
    // A key with many versions, and others.
    let many: Vec<_> = (0..20).map(|seq| put(0, seq)).chain((1..9).map(|key| put(key, 5))).collect();
    rig.apply(&many.iter().map(Change::Hold).collect::<Vec<_>>());
    let snapshot = rig.keyed.snapshot();
    let all = |reader: KeyedReader<'_>| reader.scan(&[], None).collect::<Result<Vec<_>, _>>().unwrap();
    let before = all(rig.keyed.read());
    let gone: Vec<_> = many.iter().step_by(2).map(Change::Withdraw).collect();
    rig.apply(&gone);
    let more: Vec<_> = (0..9).map(|key| put(key, 39)).collect();
    rig.apply(&more.iter().map(Change::Hold).collect::<Vec<_>>());
    rig.rest();
    assert_eq!(all(snapshot.read()), before);
    assert_ne!(all(rig.keyed.read()), before);
}

#[test]
fn one_more_version_of_a_flooded_key_writes_one_more_row() {
    let mut rig = Rig::with_memory(16_384);
    let blind: Vec<Arrived> = (0..3_000).map(|seq| arrived(0, id(1, seq), 0, Context::NOTHING)).collect();
    let (updates, _) = rig.apply(&blind[..2_999].iter().map(Change::Hold).collect::<Vec<_>>());
    assert_eq!((updates[0].changes, updates[0].notice().unwrap().heads.len()), (2_999, 2_999));
    let (_, written) = rig.apply(&[Change::Hold(&blind[2_999])]);
    assert_eq!((written, rig.active(0).len()), (1, 3_000));
    // One that names them all ends it, and its end brings them back.
    let all = Context { vector: vec![(feed(1).name(), 3_000)], ..Context::NOTHING };
    let put = arrived(0, id(2, 0), 1, all);
    rig.apply(&[Change::Hold(&put)]);
    assert_eq!(ids(&rig.active(0)), [put.id]);
    rig.apply(&[Change::Withdraw(&put)]);
    assert_eq!(rig.active(0).len(), 3_000);
    let first: BTreeSet<EntryId> = rig.active(0).iter().take(2_995).map(|v| v.id).collect();
    let drop: Vec<_> = blind.iter().filter(|a| first.contains(&a.id)).map(Change::Withdraw).collect();
    rig.apply(&drop);
    assert_eq!(rig.rows_of_versions(), 0, "few again: one row, that of the key");
    assert_eq!(rig.active(0).len(), 5);
}
