//! Databases with more feeds than a statement speaks of.
use crate::common::{Pair, Replica, Shared, Truth, everything, identity, set};
use kappadb_core::{FeedDefinition, FeedKey, SecretKey};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_sync::frame::Frame;
use kappadb_sync::{About, Agreed, Ask, Config, Coverage, Event, Rest, SignedStatement, Since, Words};
use std::collections::BTreeSet;

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

/// The statement to a question for everything, as it was signed.
fn signed(pair: &mut Pair, ask: Ask) -> Option<SignedStatement> {
    let now = pair.now;
    pair.sides[0].session.ask(now, ask);
    pair.run();
    match pair.sides[0].events.last() {
        Some(Event::Done { signed, .. }) => signed.as_deref().cloned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_claimed_is_signed_with_what_was_declared_sent_or_listed_and_what_rests_on_others_is_not() {
    let (answerer, feeds) = holding_many(2, &[0]);
    let asker = Replica::new();
    let mut pair = Pair::new([&asker, &answerer], Config::default(), 1);
    let listed = signed(&mut pair, everything(false)).unwrap();
    assert!(listed.feeds.iter().map(|of| of.feed).eq(feeds.iter().copied().collect::<BTreeSet<_>>()));
    assert!(listed.feeds.iter().all(|of| of.sent == set([0]) && of.claimed == 1 && of.at == 1));
    listed.verify(&identity(1).public()).unwrap();
    assert!(listed.verify(&identity(0).public()).is_err());
    let other =
        SignedStatement { about: About { view: "other".to_owned(), ..listed.about.clone() }, ..listed };
    assert!(other.verify(&identity(1).public()).is_err());
    // What is listed counts as sent nothing: the next answer sends it.
    let sent = signed(&mut pair, everything(true)).unwrap();
    assert!(sent.feeds.iter().all(|of| of.sent == set([0])));
    let have = asker.borrow().have();
    let declared = signed(&mut pair, Ask { have, forget: true, ..everything(true) }).unwrap();
    assert!(declared.feeds.iter().all(|of| of.sent == set([0])));
    answerer.borrow_mut().words = Words::of(FeedKey([1; 32]));
    assert_eq!(signed(&mut pair, everything(true)), None);
    // Nothing that could be held against anybody is not worth its bytes.
    let nothing = Pair::new([&Replica::new(), &Replica::new()], Config::default(), 1);
    assert_eq!(signed(&mut { nothing }, everything(true)), None);
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
