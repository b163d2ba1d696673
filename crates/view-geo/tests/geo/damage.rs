//! What the index does with rows that are damaged, and whether it notices.

use crate::common::{DEAD, MEMORY, PAGES, RUNS, Rig, at, field, rows_of};
use bytes::Bytes;
use kappadb_core::GeoBox;
use kappadb_query::Selector;
use kappadb_store::{MemoryStore, Op, Store};
use kappadb_view::{Change, Index, View, ViewError};
use kappadb_view_geo::Query;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::LazyLock;

fn write(rig: &Rig, op: Op) {
    rig.tree.apply(&[op].into_iter().collect()).expect("applies");
}

/// An index of several runs, some of which is dead and some in memory.
fn packed() -> Rig {
    static ROWS: LazyLock<Vec<(Bytes, Bytes)>> = LazyLock::new(|| {
        let mut rig = Rig::new(32);
        let points = field(20);
        for batch in points[..390].chunks(30) {
            rig.hold(batch);
            rig.keep_up(false);
        }
        rig.withdraw(&points[..9]);
        rows_of(&*rig.tree, None)
    });
    let tree = MemoryStore::new().tree("map").expect("tree");
    let rows = ROWS.iter().cloned().map(|(key, value)| Op::Put(key, value));
    tree.apply(&rows.collect()).expect("applies");
    Rig::over(32, tree)
}

#[test]
fn a_lost_page_asks_for_a_rebuild() {
    let mut rig = packed();
    let leaves = rows_of(&*rig.tree, Some(PAGES)).into_iter().filter(|(key, _)| key[6] == 0);
    leaves.for_each(|(key, _)| write(&rig, Op::Delete(key)));
    rig.reopen();
    let error = rig.index.query(&GeoBox::WORLD.into(), &Query::default()).expect_err("pages are gone");
    assert!(error.wants_rebuild(), "{error}");
}

/// An index with items in memory and in a run that has inner pages; that many of the latter are dead.
fn with_everything(dead: usize) -> Rig {
    let mut rig = Rig::new(300);
    let points = field(20);
    rig.hold(&points[..320]);
    rig.hold(&points[320..]);
    rig.withdraw(&points[..dead]);
    let levels: BTreeSet<u8> = rows_of(&*rig.tree, Some(PAGES)).iter().map(|(key, _)| key[6]).collect();
    assert!(levels.len() > 1 && rig.index.stats().memory > 0);
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
        for index in [None, Some(rig.view.open(rig.tree.clone()))] {
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

#[test]
fn no_run_comes_after_the_last_number() {
    let rig = packed();
    let (_, descriptor) = rows_of(&*rig.tree, Some(RUNS)).pop().expect("a run");
    let last = [&[RUNS][..], &u32::MAX.to_be_bytes()].concat();
    write(&rig, Op::Put(last.into(), descriptor));
    assert!(rig.view.open(rig.tree.clone()).is_err_and(|error| error.wants_rebuild()));
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

/// A leaf page without its last item.
fn without_last(page: &[u8]) -> Vec<u8> {
    let left = u16::from_le_bytes([page[0], page[1]]) - 1;
    let n = usize::from(left);
    let (boxes, rest) = page[2..].split_at(16 * (n + 1));
    let (ends, bodies) = rest.split_at(2 * (n + 1));
    let end = usize::from(u16::from_le_bytes([ends[2 * n - 2], ends[2 * n - 1]]));
    [&left.to_le_bytes()[..], &boxes[..16 * n], &ends[..2 * n], &bodies[..end]].concat()
}

/// A merge would make the loss whole: what is left fits together.
#[test]
fn a_page_that_lost_its_last_box_is_not_merged() {
    let rig = packed();
    for (key, page) in rows_of(&*rig.tree, Some(PAGES)).into_iter().filter(|(key, _)| key[6] == 0) {
        write(&rig, Op::Put(key, without_last(&page).into()));
    }
    let index = rig.view.open(rig.tree.clone()).expect("opens");
    let mut rig = Rig { index, job: None, ..rig };
    assert!(!rig.index.check().expect("checks").is_empty());
    let outcome = merge(&mut rig);
    assert!(outcome.is_err_and(|error| error.wants_rebuild()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Rows of our own are as foreign as a peer's bytes once a disk has had them. Whatever is asked of them and done with them,
    /// packing and merging too, ends well or asks for a rebuild.
    #[test]
    fn damaged_rows_never_panic(
        prefix in 1..=DEAD,
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
        let rows = rows_of(&*rig.tree, Some(prefix));
        let (key, value) = pick.get(&rows).clone();
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
