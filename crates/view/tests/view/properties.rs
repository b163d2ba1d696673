//! Properties 1 and 5 of the model, for the engine and every keyed view: what a view holds depends on the set of entries
//! and forks, never on order, batches, restarts, faults or rebuilds.
use crate::common::*;
use kappadb_core::{EntryId, StoredBlock};
use kappadb_store::{Call, Fault, FaultPlan, FaultStore, MemoryStore, SledOptions, SledStore, Store};
use proptest::prelude::*;
use std::sync::Arc;

/// What happens between arrivals.
#[derive(Debug, Clone)]
enum Event {
    Restart,
    Rebuild,
    Ready,
    Cap(usize),
    Lose(u64),
    Again(u64),
    Fork(u8, u64),
    Forget,
    Fault(Call, u64, Fault),
}

fn event() -> impl Strategy<Value = Event> {
    let call = prop_oneof![Just(Call::Get), Just(Call::Range), Just(Call::Apply)];
    let fault = prop_oneof![Just(Fault::Refuse), Just(Fault::Unheard)];
    prop_oneof![
        2 => Just(Event::Restart),
        1 => Just(Event::Rebuild),
        3 => Just(Event::Ready),
        3 => (1usize..5).prop_map(Event::Cap),
        1 => (1u64..4).prop_map(Event::Lose),
        1 => (0u64..40).prop_map(Event::Again),
        2 => (0u8..4, 0u64..8).prop_map(|(writer, seq)| Event::Fork(writer, seq)),
        1 => Just(Event::Forget),
        2 => (call, 0u64..4, fault).prop_map(|(call, n, fault)| Event::Fault(call, n, fault)),
    ]
}

type Script = (Vec<(EntryId, StoredBlock)>, Vec<(usize, Event)>);

/// Blocks in a random order with events in between.
fn scripts() -> impl Strategy<Value = Script> {
    let events = prop::collection::vec((0usize..40, event()), 0..10);
    let shuffled =
        writes(40).prop_map(|writes| blocks(&writes)).prop_flat_map(|blocks| Just(blocks).prop_shuffle());
    (shuffled, events)
}

fn play(
    store: Arc<dyn Store>,
    faults: &FaultPlan,
    blocks: Vec<(EntryId, StoredBlock)>,
    events: &[(usize, Event)],
) {
    let store: Arc<dyn Store> = Arc::new(FaultStore::new(store, faults.clone()));
    let log = Log::new();
    let mut opened = Some(open(&log, &store));
    for (n, (id, block)) in blocks.into_iter().enumerate() {
        log.arrive(id, block);
        for (_, event) in events.iter().filter(|(at, _)| *at == n) {
            match event {
                Event::Restart | Event::Forget => {
                    drop(opened.take());
                    // Opening registers the view, which is asked for errors, not for patience.
                    faults.heal();
                    if matches!(event, Event::Forget) {
                        store
                            .trees()
                            .unwrap()
                            .iter()
                            .for_each(|name| assert!(store.drop_tree(name).unwrap()));
                    }
                    opened = Some(open(&log, &store));
                }
                // May fail because of a fault; what counts is the end.
                Event::Rebuild => drop(opened.as_ref().unwrap().0.rebuild(None)),
                Event::Ready => drop(opened.as_ref().unwrap().1.ready()),
                Event::Cap(cap) => log.cap(*cap),
                Event::Lose(count) => log.lose(*count),
                Event::Again(lseq) => log.repeat(*lseq),
                Event::Fork(writer, seq) => log.fork(feed(*writer), *seq),
                Event::Fault(call, n, fault) => faults.fail(*call, *n, *fault),
            }
        }
    }
    faults.heal();
    let (views, handle) = opened.unwrap();
    assert_as_expected(&views, &handle, &log);
    views.rebuild(Some("kv")).unwrap();
    assert_as_expected(&views, &handle, &log);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn content_depends_on_the_set_alone((blocks, events) in scripts()) {
        play(Arc::new(MemoryStore::new()), &FaultPlan::none(), blocks, &events);
    }

    #[test]
    fn withdrawn_is_as_if_never_held(writes in writes(40), forks in prop::collection::vec((0u8..4, 0u64..8), 1..4), cap in 1usize..9) {
        let blocks = blocks(&writes);
        let (late, never) = (Log::new(), Log::new());
        late.cap(cap);
        let excluded = |id: &EntryId| forks.iter().any(|(writer, seq)| id.feed == feed(*writer) && id.seq >= *seq);
        blocks.iter().for_each(|(id, block)| late.arrive(*id, block.clone()));
        blocks.iter().filter(|(id, _)| !excluded(id)).for_each(|(id, block)| never.arrive(*id, block.clone()));
        let stores: [Arc<dyn Store>; 2] = [Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new())];
        let (_views, with) = open(&late, &stores[0]);
        let (_others, without) = open(&never, &stores[1]);
        for (writer, seq) in &forks {
            with.ready().unwrap();
            late.fork(feed(*writer), *seq);
        }
        with.ready().unwrap();
        without.ready().unwrap();
        prop_assert_eq!(with.read(KvIndex::content).unwrap(), without.read(KvIndex::content).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn content_depends_on_the_set_alone_on_disk((blocks, events) in scripts()) {
        let dir = tempfile::tempdir().unwrap();
        let store = SledStore::open(dir.path(), SledOptions::default()).unwrap();
        play(Arc::new(store), &FaultPlan::none(), blocks, &events);
    }
}
