//! The power fails at every write in turn: of a batch, of a file, of an installation.

use crate::common::{DEAD, FILES, Model, RUNS, Rig, at, field, files_of, heads_of, rows_of};
use kappadb_core::{Extent, GeoBox};
use kappadb_query::Selector;
use kappadb_store::{Call, Fault, FaultPlan, FaultStore, MemoryStore, Overlay, Store, Tree};
use kappadb_view::{Arrived, Change, Index, ViewError};
use std::sync::Arc;

/// Small enough to be packed every few batches and merged in pieces.
const MEMORY: usize = 24;

/// Batches: points, then some of them taken out again, so that there are marks, too.
fn batches() -> Vec<(Vec<Arrived>, bool)> {
    let points = field(16);
    let mut out: Vec<(Vec<Arrived>, bool)> = points.chunks(8).map(|batch| (batch.to_vec(), true)).collect();
    out.extend(points[..80].chunks(10).map(|batch| (batch.to_vec(), false)));
    out
}

/// Takes a batch in. Anything may fail.
fn apply(rig: &mut Rig, (batch, hold): &(Vec<Arrived>, bool)) -> Result<(), ViewError> {
    let change = if *hold { Change::Hold } else { Change::Withdraw };
    rig.try_apply(&batch.iter().map(change).collect::<Vec<_>>()).map(drop)
}

/// Some pieces of work in the background. Anything may fail.
fn work(rig: &mut Rig, pieces: usize) -> Result<(), ViewError> {
    for _ in 0..pieces {
        let Some(mut job) = rig.job.take().or_else(|| rig.index.upkeep(true)) else { return Ok(()) };
        match job.work()? {
            true => rig.job = Some(job),
            false => rig.install(job)?,
        }
    }
    Ok(())
}

/// Does everything; opens anew after the one failure. True if there was one.
fn run(tree: &Arc<dyn Tree>, inspect: impl Fn(&Rig)) -> bool {
    let (mut rig, mut failed) = (Rig::over(MEMORY, tree.clone()), false);
    let batches = batches();
    let mut next = 0;
    while next < batches.len() {
        // As the engine does: whatever fails, the index is opened anew, and what may not have been written comes again.
        let result = apply(&mut rig, &batches[next]).and_then(|()| work(&mut rig, 5));
        match result {
            Ok(()) => next += 1,
            Err(_) => {
                assert!(!failed, "one failure only");
                failed = true;
                rig.reopen();
                inspect(&rig);
            }
        }
    }
    while rig.job.is_some() || rig.index.upkeep(true).map(|job| rig.job = Some(job)).is_some() {
        if work(&mut rig, 1).is_err() {
            failed = true;
            rig.reopen();
            inspect(&rig);
        }
    }
    inspect(&rig);
    let held = field(16)[80..].to_vec();
    let model = Model::of(&held);
    for extent in [GeoBox::WORLD.into(), at(0, 0, 60, 60), at(30, 40, 160, 90)] {
        assert_eq!(rig.answer(&extent), model.answer(&extent));
        assert_eq!(rig.serve(&Selector::from(&extent)), model.serve_box(&extent));
    }
    let living: Vec<_> = rows_of(&**tree, Some(RUNS)).iter().map(|(key, _)| key.slice(3..11)).collect();
    let dead = rows_of(&**tree, Some(DEAD));
    assert!(dead.iter().all(|(key, _)| living.iter().any(|run| key[1..9] == run[..])), "nothing is left");
    assert_eq!(files_of(&**tree, FILES[1]).len(), living.len(), "nor files");
    failed
}

#[test]
fn nothing_is_lost_and_nothing_is_left_wherever_the_power_fails() {
    let faults = [
        (Call::Apply, Fault::Refuse, 40),
        (Call::Apply, Fault::Unheard, 40),
        (Call::NewFile, Fault::Refuse, 10),
    ];
    for (call, fault, least) in faults {
        let mut failures = 0;
        for n in 0.. {
            let plan = FaultPlan::none();
            let tree = FaultStore::new(Arc::new(MemoryStore::new()), plan.clone()).tree("map").expect("tree");
            plan.fail(call, n, fault);
            if !run(&tree, Rig::check) {
                break;
            }
            failures += 1;
        }
        assert!(failures > least, "{failures} writes");
    }
}

/// The same answers before a merge, at every point of it, and after it, with changes in between.
#[test]
fn a_merge_shows_in_no_answer() {
    let mut rig = Rig::new(MEMORY);
    let points = field(14);
    for batch in points.chunks(12) {
        rig.hold(batch);
    }
    let runs = rig.index.stats().runs.len();
    assert!(
        runs > 4
            && rig.index.upkeep(false).is_some_and(|job| {
                rig.job = Some(job);
                true
            })
    );
    let (mut gone, mut pieces) = (0, 0);
    while rig.index.stats().runs.len() >= runs {
        assert!(rig.work(false));
        pieces += 1;
        rig.withdraw(&points[gone..gone + 2]); // out of runs that are being merged
        gone += 2;
        let model = Model::of(&points[gone..]);
        for extent in [Extent::from(GeoBox::WORLD), at(0, 0, 50, 50)] {
            assert_eq!(rig.answer(&extent), model.answer(&extent), "after {pieces} pieces");
        }
        rig.check();
        assert!(gone < points.len() / 2, "it ends");
    }
    assert!(pieces > 5);
    rig.reopen();
    rig.check();
    let heads = Model::of(&points[gone..])
        .keys()
        .map(|key| heads_of(&Model::of(&points).versions(key)).len())
        .sum::<usize>();
    assert_eq!(rig.index.count(&GeoBox::WORLD.into()).expect("counts"), heads);
}

/// The pause of an installation does not grow with the runs.
#[test]
fn installing_a_merged_run_writes_a_handful_of_rows() {
    let mut rig = Rig::new(MEMORY);
    field(40).chunks(50).for_each(|batch| drop(rig.hold(batch)));
    let mut merges = 0;
    while let Some(mut job) = rig.index.upkeep(true) {
        while job.work().expect("works") {}
        let tree = rig.tree.clone();
        let mut rows = Overlay::new(&*tree);
        let before = rig.index.stats().runs.len();
        job.install(&mut rig.index, &mut rows).expect("installs");
        // One for each run that it was made of, of boxes or of keys, whatever is in them.
        assert!(rows.len() <= before.max(field(40).len() / 50) + 2, "{} rows", rows.len());
        merges += usize::from(rig.index.stats().runs.len() < before);
        tree.apply(&rows.into_batch()).expect("applies");
    }
    assert!(merges > 0 && rig.index.stats().runs.len() <= 3);
    rig.check();
}
