//! One suite for every engine: random operations against a `BTreeMap`.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_store::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;
type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

#[derive(Debug, Clone)]
enum Step {
    Apply(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    Get(Vec<u8>),
    Range(Bounds, Vec<bool>),
    Prefix(Vec<u8>),
    Flush,
    Recreate,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few distinct keys that share prefixes, and enough of them to fill more than one leaf.
    prop_oneof![
        8 => (0u8..4, any::<u8>()).prop_map(|(a, b)| vec![a, b]),
        1 => prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..4),
    ]
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop::option::weighted(0.75, prop::collection::vec(any::<u8>(), 0..20));
    prop_oneof![
        6 => prop::collection::vec((key(), value), 0..150).prop_map(Step::Apply),
        2 => key().prop_map(Step::Get),
        4 => ((bound(), bound()), prop::collection::vec(any::<bool>(), 0..300)).prop_map(|(b, d)| Step::Range(b, d)),
        2 => prop::collection::vec(0u8..4, 0..2).prop_map(Step::Prefix),
        1 => Just(Step::Flush),
        1 => Just(Step::Recreate),
    ]
}

fn as_ref(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

fn rows(rows: Rows<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    rows.map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap()).collect()
}

fn in_range(model: &Model, (from, to): &Bounds) -> Vec<(Vec<u8>, Vec<u8>)> {
    use std::ops::RangeBounds;
    let range = (as_ref(from), as_ref(to));
    model
        .iter()
        .filter(|(k, _)| RangeBounds::<[u8]>::contains(&range, &k[..]))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

fn check_both_ways(tree: &dyn Tree, model: &Model, bounds: &Bounds, directions: &[bool]) {
    let expected = in_range(model, bounds);
    let range = || tree.range(as_ref(&bounds.0), as_ref(&bounds.1));
    assert_eq!(rows(range()), expected);
    assert_eq!(rows(Box::new(range().rev())), expected.iter().rev().cloned().collect::<Vec<_>>());
    let (mut actual, mut wanted) = (range(), expected.into_iter());
    for &back in directions {
        let got = if back { actual.next_back() } else { actual.next() };
        let got = got.map(|row| row.map(|(k, v)| (k.to_vec(), v.to_vec())).unwrap());
        assert_eq!(got, if back { wanted.next_back() } else { wanted.next() });
    }
}

fn run(store: &dyn Store, model: &mut Model, steps: &[Step]) {
    for step in steps {
        let tree = store.tree("rows").unwrap();
        match step {
            Step::Apply(writes) => {
                let mut batch = Batch::new();
                for (key, value) in writes {
                    match value {
                        Some(value) => batch.put(key.clone(), value.clone()),
                        None => batch.delete(key.clone()),
                    }
                    match value {
                        Some(value) => drop(model.insert(key.clone(), value.clone())),
                        None => drop(model.remove(key)),
                    }
                }
                tree.apply(&batch).unwrap();
            }
            Step::Get(key) => assert_eq!(tree.get(key).unwrap().map(|v| v.to_vec()), model.get(key).cloned()),
            Step::Range(bounds, directions) => check_both_ways(&*tree, model, bounds, directions),
            Step::Prefix(prefix) => {
                let expected: Vec<_> =
                    model.clone().into_iter().filter(|(k, _)| k.starts_with(prefix)).collect();
                assert_eq!(rows(prefix_range(&*tree, prefix)), expected);
            }
            Step::Flush => store.flush().unwrap(),
            Step::Recreate => {
                assert!(store.drop_tree("rows").unwrap());
                assert!(!store.drop_tree("rows").unwrap());
                assert!(matches!(tree.get(b"x"), Err(StoreError::Dropped(_))));
                assert!(matches!(tree.apply(&Batch::new()), Err(StoreError::Dropped(_))));
                model.clear();
            }
        }
    }
    let all = (Bound::Unbounded, Bound::Unbounded);
    check_both_ways(&*store.tree("rows").unwrap(), model, &all, &[]);
}

fn options() -> SledOptions {
    SledOptions { cache_bytes: 1 << 16, flush_every: Duration::from_millis(20) }
}

fn sled(path: &Path) -> SledStore {
    SledStore::open(path, options()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn memory_behaves_like_a_map(steps in prop::collection::vec(step(), 0..30)) {
        run(&MemoryStore::new(), &mut Model::new(), &steps);
    }

    #[test]
    fn a_fault_store_without_faults_behaves_like_a_map(steps in prop::collection::vec(step(), 0..30)) {
        run(&FaultStore::new(Arc::new(MemoryStore::new()), FaultPlan::none()), &mut Model::new(), &steps);
    }

    #[test]
    fn an_overlay_reads_as_if_it_were_applied(
        before in prop::collection::vec((key(), prop::collection::vec(any::<u8>(), 0..3)), 0..60),
        writes in prop::collection::vec((key(), prop::option::of(prop::collection::vec(any::<u8>(), 0..3))), 0..60),
        prefix in prop::collection::vec(0u8..4, 0..2),
    ) {
        let tree = MemoryStore::new().tree("rows").unwrap();
        let mut batch = Batch::new();
        before.into_iter().for_each(|(k, v)| batch.put(k, v));
        tree.apply(&batch).unwrap();
        let mut overlay = Overlay::new(&*tree);
        let keys: Vec<_> = writes.iter().map(|(k, _)| k.clone()).collect();
        for (key, value) in writes {
            match value {
                Some(value) => overlay.put(key, value),
                None => overlay.delete(key),
            }
        }
        let seen: Vec<_> = keys.iter().map(|k| overlay.get(k).unwrap()).collect();
        let rows = overlay.range_prefix(&prefix).unwrap();
        tree.apply(&overlay.into_batch()).unwrap();
        prop_assert_eq!(seen, keys.iter().map(|k| tree.get(k).unwrap()).collect::<Vec<_>>());
        prop_assert_eq!(rows, prefix_range(&*tree, &prefix).collect::<Result<Vec<_>, _>>().unwrap());
    }
}

proptest! {
    // Each opening runs `sync`, which can take long on a busy machine.
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn sled_behaves_like_a_map_and_is_the_same_after_reopening(
        first in prop::collection::vec(step(), 20..40),
        second in prop::collection::vec(step(), 0..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new();
        run(&sled(dir.path()), &mut model, &first);
        run(&sled(dir.path()), &mut model, &second);
        run(&sled(dir.path()), &mut model, &[]);
    }
}

#[test]
fn each_fault_does_what_it_says() {
    let plan = FaultPlan::none();
    let store = FaultStore::new(Arc::new(MemoryStore::new()), plan.clone());
    let tree = store.tree("rows").unwrap();
    let batch = |from: u8| {
        let mut batch = Batch::new();
        (from..from + 4).for_each(|n| batch.put(vec![n], vec![n]));
        batch
    };
    for (from, fault) in [(0, Fault::Refuse), (10, Fault::Unheard), (20, Fault::Tear)] {
        plan.fail(Call::Apply, 1, fault);
        tree.apply(&Batch::new()).unwrap();
        assert!(matches!(tree.apply(&batch(from)), Err(StoreError::Injected(Call::Apply))));
    }
    let keys: Vec<u8> =
        rows(tree.range(Bound::Unbounded, Bound::Unbounded)).iter().map(|(k, _)| k[0]).collect();
    assert_eq!(keys, [10, 11, 12, 13, 20, 21]);
    for (call, error) in [
        (Call::Get, tree.get(b"x").err()),
        (Call::Range, tree.range(Bound::Unbounded, Bound::Unbounded).next().and_then(Result::err)),
    ] {
        assert!(error.is_none());
        plan.fail(call, 0, Fault::Refuse);
    }
    assert!(tree.get(b"x").is_err() && tree.get(b"x").is_ok());
    plan.heal();
    assert!(tree.range(Bound::Unbounded, Bound::Unbounded).next().unwrap().is_ok());
    plan.fail(Call::Flush, 0, Fault::Refuse);
    assert!(store.flush().is_err() && store.flush().is_ok());
}
