//! Pairs of sessions on virtual time: what is asked for arrives, whole, proved and once.
use crate::common::{Pair, Replica, Shared, Truth, VIEW, assert_all_true, everything, set};
use kappadb_core::limits::MAX_WITHOUT;
use kappadb_core::{FeedKey, RangeSet, blake2b256};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_sync::frame::Frame;
use kappadb_sync::{
    Ask, Config, Coverage, Event, Fetch, QueryError, QueryId, Refusal, SessionError, statement,
};
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;

type Holdings = BTreeMap<FeedKey, RangeSet>;

fn holdings(replica: &Shared) -> Holdings {
    replica.borrow().feeds.iter().map(|(feed, held)| (*feed, held.seqs())).collect()
}

fn feeds(rng: &mut Random, size: u64) -> Vec<Rc<Truth>> {
    let keys = |rng: &mut Random| (0..1 + rng.below(60)).map(|_| rng.below(6) as u8).collect::<Vec<_>>();
    (1..=1 + rng.below(3))
        .map(|n| {
            let keys = keys(rng);
            Truth::new(n as u8, &keys, size, rng)
        })
        .collect()
}

/// Holds a random part of each feed, under its newest head or a random one.
fn random_replica(truths: &[Rc<Truth>], newest: bool, rng: &mut Random) -> Shared {
    let replica = Replica::new();
    let density = [0, 20, 60, 100][rng.below(4) as usize];
    for truth in truths {
        let length = if newest { truth.length() } else { 1 + rng.below(truth.length()) };
        let some = set((0..length).filter(|_| rng.chance(density)));
        replica.borrow_mut().hold(truth, &some, length);
    }
    replica.borrow_mut().repeated = (0, 0);
    replica
}

fn random_selector(rng: &mut Random) -> Selector {
    match rng.below(5) {
        0 => Selector::Everything,
        1 => Selector::Prefix(vec![rng.below(6) as u8]),
        _ => Selector::keys((0..1 + rng.below(3)).map(|_| vec![rng.below(6) as u8])),
    }
}

/// Random holdings, questions by both sides at random times, delays: at the end each side holds what it held and what
/// it asked for, and nothing came twice.
fn random_conversation(seed: u64) {
    let rng = &mut Random::new(seed);
    let size = [0, 200, 30_000][rng.below(3) as usize];
    let truths = feeds(rng, size);
    let same_heads = rng.chance(50);
    let replicas = [(); 2].map(|()| random_replica(&truths, same_heads, rng));
    let before = [holdings(&replicas[0]), holdings(&replicas[1])];
    let credit = [1, 5_000, 4 << 20][rng.below(3) as usize];
    let mut pair = Pair::new([&replicas[0], &replicas[1]], Config { credit, ..Config::default() }, seed);
    pair.delay = [0, 5, 200][rng.below(3) as usize];
    let mut asked: [Vec<(QueryId, Selector)>; 2] = Default::default();
    // Blocks may also come from elsewhere while the session goes on.
    let others = rng.chance(30);
    for _ in 0..1 + rng.below(6) {
        if others {
            let (truth, side) = (&truths[rng.below(truths.len() as u64) as usize], rng.below(2) as usize);
            let length =
                replicas[side].borrow().known(&truth.key()).length.max(1 + rng.below(truth.length()));
            let some = set((0..length).filter(|_| rng.chance(20)));
            replicas[side].borrow_mut().hold(truth, &some, length);
        }
        let side = rng.below(2) as usize;
        let selector = random_selector(rng);
        asked[side].push((pair.ask(side, selector.clone(), true), selector));
        for _ in 0..rng.below(30) {
            pair.step();
        }
    }
    pair.run();
    for side in 0..2 {
        assert_eq!(pair.sides[side].session.closed(), None, "seed {seed}");
        assert_eq!(
            pair.sides[side].done().len(),
            asked[side].len(),
            "seed {seed}: {:?}",
            pair.sides[side].events
        );
        let mine = replicas[side].borrow();
        assert!(others || mine.repeated.0 == 0, "seed {seed}: blocks came twice");
        assert!(
            others || !same_heads || mine.repeated.1 == 0,
            "seed {seed}: {} nodes came twice",
            mine.repeated.1
        );
        for truth in &truths {
            let held = mine.held(&truth.key());
            let own = before[side].get(&truth.key()).cloned().unwrap_or_default();
            let theirs = before[1 - side].get(&truth.key()).cloned().unwrap_or_default();
            let wanted = |seq: &u64| {
                let entry = kappadb_entry::decode_block(&truth.blocks[*seq as usize]).unwrap();
                asked[side].iter().any(|(_, selector)| selector.needs(&entry.header))
            };
            let due = set(theirs.iter().filter(wanted));
            assert!(due.minus(&held).is_empty(), "seed {seed}: {due:?} of {held:?}");
            let asked_for = held.minus(&own).iter().all(|seq| wanted(&seq) && theirs.contains(seq));
            assert!(others || asked_for, "seed {seed}");
        }
    }
    replicas.iter().for_each(|replica| assert_all_true(replica, &truths));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn both_sides_get_what_they_ask_for_and_nothing_twice(seed: u64) {
        random_conversation(seed);
    }
}

fn one_feed(keys: &[u8], size: u64) -> (Rc<Truth>, Shared, Shared) {
    let truth = Truth::new(1, keys, size, &mut Random::new(1));
    let full = Replica::new();
    full.borrow_mut().hold(&truth, &RangeSet::below(truth.length()), truth.length());
    (truth, Replica::new(), full)
}

fn keys(n: u64) -> Vec<u8> {
    (0..n).map(|k| (k % 5) as u8).collect()
}

#[test]
fn one_round_trip_from_question_to_answer() {
    let (_, new, full) = one_feed(&keys(50), 100);
    let mut pair = Pair::new([&new, &full], Config::default(), 0);
    pair.ask(0, Selector::keys([vec![3]]), true);
    let question = pair.sides[0].settle(0);
    question.iter().for_each(|frame| pair.sides[1].session.receive(0, frame).unwrap());
    let answer = pair.sides[1].settle(0);
    answer.iter().for_each(|frame| pair.sides[0].session.receive(0, frame).unwrap());
    assert!(pair.sides[0].settle(0).is_empty());
    let [Event::Done { stats, statement: said, .. }] = pair.sides[0].events.as_slice() else {
        panic!("{:?}", pair.sides[0].events)
    };
    assert_eq!((stats.blocks_received, stats.blocks_stored), (10, 10));
    let all = statement::merge(said.iter().map(Coverage::covered));
    assert_eq!(statement::gaps(&all, &BTreeMap::new()).next(), None);
    assert_eq!(new.borrow().syncs, 1);
}

#[test]
fn a_second_question_costs_only_what_is_new() {
    let (truth, new, full) = one_feed(&keys(50), 100);
    let mut pair = Pair::new([&new, &full], Config::default(), 0);
    pair.ask(0, Selector::keys([vec![3]]), true);
    pair.run();
    let first = pair.sides[0].received.len();
    pair.ask(0, Selector::keys([vec![3], vec![4]]), true);
    pair.run();
    // Accept, Blocks, Statement, Done: no definition again.
    assert_eq!(pair.sides[0].received.len() - first, 4);
    assert_eq!(new.borrow().held(&truth.key()).count(), 20);
    pair.ask(0, Selector::keys([vec![4]]), true);
    pair.run();
    assert_eq!(pair.sides[0].received.len() - first, 4 + 3);
    let [.., Event::Done { statement, .. }] = pair.sides[0].events.as_slice() else { panic!() };
    assert_eq!((statement[0].claimed, statement[0].length), (50, 50));
    assert_eq!(new.borrow().repeated, (0, 0));
}

#[test]
fn without_inline_ranges_come_and_can_be_fetched() {
    let (truth, new, full) = one_feed(&keys(20), 100);
    let mut pair = Pair::new([&new, &full], Config::default(), 0);
    let query = pair.ask(0, Selector::keys([vec![1]]), false);
    pair.run();
    let expected = Event::Ranges { query, feed: truth.key(), ranges: set([1, 6, 11, 16]) };
    assert_eq!(pair.sides[0].events[0], expected);
    assert!(matches!(pair.sides[0].events[1], Event::Done { .. }));
    assert_eq!(new.borrow().held(&truth.key()).count(), 0);
    let fetch =
        Fetch { feed: truth.key(), ranges: set([1, 6, 90, 91]), known: Default::default(), forget: false };
    pair.sides[0].session.fetch(pair.now, fetch);
    pair.run();
    let [.., Event::Done { stats, statement, .. }] = pair.sides[0].events.as_slice() else { panic!() };
    assert_eq!((stats.blocks_stored, stats.missing, statement.len()), (2, 2, 0));
    assert_eq!(new.borrow().held(&truth.key()), set([1, 6]));
}

#[test]
fn a_fetch_of_an_unknown_feed_says_that_all_is_missing() {
    let (_, new, full) = one_feed(&keys(5), 10);
    let mut pair = Pair::new([&new, &full], Config::default(), 0);
    let fetch =
        Fetch { feed: FeedKey([9; 32]), ranges: set([0, 1]), known: Default::default(), forget: false };
    pair.sides[0].session.fetch(0, fetch);
    pair.run();
    let [Event::Done { stats, .. }] = pair.sides[0].events.as_slice() else { panic!() };
    assert_eq!(stats.missing, 2);
}

#[test]
fn an_unknown_view_is_refused_aloud_and_others_go_on() {
    let (_, new, full) = one_feed(&keys(5), 10);
    let mut pair = Pair::new([&new, &full], Config::default(), 0);
    let ask = Ask {
        view: "no such".to_owned(),
        selector: Selector::Everything,
        inline: true,
        direct: false,
        have: vec![],
        named: vec![],
        forks: vec![],
        without: BTreeSet::new(),
        live: None,
        forget: false,
    };
    pair.sides[0].session.ask(0, ask);
    pair.ask(0, Selector::Everything, true);
    pair.run();
    let refused = |e: &Event| {
        matches!(e, Event::Failed { error: QueryError::Refused { reason: Refusal::UnknownView, .. }, .. })
    };
    assert!(pair.sides[0].events.iter().any(refused));
    assert_eq!(pair.sides[0].done().len(), 1);
}

#[test]
fn a_small_question_is_not_stuck_behind_a_bulk_one() {
    let mut many = vec![0; 400];
    many[200] = 1;
    let (_, new, full) = one_feed(&many, 20_000);
    let mut pair = Pair::new([&new, &full], Config::default(), 0);
    let bulk = pair.ask(0, Selector::keys([vec![0]]), true);
    for _ in 0..40 {
        pair.step();
    }
    let small = pair.ask(0, Selector::keys([vec![1]]), true);
    pair.run();
    let order: Vec<QueryId> = pair.sides[0]
        .events
        .iter()
        .map(|e| if let Event::Done { query, .. } = e { *query } else { panic!() })
        .collect();
    assert_eq!(order, [small, bulk]);
}

#[test]
fn a_cancelled_question_stops_on_the_other_side_and_what_came_is_kept() {
    let (truth, new, full) = one_feed(&[0; 400], 20_000);
    let mut pair = Pair::new([&new, &full], Config::default(), 0);
    let bulk = pair.ask(0, Selector::Everything, true);
    while new.borrow().held(&truth.key()).is_empty() {
        assert!(pair.step());
    }
    pair.sides[0].session.cancel(bulk);
    pair.run();
    assert!(pair.sides[0].events.is_empty());
    let came = new.borrow().held(&truth.key()).count();
    assert!(0 < came && came < 300, "{came}");
    assert_eq!(new.borrow().syncs, 1);
    // The session knows what was sent: the rest comes, and nothing twice.
    pair.ask(0, Selector::Everything, true);
    pair.run();
    assert_eq!(new.borrow().held(&truth.key()).count(), 400);
    assert_eq!(new.borrow().repeated, (0, 0));
}

#[test]
fn a_reader_that_does_not_read_holds_back_its_question_only() {
    let many: Vec<u8> = (0..20_000u64).map(|n| (n % 2) as u8).collect();
    let (truth, new, full) = one_feed(&many, 0);
    let mut pair = Pair::new([&new, &full], Config { credit: 100, ..Config::default() }, 0);
    pair.sides[0].deaf = true;
    pair.ask(0, Selector::keys([vec![0]]), false);
    pair.run();
    let listed = pair.sides[0].received.len();
    pair.ask(0, Selector::keys([vec![1]]), true);
    pair.run();
    assert_eq!(new.borrow().held(&truth.key()).count(), 10_000);
    assert_eq!(listed, 3, "Accept, Feed and one part: the credit is spent");
    pair.sides[0].deaf = false;
    pair.run();
    assert_eq!(pair.sides[0].done().len(), 2);
}

#[test]
fn a_mismatch_is_asked_again_from_nothing_once() {
    let (truth, new, full) = one_feed(&keys(40), 100);
    new.borrow_mut().hold(&truth, &set([0, 7]), 30);
    // A node beside a path of what is declared is lost.
    new.borrow_mut().feeds.get_mut(&truth.key()).unwrap().nodes.remove(&2);
    new.borrow_mut().feeds.get_mut(&truth.key()).unwrap().nodes.remove(&5);
    let mut pair = Pair::new([&new, &full], Config::default(), 3);
    pair.ask(0, Selector::keys([vec![0], vec![1]]), true);
    pair.ask(0, Selector::keys([vec![2]]), true);
    pair.run();
    assert_eq!(pair.sides[0].done().len(), 2, "{:?}", pair.sides[0].events);
    assert_eq!(new.borrow().held(&truth.key()).count(), 24);

    new.borrow_mut().mismatches = 1000;
    pair.ask(0, Selector::Everything, true);
    pair.run();
    assert!(matches!(pair.sides[0].session.closed(), Some(SessionError::BadProof(_))));
    assert!(matches!(pair.sides[1].session.closed(), Some(SessionError::Peer { code: 3, .. })));
}

#[test]
fn a_feed_that_a_failed_write_took_away_is_told_again_and_it_is_not_the_peers_fault() {
    for after in 1..4 {
        let (truth, new, full) = one_feed(&keys(400), 10_000);
        new.borrow_mut().setbacks = vec![after];
        let mut pair = Pair::new([&new, &full], Config::default(), 3);
        pair.ask(0, Selector::Everything, true);
        pair.run();
        assert_eq!(pair.sides[0].done().len(), 1, "{:?}", pair.sides[0].events);
        assert_eq!(new.borrow().held(&truth.key()).count(), 400, "{after}");
        assert!(new.borrow().setbacks.is_empty());
    }
    // A disk that goes on failing ends the session, and nobody is blamed.
    let (_, new, full) = one_feed(&keys(400), 10_000);
    new.borrow_mut().setbacks = vec![1; 1000];
    let mut pair = Pair::new([&new, &full], Config::default(), 3);
    pair.ask(0, Selector::Everything, true);
    pair.run();
    let closed = pair.sides[0].session.closed().cloned();
    assert!(
        matches!(&closed, Some(SessionError::Local(text)) if text.contains("write that failed")),
        "{closed:?}"
    );
}

#[test]
fn evidence_of_a_fork_is_passed_on_once() {
    let (truth, new, full) = one_feed(&keys(6), 10);
    let other = Truth::new(1, &[5, 5, 5], 10, &mut Random::new(9));
    let evidence = crate::common::evidence(&truth, &other, 2);
    assert_eq!(evidence.verify(&crate::common::DB), Ok(1));
    full.borrow_mut().forks.push(evidence.clone());
    let mut pair = Pair::new([&new, &full], Config::default(), 3);
    pair.ask(0, Selector::Everything, true);
    pair.ask(0, Selector::Everything, true);
    pair.run();
    assert_eq!(new.borrow().forks, std::slice::from_ref(&evidence));
    // Evidence that proves nothing ends the session.
    let bad = kappadb_merkle::ForkEvidence { b: evidence.a.clone(), ..evidence };
    full.borrow_mut().forks = vec![bad];
    let mut pair = Pair::new([&Replica::new(), &full], Config::default(), 3);
    pair.ask(0, Selector::Everything, true);
    pair.run();
    assert!(matches!(pair.sides[0].session.closed(), Some(SessionError::BadFork(_))));
}

#[test]
fn a_silent_peer_fails_the_question_and_an_idle_session_ends() {
    let (_, new, full) = one_feed(&keys(6), 10);
    let mut pair = Pair::new([&new, &full], Config::default(), 3);
    pair.ask(0, Selector::Everything, true);
    pair.sides[1].cut = true;
    pair.wait();
    let failed = |e: &Event| matches!(e, Event::Failed { error: QueryError::TimedOut { .. }, .. });
    assert!(
        matches!(pair.sides[0].events.as_slice(), [event] if failed(event)),
        "{:?}",
        pair.sides[0].events
    );
    assert_eq!(pair.now, kappadb_core::limits::PATIENCE_MS);

    let mut pair = Pair::new([&new, &full], Config::default(), 3);
    pair.ask(0, Selector::Everything, true);
    pair.run();
    pair.wait();
    assert!(pair.now >= kappadb_core::limits::IDLE_MS);
    let ended = |side: usize| pair.sides[side].session.closed().cloned();
    assert!(matches!((ended(0), ended(1)), (Some(_), Some(_))));
    assert_eq!(pair.sides[0].session.poll_timeout(), None);
}

#[test]
fn slow_storage_is_not_the_peers_fault() {
    let (truth, new, full) = one_feed(&keys(200), 2_000);
    let mut pair = Pair::new([&new, &full], Config::default(), 3);
    pair.ask(0, Selector::Everything, true);
    let [asker, answerer] = &mut pair.sides;
    asker.settle(0).iter().for_each(|frame| answerer.session.receive(0, frame).unwrap());
    answerer.settle(0).iter().for_each(|frame| asker.session.receive(0, frame).unwrap());
    // Storage takes its time over the first command.
    let (id, command) = asker.session.poll_command().unwrap();
    for _ in 0..10 {
        let at = asker.session.poll_timeout().unwrap();
        asker.session.handle_timeout(at);
        assert!(asker.session.poll_timeout().unwrap() > at);
    }
    assert_eq!(asker.session.poll_event(), None);
    let reply = new.borrow_mut().run(command);
    asker.session.reply(400_000, id, reply);
    asker.settle(400_000);
    assert_eq!(asker.done().len(), 1);
    assert_eq!(new.borrow().held(&truth.key()).count(), 200);
}

#[test]
fn what_cannot_be_asked_fails_by_name_and_the_session_goes_on() {
    let (_, new, full) = one_feed(&keys(6), 10);
    let mut pair = Pair::new([&new, &full], Config::default(), 3);
    let long = Ask {
        view: "v".repeat(65),
        selector: Selector::Everything,
        inline: true,
        direct: false,
        have: vec![],
        named: vec![],
        forks: vec![],
        without: BTreeSet::new(),
        live: None,
        forget: false,
    };
    let many = (0..=MAX_WITHOUT as u64).map(|n| FeedKey(blake2b256(&[&n.to_le_bytes()]).0));
    let forgetful = Ask { view: VIEW.to_owned(), without: many.collect(), ..long.clone() };
    pair.sides[0].session.ask(0, long);
    pair.sides[0].session.ask(0, forgetful);
    let unsorted = Selector::Keys(vec![vec![2], vec![1]]);
    pair.ask(0, unsorted, true);
    for _ in 0..65 {
        pair.ask(0, Selector::Everything, true);
    }
    pair.run();
    let errors: Vec<String> = pair.sides[0]
        .events
        .iter()
        .filter_map(|e| if let Event::Failed { error, .. } = e { Some(error.to_string()) } else { None })
        .collect();
    assert_eq!(errors.len(), 4, "{errors:?}");
    assert!(errors[0].contains("MAX_VIEW_NAME") && errors[1].contains("MAX_WITHOUT"), "{errors:?}");
    assert!(errors[3].contains("MAX_OPEN_QUERIES"), "{errors:?}");
    assert_eq!(pair.sides[0].done().len(), 64);
}

#[test]
fn closing_tells_both_sides_and_every_open_question() {
    let (_, new, full) = one_feed(&[0; 400], 20_000);
    let mut pair = Pair::new([&new, &full], Config::default(), 0);
    pair.ask(0, Selector::Everything, true);
    for _ in 0..30 {
        pair.step();
    }
    pair.sides[1].session.close();
    pair.run();
    let [Event::Failed { .. }, Event::Closed { reason }] = pair.sides[0].events.as_slice() else {
        panic!("{:?}", pair.sides[0].events)
    };
    assert!(matches!(reason, SessionError::Peer { code: 0, .. }));
    let late = pair.ask(0, Selector::Everything, true);
    pair.poll();
    assert!(matches!(pair.sides[0].events.last(), Some(Event::Failed { query, .. }) if *query == late));
    assert!(pair.sides[0].session.receive(pair.now, &[2, 0]).is_err());
}

/// One replica that serves 500 newcomers, all in one thread, all from one seed: a thousand sessions.
#[test]
fn a_thousand_sessions_in_one_thread() {
    let rng = &mut Random::new(42);
    let truths: Vec<_> = (1..=4).map(|n| Truth::new(n, &keys(100), 100, rng)).collect();
    let server = Replica::new();
    truths.iter().for_each(|t| server.borrow_mut().hold(t, &RangeSet::below(t.length()), t.length()));
    let clients: Vec<Shared> = (0..500).map(|_| Replica::new()).collect();
    let mut pairs: Vec<Pair> = clients
        .iter()
        .enumerate()
        .map(|(n, c)| Pair::new([c, &server], Config::default(), n as u64))
        .collect();
    for pair in &mut pairs {
        pair.ask(0, Selector::keys([vec![rng.below(5) as u8]]), true);
        pair.ask(0, Selector::keys([vec![rng.below(5) as u8]]), true);
        pair.poll();
    }
    // The one clock: whoever is due first moves.
    let mut due: BinaryHeap<_> =
        pairs.iter().enumerate().filter_map(|(n, pair)| Some(Reverse((pair.next()?, n)))).collect();
    while let Some(Reverse((_, n))) = due.pop() {
        pairs[n].step();
        due.extend(pairs[n].next().map(|at| Reverse((at, n))));
    }
    for (pair, client) in pairs.iter().zip(&clients) {
        assert_eq!(pair.sides[0].done().len(), 2);
        let held: u64 = truths.iter().map(|t| client.borrow().held(&t.key()).count()).sum();
        assert!(held == 80 || held == 160, "{held}");
        assert_eq!(client.borrow().repeated, (0, 0));
    }
}

#[test]
fn a_small_answer_is_not_behind_all_that_may_be_on_its_way_of_a_large_one() {
    const CREDIT: u64 = 400_000;
    let mut rng = Random::new(5);
    // One key in many large blocks, and others that are there once.
    let keys: Vec<u8> =
        (0..4_000).map(|n| if n < 3_990 { 0 } else { u8::try_from(n - 3_989).unwrap() }).collect();
    let truth = Truth::new(1, &keys, 2_000, &mut rng);
    let (new, full) = (Replica::new(), Replica::new());
    full.borrow_mut().hold(&truth, &set(0..truth.length()), truth.length());
    let mut pair = Pair::new([&new, &full], Config { credit: CREDIT, ..Config::default() }, 1);
    pair.ask(0, Selector::keys([vec![0]]), true);
    let bytes = |pair: &Pair| pair.sides[0].received.iter().map(|frame| frame.len() as u64).sum::<u64>();
    while bytes(&pair) < 2 * CREDIT {
        assert!(pair.step());
    }
    // What may still be sent of the large one: what it began with and was granted, without what came.
    let may_come = |pair: &Pair| {
        let granted = pair.sides[1].received.iter().map(|frame| match Frame::decode(frame) {
            Ok(Some(Frame::Credit { query: 0, bytes })) => bytes,
            _ => 0,
        });
        let came = pair.sides[0].received.iter().map(|frame| match Frame::decode(frame) {
            Ok(Some(Frame::Blocks(blocks))) if blocks.top.query == 0 => frame.len() as u64,
            _ => 0,
        });
        (CREDIT + granted.sum::<u64>()).saturating_sub(came.sum())
    };
    let mut left = vec![may_come(&pair)];
    for key in 1..8u8 {
        let done = pair.sides[0].done().len();
        let now = pair.now;
        pair.sides[0].session.ask(now, Ask { selector: Selector::keys([vec![key]]), ..everything(true) });
        while pair.sides[0].done().len() == done {
            assert!(pair.step());
        }
        left.push(may_come(&pair));
    }
    assert!(left[0] > CREDIT / 2, "{left:?}");
    assert!(
        left[5..].iter().all(|bytes| *bytes <= CREDIT / 4),
        "by then the large one is held back: {left:?}"
    );
    pair.run();
    assert_eq!(new.borrow().held(&truth.key()).count(), 3_990 + 7, "it goes on to its end");
}
