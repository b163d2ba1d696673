//! Property 1 and 5: the view depends on the set of entries, never on order, batches, restarts or upkeep.

use crate::fixture::Fixture;
use crate::histories::{feed, histories};
use crate::model::{Model, compare};
use kappadb_query::Selector;
use kappadb_view::{Arrived, Change, Index};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// What happens between batches.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Reopen,
    Settle {
        idle: bool,
    },
    /// Work that was begun is lost in the middle.
    Abandon,
    /// Work is finished while a batch comes in.
    Beside,
}

fn between() -> impl Strategy<Value = Between> {
    prop_oneof![
        4 => Just(Between::Nothing),
        2 => Just(Between::Reopen),
        2 => any::<bool>().prop_map(|idle| Between::Settle { idle }),
        1 => Just(Between::Abandon),
        2 => Just(Between::Beside),
    ]
}

fn batches() -> impl Strategy<Value = Vec<(usize, Between)>> {
    prop::collection::vec((1..9usize, between()), 1..24)
}

/// Applies changes in batches.
fn run(changes: &[Change<'_>], batches: &[(usize, Between)]) -> Fixture {
    let (mut fixture, mut left) = (Fixture::new(), changes);
    let mut plan = batches.iter().cycle();
    while !left.is_empty() {
        let Some((size, between)) = plan.next() else { break };
        let (batch, rest) = left.split_at((*size).min(left.len()));
        left = rest;
        let job = if matches!(between, Between::Beside) { fixture.begin(true) } else { None };
        fixture.apply(batch);
        if let Some(mut job) = job {
            while job.work().unwrap() {}
            fixture.install(job);
        }
        match between {
            Between::Nothing | Between::Beside => {}
            Between::Reopen => fixture = fixture.reopen(),
            Between::Settle { idle } => fixture.settle(*idle),
            Between::Abandon => {
                if let Some(mut job) = fixture.begin(true) {
                    let _ = job.work().unwrap();
                    drop(job);
                    fixture = fixture.reopen();
                }
            }
        }
    }
    fixture
}

fn shuffled(entries: &[Arrived], keys: &[u32]) -> Vec<Arrived> {
    let mut keyed: Vec<(u32, usize)> = (0..entries.len())
        .map(|n| (keys[n % keys.len()].rotate_left(u32::try_from(n % 31).unwrap()), n))
        .collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, n)| entries[n].clone()).collect()
}

fn check(fixture: &Fixture, model: &Model) {
    compare(&fixture.index, model);
    assert_eq!(fixture.index.check().unwrap(), Vec::<String>::new());
    let everything: BTreeSet<_> = fixture.matches(&Selector::Everything).into_iter().collect();
    assert_eq!(everything, model.0.keys().copied().collect());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_view_is_what_a_plain_look_at_the_entries_says(
        history in histories(48), keys in prop::collection::vec(any::<u32>(), 1..48), batches in batches(),
    ) {
        let arriving = shuffled(&history, &keys);
        let changes: Vec<Change<'_>> = arriving.iter().map(Change::Hold).collect();
        let model = Model::of(&history);
        let fixture = run(&changes, &batches);
        check(&fixture, &model);
        check(&fixture.reopen(), &model);
        // All at once, in the order of writing: a rebuild.
        let mut rebuilt = Fixture::of(&history);
        check(&rebuilt, &model);
        rebuilt.settle(true);
        check(&rebuilt, &model);
    }

    #[test]
    fn what_was_withdrawn_is_as_if_it_had_never_come(
        history in histories(40), keys in prop::collection::vec(any::<u32>(), 1..40), batches in batches(),
        forks in prop::collection::vec((0..4u8, 0..8u64), 1..3), at in any::<prop::sample::Index>(), again: bool,
    ) {
        let arriving = shuffled(&history, &keys);
        let forked = |arrived: &&Arrived| {
            forks.iter().any(|(writer, from)| arrived.id.feed == feed(*writer) && arrived.id.seq >= *from)
        };
        // Up to some point nobody knew; from then on nothing that is left out comes in.
        let (before, after) = arriving.split_at(at.index(arriving.len() + 1));
        let mut changes: Vec<Change<'_>> = before.iter().map(Change::Hold).collect();
        changes.extend(before.iter().filter(forked).map(Change::Withdraw));
        // A crash in between repeats it.
        changes.extend(before.iter().filter(|_| again).filter(forked).map(Change::Withdraw));
        changes.extend(after.iter().filter(|arrived| !forked(arrived)).map(Change::Hold));
        let model = Model::of(history.iter().filter(|arrived| !forked(arrived)));
        let mut fixture = run(&changes, &batches);
        check(&fixture, &model);
        fixture.settle(true);
        check(&fixture.reopen(), &model);
    }

    #[test]
    fn holding_again_changes_nothing_and_brings_back_what_was_withdrawn(
        history in histories(24), batches in batches(),
    ) {
        let twice = history.iter().chain(&history).map(Change::Hold);
        let around = history.iter().map(Change::Withdraw).chain(history.iter().map(Change::Hold));
        let model = Model::of(&history);
        check(&run(&twice.clone().collect::<Vec<_>>(), &batches), &model);
        check(&run(&twice.chain(around).collect::<Vec<_>>(), &batches), &model);
    }
}
