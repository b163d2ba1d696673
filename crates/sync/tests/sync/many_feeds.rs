//! Databases with more feeds than a statement speaks of.
use crate::common::{Pair, Replica, Shared, Truth, everything, set};
use kappadb_core::limits::FEEDS_TOLD;
use kappadb_core::{FeedKey, SecretKey};
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_sync::{Agreed, Ask, Config, Coverage, Event, Rest};

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
fn ask_for_nothing(pair: &mut Pair, named: &[FeedKey]) -> (Vec<Coverage>, Rest) {
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
fn a_statement_speaks_of_few_of_many_whole_feeds_and_of_any_that_is_named() {
    let (answerer, feeds) = holding_many(FEEDS_TOLD + 9, &[0]);
    let mut pair = Pair::new([&Replica::new(), &answerer], Config::default(), 1);
    let (said, rest) = ask_for_nothing(&mut pair, &[]);
    assert_eq!((said.len(), rest), (FEEDS_TOLD, Rest { whole: 9, lacking: 0 }));
    let spoken_of = |said: &[Coverage], feed: &FeedKey| said.iter().any(|c| c.definition.feed == *feed);
    let unspoken: Vec<FeedKey> = feeds.iter().filter(|feed| !spoken_of(&said, feed)).copied().collect();
    let (said, rest) = ask_for_nothing(&mut pair, &unspoken[..2]);
    assert!(unspoken[..2].iter().all(|feed| spoken_of(&said, feed)));
    assert_eq!(
        (said.len(), rest),
        (FEEDS_TOLD + 9, Rest::default()),
        "those of the first answer are known by now"
    );
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
