//! Live questions: what comes to the answerer later reaches the asker, once, and both ends keep the session.
use crate::common::{Pair, Replica, Shared, Side, Truth, VIEW, assert_all_true, everything, set};
use kappadb_core::limits::{ALIVE_MS, IDLE_MS};
use kappadb_core::{FeedKey, RangeSet};
use kappadb_query::Selector;
use kappadb_sim::{Random, seeds};
use kappadb_sync::frame::Frame;
use kappadb_sync::{Ask, Config, Coverage, Event, QueryId, SessionError, Since};
use std::rc::Rc;

/// Asks live for what a selector matches.
fn follow(pair: &mut Pair, side: usize, selector: Selector, live: Since) -> QueryId {
    let have = pair.sides[side].replica.borrow().have();
    let ask = Ask { selector, have, live: Some(live), ..everything(true) };
    pair.sides[side].session.ask(pair.now, ask)
}

/// Live questions of the other side that a side has open.
fn standing(side: &Side) -> Vec<u32> {
    let mut open = Vec::new();
    for event in &side.events {
        match event {
            Event::Stands { query, view, .. } => {
                assert_eq!(view, VIEW);
                open.push(*query);
            }
            Event::Falls { query } => open.retain(|other| other != query),
            _ => {}
        }
    }
    open
}

/// Blocks come to a replica, and those who wait for such are told, as a driver does.
fn arrive(pair: &mut Pair, side: usize, truth: &Truth, ranges: &RangeSet, length: u64) {
    pair.sides[side].replica.borrow_mut().hold(truth, ranges, length);
    let now = pair.now;
    for query in standing(&pair.sides[side]) {
        pair.sides[side].session.news(now, query);
    }
}

/// What was stated, one statement after the other.
fn stated(side: &Side) -> Vec<(Vec<Coverage>, u64)> {
    let told = side.events.iter().filter_map(|event| match event {
        Event::Stated { statement, stats, .. } => Some((statement.clone(), stats.blocks_stored)),
        _ => None,
    });
    told.collect()
}

fn token(side: &Side) -> Vec<u8> {
    let mut tokens = side.events.iter().filter_map(|event| match event {
        Event::Stated { token, .. } => token.clone(),
        _ => None,
    });
    tokens.next_back().unwrap()
}

fn pair_of(replicas: [&Shared; 2], seed: u64) -> Pair {
    Pair::new(replicas, Config::default(), seed)
}

fn writer(seed: u8) -> Rc<Truth> {
    Truth::new(seed, &[0, 1, 0, 1, 0, 1, 0, 1, 0, 1], 30, &mut Random::new(u64::from(seed)))
}

#[test]
fn what_is_written_later_reaches_whoever_asked_live_and_nothing_is_sent_twice() {
    for seed in seeds(0..40) {
        let (one, two) = (writer(1), writer(2));
        let (asker, answerer) = (Replica::new(), Replica::new());
        answerer.borrow_mut().hold(&one, &set([0, 1, 2]), 3);
        let mut pair = pair_of([&asker, &answerer], seed);
        let mut rng = Random::new(seed);
        follow(&mut pair, 0, Selector::Everything, Since::Beginning);
        let (mut lengths, feeds) = ([3, 0], [&one, &two]);
        while lengths != [10, 10] {
            let which = rng.index(2);
            let more = (lengths[which] + rng.between(1, 4)).min(10);
            let new = set(lengths[which]..more);
            if !new.is_empty() {
                arrive(&mut pair, 1, feeds[which], &new, more);
                lengths[which] = more;
            }
            // Sometimes all that is on its way arrives first, sometimes it does not.
            for _ in 0..rng.below(30) {
                pair.step();
            }
        }
        pair.run();
        let held = asker.borrow();
        assert_eq!(held.held(&one.key()).count() + held.held(&two.key()).count(), 20, "seed {seed}");
        assert_eq!(held.repeated, (0, 0), "seed {seed}");
        drop(held);
        assert_all_true(&asker, &[one.clone(), two.clone()]);
        // What was said last of each feed is that all of it is here.
        let told = stated(&pair.sides[0]);
        for truth in [&one, &two] {
            let mut said = told.iter().flat_map(|(statement, _)| statement);
            let last = said.rfind(|coverage| coverage.definition.feed == truth.key()).unwrap();
            assert_eq!((last.claimed, last.length), (10, 10), "seed {seed}");
        }
        assert_eq!(told.iter().map(|(_, stored)| stored).sum::<u64>(), 20);
    }
}

#[test]
fn news_that_do_not_match_are_not_told() {
    let one = writer(1);
    let (asker, answerer) = (Replica::new(), Replica::new());
    answerer.borrow_mut().hold(&one, &set([0, 1]), 2);
    let mut pair = pair_of([&asker, &answerer], 1);
    follow(&mut pair, 0, Selector::keys([vec![1]]), Since::Beginning);
    pair.run();
    let frames = pair.sides[0].received.len();
    arrive(&mut pair, 1, &one, &set([2]), 3);
    pair.run();
    assert_eq!(pair.sides[0].received.len(), frames, "an entry of another key");
    arrive(&mut pair, 1, &one, &set([3]), 4);
    pair.run();
    assert_eq!(asker.borrow().held(&one.key()), set([1, 3]));
    assert_eq!(stated(&pair.sides[0]).len(), 2);
}

#[test]
fn who_follows_one_another_hears_nothing_of_what_he_said_himself() {
    let (one, two) = (writer(1), writer(2));
    let (left, right) = (Replica::new(), Replica::new());
    let mut pair = pair_of([&left, &right], 3);
    follow(&mut pair, 0, Selector::Everything, Since::Beginning);
    follow(&mut pair, 1, Selector::Everything, Since::Beginning);
    pair.run();
    for n in 0..10 {
        arrive(&mut pair, 0, &one, &set([n]), n + 1);
        arrive(&mut pair, 1, &two, &set([n]), n + 1);
        pair.run();
        // What came is news for those who follow here, too.
        for side in 0..2 {
            let now = pair.now;
            for query in standing(&pair.sides[side]) {
                pair.sides[side].session.news(now, query);
            }
        }
        pair.run();
    }
    for replica in [&left, &right] {
        let replica = replica.borrow();
        let held = replica.held(&one.key()).count() + replica.held(&two.key()).count();
        assert_eq!((held, replica.repeated), (20, (0, 0)));
    }
    let blocks = |side: &Side| side.received.iter().filter(|frame| frame[0] == 4).count();
    assert_eq!((blocks(&pair.sides[0]), blocks(&pair.sides[1])), (10, 10));
    // And the writer learns that what it wrote has arrived.
    let heard = stated(&pair.sides[0]);
    let mut own =
        heard.iter().flat_map(|(statement, _)| statement).filter(|c| c.definition.feed == one.key());
    assert_eq!(own.next_back().map(|coverage| coverage.claimed), Some(10));
}

#[test]
fn who_wrote_learns_which_blocks_have_reached_whoever_asked_and_no_others() {
    let one = writer(1);
    let (asker, answerer) = (Replica::new(), Replica::new());
    let mut pair = pair_of([&asker, &answerer], 4);
    follow(&mut pair, 0, Selector::keys([vec![1]]), Since::Beginning);
    pair.run();
    for n in 0..10 {
        arrive(&mut pair, 1, &one, &set([n]), n + 1);
        if n % 3 == 0 {
            pair.run();
        }
    }
    pair.run();
    let mut reached = RangeSet::new();
    for event in &pair.sides[1].events {
        if let Event::Reached { blocks } = event {
            for (feed, ranges) in blocks {
                assert_eq!(*feed, one.key());
                assert!(ranges.intersection(&reached).is_empty(), "told twice");
                reached.union_with(ranges);
            }
        }
    }
    assert_eq!((reached, asker.borrow().held(&one.key())), (set([1, 3, 5, 7, 9]), set([1, 3, 5, 7, 9])));
    // More than there was to confirm.
    let lie = Frame::Held { query: 0, statements: 1 << 40 };
    let end = pair.sides[1].session.receive(pair.now, &lie.encode()).unwrap_err();
    assert_eq!(end, SessionError::OutOfPlace { frame: "Held", query: 0 });
}

#[test]
fn who_comes_back_with_a_token_is_sent_what_came_meanwhile() {
    let one = writer(1);
    let (asker, answerer) = (Replica::new(), Replica::new());
    answerer.borrow_mut().hold(&one, &set(0..6), 6);
    let mut pair = pair_of([&asker, &answerer], 1);
    follow(&mut pair, 0, Selector::Everything, Since::Beginning);
    pair.run();
    let token = token(&pair.sides[0]);
    answerer.borrow_mut().hold(&one, &set(6..10), 10);
    for (since, looked_at) in [(Since::Token(token), 4), (Since::Beginning, 10)] {
        let stranger = Replica::new();
        let mut pair = pair_of([&stranger, &answerer], 1);
        follow(&mut pair, 0, Selector::Everything, since);
        pair.run();
        assert_eq!(stranger.borrow().held(&one.key()).count(), looked_at);
    }
    let ask = Ask { live: None, ..everything(true) };
    pair.sides[0].session.ask(pair.now, ask);
    pair.run();
    assert!(
        matches!(pair.sides[0].events.last(), Some(Event::Done { .. })),
        "a question beside it is answered"
    );
}

#[test]
fn a_live_question_is_given_up_and_the_session_goes_on() {
    let one = writer(1);
    let (asker, answerer) = (Replica::new(), Replica::new());
    answerer.borrow_mut().hold(&one, &set(0..2), 2);
    let mut pair = pair_of([&asker, &answerer], 1);
    let query = follow(&mut pair, 0, Selector::Everything, Since::Beginning);
    pair.run();
    assert_eq!(standing(&pair.sides[1]), [0]);
    pair.sides[0].session.cancel(query);
    pair.run();
    assert!(standing(&pair.sides[1]).is_empty());
    arrive(&mut pair, 1, &one, &set(2..4), 4);
    pair.sides[1].session.news(pair.now, 0);
    pair.run();
    assert_eq!(asker.borrow().held(&one.key()).count(), 2);
    pair.ask(0, Selector::Everything, true);
    pair.run();
    assert_eq!(asker.borrow().held(&one.key()).count(), 4);
    // Nobody asks anything any more.
    pair.wait();
    assert_eq!(pair.sides[1].session.closed(), Some(&SessionError::Idle));
}

#[test]
fn a_session_with_a_live_question_stays_and_ends_when_the_peer_is_gone() {
    let (asker, answerer) = (Replica::new(), Replica::new());
    let mut pair = pair_of([&asker, &answerer], 1);
    follow(&mut pair, 0, Selector::Everything, Since::Beginning);
    pair.run();
    let before = pair.sides[0].received.len() + pair.sides[1].received.len();
    for _ in 0..60 {
        pair.wait();
    }
    assert!(pair.now >= 10 * ALIVE_MS, "{}", pair.now);
    assert!(pair.sides.iter().all(|side| side.session.closed().is_none()));
    let all = pair.sides.iter().map(|side| side.received.len()).sum::<usize>() - before;
    let minutes = usize::try_from(pair.now / ALIVE_MS).unwrap();
    assert!(all <= 4 * minutes + 4, "{all} frames in {minutes} minutes");
    let alive = Frame::Alive { answer: true }.encode();
    assert_eq!(alive.len(), 2);
    // The peer is gone without a word.
    let gone = pair.now;
    pair.sides.iter_mut().for_each(|side| side.cut = true);
    while pair.sides[0].session.closed().is_none() {
        pair.wait();
    }
    assert_eq!(pair.sides[0].session.closed(), Some(&SessionError::Idle));
    assert!(pair.now <= gone + IDLE_MS + ALIVE_MS);
}

#[test]
fn a_kept_session_lasts_though_nothing_is_asked() {
    let mut pair = pair_of([&Replica::new(), &Replica::new()], 1);
    pair.sides[0].session.keep();
    for _ in 0..20 {
        pair.wait();
    }
    assert!(pair.now >= 5 * ALIVE_MS && pair.sides[1].session.closed().is_none());
}

#[test]
fn a_slow_reader_is_sent_no_more_than_its_credit_and_then_the_rest() {
    let keys = [1; 40];
    let one = Truth::new(1, &keys, 4_000, &mut Random::new(5));
    let (asker, answerer) = (Replica::new(), Replica::new());
    answerer.borrow_mut().hold(&one, &set([0]), 1);
    let config = Config { credit: 8_000, ..Config::default() };
    let mut pair = Pair::new([&asker, &answerer], config, 1);
    follow(&mut pair, 0, Selector::Everything, Since::Beginning);
    pair.run();
    for n in 1..40 {
        arrive(&mut pair, 1, &one, &set([n]), n + 1);
    }
    pair.run();
    assert_eq!(asker.borrow().held(&one.key()), RangeSet::below(40));
    let feed: FeedKey = one.key();
    assert_eq!(
        stated(&pair.sides[0]).last().unwrap().0.iter().find(|c| c.definition.feed == feed).unwrap().claimed,
        40
    );
}

#[test]
fn what_came_for_a_question_that_was_given_up_or_for_another_is_confirmed_with_the_next_statement() {
    let truth = writer(1);
    let (asker, answerer) = (Replica::new(), Replica::new());
    let mut pair = pair_of([&asker, &answerer], 3);
    answerer.borrow_mut().hold(&truth, &set([0]), 1);
    let first = follow(&mut pair, 0, Selector::Everything, Since::Beginning);
    pair.run();
    let blocks = |pair: &Pair| {
        let frames = pair.sides[0].received.iter().map(|frame| Frame::decode(frame));
        frames.filter(|frame| matches!(frame, Ok(Some(Frame::Blocks(_))))).count()
    };
    let before = blocks(&pair);
    arrive(&mut pair, 1, &truth, &set([1]), 2);
    // Its asker gives the question up between the block and the statement.
    while blocks(&pair) == before {
        assert!(pair.step());
    }
    pair.sides[0].session.cancel(first);
    follow(&mut pair, 0, Selector::Everything, Since::Beginning);
    // And one block is fetched by an ordinary question.
    pair.run();
    answerer.borrow_mut().hold(&truth, &set([2]), 3);
    pair.ask(0, Selector::Everything, true);
    pair.run();
    arrive(&mut pair, 1, &truth, &set([3]), 4);
    pair.run();
    let mut reached = RangeSet::new();
    for event in &pair.sides[1].events {
        if let Event::Reached { blocks } = event {
            blocks.iter().for_each(|(_, ranges)| reached.union_with(ranges));
        }
    }
    assert_eq!(reached, set(0..4));
}
