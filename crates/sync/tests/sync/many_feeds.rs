//! Databases with more feeds than a statement speaks of.
use crate::common::{Pair, Replica, Shared, Truth, everything, set};
use kappadb_core::{FeedDefinition, FeedKey, SecretKey};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_sync::frame::Frame;
use kappadb_sync::{Agreed, Ask, Config, Coverage, Event, Rest, Since, Words};

/// A replica that holds one block of each of so many feeds, of `length`.
fn holding_many(feeds: usize, keys: &[u8]) -> (Shared, Vec<FeedKey>) {
    let replica = Replica::new();
    let hold = |n: usize| {
        let mut seed = [3; 32];
        seed[..8].copy_from_slice(&(n as u64).to_le_bytes());
        let truth = Truth::of(SecretKey::from_seed(&seed), keys, 0, &mut Random::new(1));
        replica.borrow_mut().hold(&truth, &set([0]), truth.length());
        truth.key()
    };
    let feeds = (0..feeds).map(hold).collect();
    (replica, feeds)
}

/// Asks for what nobody has.
fn ask_for_nothing(pair: &mut Pair, named: &[FeedDefinition]) -> (Vec<Coverage>, Rest) {
    let selector = Selector::Keys(vec![vec![99]]);
    let ask = Ask { selector, named: named.to_vec(), ..everything(true) };
    let now = pair.now;
    pair.sides[0].session.ask(now, ask);
    pair.run();
    match pair.sides[0].events.last() {
        Some(Event::Done { statement, rest, .. }) => (statement.clone(), *rest),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_statement_says_on_whose_word_it_rests_and_one_of_ones_own_word_that_it_is_demanded_to_be() {
    let (answerer, _) = holding_many(3, &[0]);
    let hub = Words::of(FeedKey([1; 32]));
    answerer.borrow_mut().words = hub.clone();
    let mut pair = Pair::new([&Replica::new(), &answerer], Config::default(), 1);
    let mut said = |ask: Ask| {
        let now = pair.now;
        pair.sides[0].session.ask(now, ask);
        pair.run();
        match pair.sides[0].events.last() {
            Some(Event::Done { words, .. } | Event::Stated { words, .. }) => words.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said(everything(true)), hub);
    assert!(said(Ask { direct: true, ..everything(true) }).is_nobodys());
    assert_eq!(said(everything(false)), hub);
    assert_eq!(said(Ask { live: Some(Since::Beginning), ..everything(true) }), hub);
}

#[test]
fn a_statement_says_nothing_of_what_it_has_whole_but_of_what_is_named() {
    let (answerer, feeds) = holding_many(1_000, &[0]);
    let mut pair = Pair::new([&Replica::new(), &answerer], Config::default(), 1);
    let (said, rest) = ask_for_nothing(&mut pair, &[]);
    assert_eq!((said.len(), rest), (0, Rest { whole: 1_000, lacking: 0 }));
    let bytes: usize = pair.sides[0].received.iter().map(Vec::len).sum();
    assert!(bytes < 50, "{bytes} bytes");
    // What the asker names gets its number by that: nobody defines it.
    let named: Vec<FeedDefinition> =
        feeds[..2].iter().map(|feed| answerer.borrow().definitions[feed]).collect();
    let (said, rest) = ask_for_nothing(&mut pair, &named);
    let spoken_of: Vec<FeedKey> = said.iter().map(|c| c.definition.feed).collect();
    assert_eq!((&spoken_of[..], rest), (&feeds[..2], Rest { whole: 998, lacking: 0 }));
    assert!(
        !pair.sides[0].received.iter().any(|frame| matches!(Frame::decode(frame), Ok(Some(Frame::Feed(_)))))
    );
    // The session has spoken of them: they need not be named any more.
    let (again, _) = ask_for_nothing(&mut pair, &named);
    assert_eq!(again, said);
    let last = Frame::decode(pair.sides[1].received.last().unwrap()).unwrap();
    assert!(matches!(last, Some(Frame::Query(query)) if query.named.is_empty()));
}

#[test]
fn what_was_named_keeps_its_number_whoever_knows_it_and_blocks_of_it_come_under_it() {
    let (answerer, feeds) = holding_many(3, &[0, 1]);
    let asker = Replica::new();
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    let stranger = Truth::new(9, &[5], 0, &mut Random::new(2)).definition;
    let known = answerer.borrow().definitions[&feeds[1]];
    ask_for_nothing(&mut pair, &[stranger, known]);
    pair.ask(0, Selector::Everything, true);
    pair.run();
    assert!(feeds.iter().all(|feed| asker.borrow().held(feed) == set([0])));
}

#[test]
fn a_statement_speaks_first_of_what_is_lacking_and_counts_what_there_is_no_room_for() {
    // Of two blocks one is held.
    let (answerer, _) = holding_many(30, &[0, 1]);
    let agreed = Agreed { session_feeds: 20, ..Agreed::default() };
    let config = Config { agreed, ..Config::default() };
    let mut pair = Pair::new([&Replica::new(), &answerer], config, 1);
    let (said, rest) = ask_for_nothing(&mut pair, &[]);
    assert_eq!((said.len(), rest), (20, Rest { whole: 0, lacking: 10 }));
    assert!(said.iter().all(|c| c.claimed < c.length));
}
