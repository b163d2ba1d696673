//! A feed whose writer signed two histories: what each side tells, when, and what an answer then rests on.
use crate::common::{DB, Pair, Replica, Shared, Truth, VIEW, evidence};
use kappadb_core::limits::MAX_FORKS_TOLD;
use kappadb_core::{RangeSet, SecretKey};
use kappadb_query::Selector;
use kappadb_sim::{Random, seeds};
use kappadb_sync::frame::Frame;
use kappadb_sync::{Ask, Config, Event, Fork, SessionError, Stats};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Two histories of one feed that go apart after `common` blocks.
fn histories(common: usize, lengths: [usize; 2], size: u64) -> [Rc<Truth>; 2] {
    [1u8, 2].map(|which| {
        let length = lengths[usize::from(which) - 1];
        let keys: Vec<u8> = (0..length).map(|n| if n < common { 0 } else { which }).collect();
        // From the same seed: payloads of the common part are the same.
        Truth::new(1, &keys, size, &mut Random::new(7))
    })
}

fn holding(truth: &Truth, ranges: &RangeSet) -> Shared {
    let replica = Replica::new();
    replica.borrow_mut().hold(truth, ranges, truth.length());
    replica
}

fn all(truth: &Truth) -> RangeSet {
    RangeSet::below(truth.length())
}

fn ask(pair: &mut Pair, side: usize, have: bool) {
    let replica = pair.sides[side].replica.clone();
    let replica = replica.borrow();
    let forks = replica
        .forks
        .iter()
        .map(|evidence| Fork { definition: replica.definitions[&evidence.feed], evidence: evidence.clone() });
    let have = if have { replica.have() } else { Vec::new() };
    let ask = Ask {
        view: VIEW.to_owned(),
        selector: Selector::Everything,
        inline: true,
        direct: false,
        have,
        named: vec![],
        forks: forks.collect(),
        without: BTreeSet::new(),
        live: None,
        forget: false,
    };
    pair.sides[side].session.ask(pair.now, ask);
}

fn last(pair: &Pair, side: usize) -> Stats {
    match pair.sides[side].events.last() {
        Some(Event::Done { stats, .. }) => *stats,
        other => panic!("{other:?}"),
    }
}

/// Proofs of forks that this side received.
fn received(pair: &Pair, side: usize) -> usize {
    let frames = pair.sides[side].received.iter().map(|frame| Frame::decode(frame).unwrap());
    frames.filter(|frame| matches!(frame, Some(Frame::ForkProof(_)))).count()
}

#[test]
fn what_the_asker_knows_of_forks_is_durable_before_it_is_answered() {
    let [one, two] = histories(5, [9, 12], 50);
    // The leaves of block 5 differ.
    let fork = evidence(&one, &two, 10);
    assert_eq!(fork.verify(&DB), Ok(5));
    for seed in seeds(0..20) {
        let (asker, answerer) = (Replica::new(), holding(&two, &all(&two)));
        asker.borrow_mut().definitions.insert(one.key(), one.definition);
        asker.borrow_mut().forks.push(fork.clone());
        let mut pair = Pair::new([&asker, &answerer], Config::default(), seed);
        ask(&mut pair, 0, true);
        pair.run();
        assert_eq!(last(&pair, 0).blocks_stored, 5, "nothing from the fork on is sent");
        let commands = answerer.borrow().commands.clone();
        let place = |name| commands.iter().position(|command| *command == name).unwrap();
        assert!(place("fork") < place("sync") && place("sync") < place("answer"), "{commands:?}");
        assert_eq!(answerer.borrow().forks, std::slice::from_ref(&fork));
    }
}

#[test]
fn a_fork_of_a_feed_of_which_the_peer_holds_nothing_is_no_reason_to_store_it() {
    let [one, two] = histories(0, [3, 3], 50);
    let (asker, answerer) = (holding(&one, &all(&one)), Replica::new());
    asker.borrow_mut().forks.push(evidence(&one, &two, 0));
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    ask(&mut pair, 0, true);
    pair.run();
    assert!(answerer.borrow().definitions.is_empty() && answerer.borrow().forks.is_empty());
    assert_eq!((received(&pair, 1), last(&pair, 0).blocks_stored), (1, 0));
}

#[test]
fn evidence_that_came_before_the_first_blocks_of_a_feed_is_recorded_with_them() {
    let [one, two] = histories(5, [9, 12], 50);
    let (asker, answerer) = (Replica::new(), holding(&two, &all(&two)));
    answerer.borrow_mut().forks.push(evidence(&one, &two, 10));
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    ask(&mut pair, 0, true);
    pair.run();
    assert_eq!((last(&pair, 0).blocks_stored, asker.borrow().forks.len()), (5, 1));
    let commands = asker.borrow().commands.clone();
    let place = |name| commands.iter().rposition(|command| *command == name).unwrap();
    assert!(place("define") < place("fork") && place("fork") < place("put"), "{commands:?}");
}

#[test]
fn evidence_crosses_once_in_either_direction_unless_it_is_for_an_earlier_block() {
    let [one, two] = histories(1, [9, 12], 50);
    let (asker, answerer) = (holding(&one, &all(&one)), holding(&two, &all(&two)));
    asker.borrow_mut().forks.push(evidence(&one, &two, 12));
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    for side in [0, 1, 0, 1] {
        ask(&mut pair, side, true);
        pair.run();
    }
    assert_eq!((received(&pair, 0), received(&pair, 1)), (0, 1), "what one side told is not told back");
    // What is found meanwhile is told with the next answer, or the next question.
    answerer.borrow_mut().forks.insert(0, evidence(&one, &two, 6));
    ask(&mut pair, 0, true);
    pair.run();
    asker.borrow_mut().forks.insert(0, evidence(&one, &two, 2));
    ask(&mut pair, 0, true);
    pair.run();
    assert_eq!((received(&pair, 0), received(&pair, 1)), (1, 2));
    for replica in [&asker, &answerer] {
        let lowest = replica.borrow().forks.iter().map(|fork| fork.verify(&DB).unwrap()).min();
        assert_eq!(lowest, Some(1));
    }
}

#[test]
fn a_contradiction_in_the_middle_of_an_answer_ends_neither_session_nor_answer() {
    let [one, two] = histories(60, [80, 120], 20_000);
    let mine = RangeSet::from_iter([3u64, 70]);
    let (asker, answerer) = (holding(&one, &mine), holding(&two, &all(&two)));
    asker.borrow_mut().split = 60;
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 5);
    ask(&mut pair, 0, true);
    pair.run();
    // Asked again from nothing known, the first frame contradicts, and those after it build on it.
    let stats = last(&pair, 0);
    assert!(stats.contradicted >= 58, "{stats:?}");
    assert_eq!(pair.sides[0].session.closed(), None);
    assert_eq!(asker.borrow().held(&one.key()), mine);
    // Both sides know now: what does not count is not sent, and each proof stands by itself.
    asker.borrow_mut().forks.push(evidence(&one, &two, 120));
    let before = pair.sides[0].received.len();
    ask(&mut pair, 0, true);
    pair.run();
    let blocks: Vec<_> = pair.sides[0].received[before..]
        .iter()
        .filter_map(|frame| match Frame::decode(frame).unwrap() {
            Some(Frame::Blocks(blocks)) => Some(blocks.top),
            _ => None,
        })
        .collect();
    assert!(blocks.len() > 3 && blocks.iter().all(|top| top.fresh && top.ranges.end() <= 60));
    let sent: u64 = blocks.iter().map(|top| top.ranges.count()).sum();
    assert_eq!(sent, 59, "all but the one that is held");
    assert_eq!(pair.sides[0].done().len(), 2);
}

#[test]
fn more_forks_than_can_be_told_are_cut_off_and_the_session_lives() {
    let (asker, answerer) = (Replica::new(), Replica::new());
    let evidence_of = |seed: u32| {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        let [one, two] =
            [1, 2].map(|key| Truth::of(SecretKey::from_seed(&bytes), &[key], 0, &mut Random::new(1)));
        (one.definition, evidence(&one, &two, 0))
    };
    for n in 0..u32::try_from(MAX_FORKS_TOLD).unwrap() + 9 {
        let (definition, evidence) = evidence_of(n);
        answerer.borrow_mut().definitions.insert(evidence.feed, definition);
        asker.borrow_mut().definitions.insert(evidence.feed, definition);
        asker.borrow_mut().forks.push(evidence);
    }
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    ask(&mut pair, 0, false);
    pair.run();
    assert_eq!(received(&pair, 1), MAX_FORKS_TOLD);
    assert_eq!(answerer.borrow().forks.len(), MAX_FORKS_TOLD);
    assert_eq!(pair.sides[0].done().len(), 1);
    assert!(answerer.borrow().syncs < 9, "one sync for all of them");
}

#[test]
fn evidence_before_a_question_that_proves_nothing_ends_the_session() {
    let [one, two] = histories(5, [9, 12], 50);
    let bad = |index| {
        let mut evidence = evidence(&one, &two, index);
        evidence.b = evidence.a.clone();
        evidence
    };
    let (asker, answerer) = (Replica::new(), holding(&two, &all(&two)));
    asker.borrow_mut().definitions.insert(one.key(), one.definition);
    asker.borrow_mut().forks.push(bad(10));
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    ask(&mut pair, 0, true);
    pair.run();
    assert!(matches!(pair.sides[1].session.closed(), Some(SessionError::BadFork(_))));
    assert!(!answerer.borrow().commands.contains(&"answer"));
}

#[test]
fn the_answerer_learns_at_which_length_trees_can_be_compared() {
    let [one, two] = histories(5, [9, 12], 50);
    let (asker, answerer) = (holding(&one, &RangeSet::from_iter([2u64])), holding(&two, &all(&two)));
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    ask(&mut pair, 0, false);
    pair.run();
    assert!(answerer.borrow().declared.is_empty());
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    ask(&mut pair, 0, true);
    pair.run();
    // The first question declares nine blocks; the one after a contradiction declares nothing.
    assert_eq!(last(&pair, 0).contradicted, 0);
    let answers = answerer.borrow().commands.iter().filter(|command| **command == "answer").count();
    assert_eq!((answers, answerer.borrow().declared.len()), (3, 0));
}
