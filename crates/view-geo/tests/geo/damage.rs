//! What the index does with rows that are damaged, and whether it notices.

use crate::common::{DEAD, FILES, MEMORY, Rig, at, copy_of, field, files_of, rows_of, write_file};
use bytes::Bytes;
use kappadb_core::GeoBox;
use kappadb_query::Selector;
use kappadb_store::{Batch, Op, Tree};
use kappadb_view::{Change, Index, View, ViewError};
use kappadb_view_geo::Query;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

fn write(rig: &Rig, op: Op) {
    rig.tree.apply(&[op].into_iter().collect()).expect("applies");
}

/// An index of several runs, some of which is dead and some in memory.
fn packed() -> Rig {
    static TREE: LazyLock<Arc<dyn Tree>> = LazyLock::new(|| {
        let mut rig = Rig::new(32);
        let points = field(20);
        for batch in points[..390].chunks(30) {
            rig.hold(batch);
            rig.keep_up(false);
        }
        rig.withdraw(&points[..9]);
        rig.tree
    });
    Rig::over(32, copy_of(&**TREE))
}

#[test]
fn a_lost_file_asks_for_a_rebuild() {
    let rig = packed();
    for group in FILES {
        let tree = copy_of(&*rig.tree);
        let files = files_of(&*tree, group);
        let mut batch = Batch::new();
        files.iter().take(1).for_each(|(id, _)| batch.remove_file(*id));
        tree.apply(&batch).expect("applies");
        // Points refer to nothing.
        assert_eq!(
            rig.view.open(tree).is_err_and(|error| error.wants_rebuild()),
            !files.is_empty(),
            "{group:x}"
        );
    }
}

/// An index with items in memory and in a run that has inner pages; that many of the latter are dead.
fn with_everything(dead: usize) -> Rig {
    let mut rig = Rig::new(300);
    let points = field(20);
    rig.hold(&points[..320]);
    rig.hold(&points[320..]);
    rig.withdraw(&points[..dead]);
    assert!(rig.index.stats().memory > 0 && !rig.index.stats().runs.is_empty());
    rig
}

/// Changes rows of one kind, one at a time, and puts back what was there before.
fn assert_noticed(rig: &Rig, prefix: u8, change: impl Fn(&Bytes, &Bytes) -> Op) {
    rig.check();
    let rows = rows_of(&*rig.tree, Some(prefix));
    for (key, value) in rows.iter().step_by(rows.len() / 12 + 1) {
        let op = change(key, value);
        let (Op::Put(changed, _) | Op::Delete(changed)) = &op;
        let before = rig.tree.get(changed).expect("reads");
        let back = before.map_or(Op::Delete(changed.clone()), |row| Op::Put(changed.clone(), row));
        write(rig, op);
        // Both by the index that has it right in memory, and by one that has read it.
        for index in [None, Some(rig.view.open(copy_of(&*rig.tree)))] {
            let found = index.map_or_else(|| rig.index.check(), |opened| opened?.check());
            assert!(found.is_err() || !found.expect("checks").is_empty(), "{key:?}");
        }
        write(rig, back);
    }
    rig.check();
}

#[test]
fn lost_rows_are_noticed() {
    let rig = with_everything(30);
    (2..=DEAD).for_each(|prefix| assert_noticed(&rig, prefix, |key, _| Op::Delete(key.clone())));
}

#[test]
fn flipped_bytes_are_noticed() {
    // What is dead may be anything: it is read by nobody.
    let rig = with_everything(0);
    for prefix in 2..DEAD {
        for place in [0, 5, 14, 15, 21] {
            assert_noticed(&rig, prefix, |key, value| {
                let mut value = value.to_vec();
                let place = place % value.len();
                value[place] ^= 1;
                Op::Put(key.clone(), value.into())
            });
        }
    }
}

/// A row like another one, about the last entry of another feed number, run or page.
#[test]
fn rows_too_many_are_noticed() {
    let rig = with_everything(30);
    for prefix in MEMORY..=DEAD {
        assert_noticed(&rig, prefix, |key, value| {
            let mut key = key.to_vec();
            *key.last_mut().expect("a key") ^= 0x80;
            Op::Put(key.into(), value.clone())
        });
    }
}

/// What is in memory is what answers, so it is looked at as well as the rows.
#[test]
fn an_index_that_the_rows_have_left_behind_is_noticed() {
    let behind = packed();
    let mut ahead = Rig::over(32, behind.tree.clone());
    ahead.hold(&field(20)[390..]);
    ahead.check();
    assert!(!behind.index.check().expect("checks").is_empty());
}

/// A merge would make the loss whole.
#[test]
fn what_is_damaged_is_not_merged() {
    let mut rig = Rig::new(800);
    field(60).chunks(900).for_each(|batch| drop(rig.hold(batch)));
    for (id, bytes) in files_of(&*rig.tree, FILES[1]) {
        // The first page: its pointer, and all behind it, are as they were.
        let mut bytes = bytes.to_vec();
        bytes[5] ^= 1;
        write_file(&*rig.tree, id, &bytes);
    }
    rig.reopen();
    assert!(rig.index.check().is_err_and(|error| error.wants_rebuild()));
    assert!(merge(&mut rig).is_err_and(|error| error.wants_rebuild()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Rows of our own are as foreign as a peer's bytes once a disk has had them. Whatever is asked of them and done with them,
    /// packing and merging too, ends well or asks for a rebuild.
    #[test]
    fn damaged_rows_never_panic(
        prefix in 1..=DEAD,
        in_file: bool,
        pick in any::<prop::sample::Index>(),
        damage in prop_oneof![
            (any::<prop::sample::Index>(), 1..=255u8).prop_map(Damage::Flip),
            any::<prop::sample::Index>().prop_map(Damage::Cut),
            prop::collection::vec(any::<u8>(), 0..60).prop_map(Damage::Noise),
            // Numbers in a descriptor, as large as they come.
            prop::collection::vec(prop::sample::select(vec![0, 1, 2, 64, 250, 251, 253, 255]), 3..24)
                .prop_map(Damage::Noise),
            Just(Damage::Delete),
        ],
    ) {
        let rig = packed();
        let rows = rows_of(&*rig.tree, if in_file { None } else { Some(prefix) });
        prop_assume!(!rows.is_empty());
        let (key, value) = pick.get(&rows).clone();
        if in_file {
            let files: Vec<_> = FILES.into_iter().flat_map(|group| files_of(&*rig.tree, group)).collect();
            let (id, bytes) = pick.get(&files).clone();
            let mut bytes = bytes.to_vec();
            match damage {
                Damage::Flip((at, by)) => { let at = at.index(bytes.len()); bytes[at] ^= by; }
                Damage::Cut(at) => bytes.truncate(at.index(bytes.len() + 1)),
                Damage::Noise(noise) => bytes = noise,
                Damage::Delete => bytes.clear(),
            }
            write_file(&*rig.tree, id, &bytes);
        } else {
            write(&rig, match damage {
            Damage::Flip((at, by)) if !value.is_empty() => {
                let mut value = value.to_vec();
                let at = at.index(value.len());
                value[at] ^= by;
                Op::Put(key, value.into())
            }
            Damage::Cut(at) => Op::Put(key, value.slice(..at.index(value.len() + 1))),
            Damage::Noise(noise) => Op::Put(key, noise.into()),
            _ => Op::Delete(key),
            });
        }
        if let Err(error) = go_on(rig) {
            prop_assert!(error.wants_rebuild(), "{}", error);
        }
    }
}

/// All that is due in the background.
fn merge(rig: &mut Rig) -> Result<(), ViewError> {
    while let Some(mut job) = rig.index.upkeep(true) {
        while job.work()? {}
        rig.install(job)?;
    }
    Ok(())
}

fn go_on(rig: Rig) -> Result<(), ViewError> {
    let index = rig.view.open(rig.tree.clone())?;
    for extent in [GeoBox::WORLD.into(), at(30, 30, 90, 90)] {
        index.query(&extent, &Query::default())?;
        index.matches(&Selector::from(&extent), &BTreeSet::new())?;
    }
    index.check()?;
    let mut rig = Rig { index, job: None, ..rig };
    let points = field(24);
    for batch in points[400..].chunks(40) {
        rig.try_apply(&batch.iter().map(Change::Hold).collect::<Vec<_>>())?;
    }
    merge(&mut rig)?;
    for batch in points.chunks(90) {
        rig.try_apply(&batch.iter().map(Change::Withdraw).collect::<Vec<_>>())?;
    }
    merge(&mut rig)?;
    rig.index.check().map(drop)
}

#[derive(Debug, Clone)]
enum Damage {
    Flip((prop::sample::Index, u8)),
    Cut(prop::sample::Index),
    Noise(Vec<u8>),
    Delete,
}
