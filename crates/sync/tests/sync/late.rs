//! Peers that let one wait, and answers that are more than was asked for.
use crate::common::{DB, Replica, Side, Truth, assert_all_true, everything, set};
use kappadb_core::limits::{ANSWER_MS, LEAST_RATE, PATIENCE_MS, SESSION_RANGES};
use kappadb_core::{FeedDefinition, RangeSet, SecretKey, Timestamp};
use kappadb_merkle::Known;
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_sync::frame::{Blocks, BlocksTop, Frame, Ranges};
use kappadb_sync::{Ask, Config, Event, Fetch, QueryError, SessionError};
use std::rc::Rc;

/// Block `n` has key `n % 2`.
fn truth() -> Rc<Truth> {
    let keys: Vec<u8> = (0..200u8).map(|n| n % 2).collect();
    Truth::new(1, &keys, 0, &mut Random::new(1))
}

fn asks(selector: Selector, inline: bool, config: Config) -> Side {
    let mut side = Side::new(&Replica::new(), config);
    side.session.ask(0, Ask { selector, ..everything(inline) });
    side.settle(0);
    side
}

/// Block `seq` of the truth, by itself.
fn block(truth: &Truth, seq: u64) -> Frame {
    let bundle = truth.bundle(&set([seq]), truth.length(), &Known::default());
    let (head, proof) = (Some(bundle.head), bundle.proof);
    let top =
        BlocksTop { query: 0, feed: 0, head, fresh: true, ranges: bundle.ranges, proof, lengths: vec![] };
    Frame::Blocks(Blocks { top, blocks: bundle.blocks })
}

fn opening(truth: &Truth) -> [Frame; 2] {
    [Frame::Accept { query: 0 }, Frame::Feed(truth.definition)]
}

/// Gives a frame to the session at a time; true while the question is open.
fn take(side: &mut Side, now: u64, frame: &Frame) -> bool {
    // As a driver does: what is due is done first.
    while side.session.poll_timeout().is_some_and(|at| at <= now) {
        let at = side.session.poll_timeout().unwrap();
        side.session.handle_timeout(at);
        side.settle(at);
    }
    let _ = side.session.receive(now, &frame.encode());
    side.settle(now);
    side.events.is_empty()
}

fn is_late(side: &Side) -> bool {
    let late = |event: &Event| {
        matches!(event, Event::Failed { error: QueryError::TimedOut { patience_ms: PATIENCE_MS }, .. })
    };
    side.events.iter().any(late)
}

#[test]
fn a_peer_that_accepts_and_says_nothing_more_is_left_behind() {
    let mut side = asks(Selector::Everything, true, Config::default());
    assert!(take(&mut side, 1_500, &Frame::Accept { query: 0 }));
    assert_eq!(side.session.poll_timeout(), Some(1_500 + PATIENCE_MS));
    side.session.handle_timeout(1_500 + PATIENCE_MS);
    side.settle(0);
    assert!(is_late(&side), "{:?}", side.events);
    // It is told, and if it does not end the query even then, the session is over.
    assert!(side.session.closed().is_none());
    side.session.handle_timeout(1_500 + PATIENCE_MS + ANSWER_MS);
    assert_eq!(side.session.closed(), Some(&SessionError::Limit("ANSWER_MS")));
}

#[test]
fn a_peer_that_drips_blocks_is_left_behind_and_what_came_is_kept() {
    let truth = truth();
    let mut side = asks(Selector::Everything, true, Config::default());
    let start = opening(&truth);
    start.iter().for_each(|frame| assert!(take(&mut side, 0, frame)));
    let size = block(&truth, 0).encode().len() as u64;
    // Half of the least rate.
    let pause = 2 * size / LEAST_RATE;
    let ended = (0..truth.length()).find(|&seq| !take(&mut side, (seq + 1) * pause, &block(&truth, seq)));
    let ended = (ended.expect("the question ends") + 1) * pause;
    assert!(is_late(&side), "{:?}", side.events);
    assert!((2 * PATIENCE_MS - 100..=2 * PATIENCE_MS + 100).contains(&ended), "{ended}");
    assert_all_true(&side.replica, &[truth]);
    assert!(!side.replica.borrow().feeds.is_empty());
}

#[test]
fn feeds_that_are_defined_one_by_one_do_not_hold_a_question() {
    let mut side = asks(Selector::Everything, true, Config::default());
    assert!(take(&mut side, 0, &Frame::Accept { query: 0 }));
    let define = |n: u16| {
        let seed: Vec<u8> = n.to_le_bytes().repeat(16);
        let secret = SecretKey::from_seed(&seed.try_into().unwrap());
        Frame::Feed(FeedDefinition::sign(&DB, &secret, Timestamp(0), None))
    };
    let ended = (1..1_000u16).find(|n| !take(&mut side, u64::from(*n) * 100, &define(*n)));
    assert!(is_late(&side) && ended.is_some_and(|n| u64::from(n) * 100 < PATIENCE_MS * 2), "{ended:?}");
}

#[test]
fn a_large_answer_that_keeps_coming_is_waited_for() {
    let truth = truth();
    let mut side = asks(Selector::Everything, true, Config::default());
    opening(&truth).iter().for_each(|frame| assert!(take(&mut side, 0, frame)));
    let pause = block(&truth, 0).encode().len() as u64 / LEAST_RATE;
    for round in 0..truth.length() {
        assert!(take(&mut side, (round + 1) * pause, &block(&truth, round)), "{round}: {:?}", side.events);
    }
}

#[test]
fn time_in_which_storage_here_is_busy_is_not_the_peers() {
    let truth = truth();
    let mut side = asks(Selector::Everything, true, Config::default());
    take(&mut side, 0, &Frame::Accept { query: 0 });
    let _ = side.session.receive(10, &Frame::Feed(truth.definition).encode());
    let _ = side.session.receive(10, &block(&truth, 0).encode());
    let (id, command) = side.session.poll_command().expect("a definition to check");
    assert!(side.session.poll_timeout().is_some_and(|at| at > ANSWER_MS), "only the idle time counts");
    side.session.handle_timeout(60_000);
    let reply = side.replica.borrow_mut().run(command);
    side.session.reply(60_000, id, reply);
    side.settle(60_000);
    assert!(side.events.is_empty());
    let left = side.session.poll_timeout().map(|at| at - 60_000);
    assert!(left.is_some_and(|ms| (PATIENCE_MS - 10..=PATIENCE_MS).contains(&ms)), "{left:?}");
}

#[test]
fn blocks_that_the_question_does_not_match_end_the_session() {
    let truth = truth();
    let mut side = asks(Selector::keys([vec![0]]), true, Config::default());
    opening(&truth).iter().for_each(|frame| assert!(take(&mut side, 0, frame)));
    assert!(take(&mut side, 0, &block(&truth, 0)), "what matches is taken");
    assert!(!take(&mut side, 0, &block(&truth, 1)));
    let closed = side.session.closed().cloned();
    assert!(matches!(closed, Some(SessionError::Blocks { why: "were not asked for", .. })), "{closed:?}");
    assert_eq!(side.replica.borrow().held(&truth.key()), set([0]));
}

#[test]
fn an_answer_beyond_its_bytes_ends_the_session_and_no_more_is_kept() {
    let truth = truth();
    let budget = 10 * block(&truth, 0).encode().len() as u64;
    let config = Config { question_bytes: budget, ..Config::default() };
    let mut side = asks(Selector::Everything, true, config);
    opening(&truth).iter().for_each(|frame| assert!(take(&mut side, 0, frame)));
    let took = (0..truth.length()).take_while(|seq| take(&mut side, 0, &block(&truth, *seq))).count() as u64;
    assert_eq!(side.session.closed(), Some(&SessionError::Budget(budget)));
    assert!((9..=11).contains(&took), "{took}");
    assert_eq!(side.replica.borrow().held(&truth.key()).count(), took);
    // What was asked for by name is bounded by its names.
    let mut side = Side::new(&Replica::new(), config);
    let ranges = RangeSet::below(truth.length());
    side.session.fetch(0, Fetch { feed: truth.key(), ranges, known: Known::default(), forget: false });
    side.settle(0);
    opening(&truth).iter().for_each(|frame| assert!(take(&mut side, 0, frame)));
    assert!((0..truth.length()).all(|seq| take(&mut side, 0, &block(&truth, seq))));
}

#[test]
fn a_list_without_end_ends_the_session() {
    let truth = truth();
    let mut side = asks(Selector::Everything, false, Config::default());
    opening(&truth).iter().for_each(|frame| assert!(take(&mut side, 0, frame)));
    let ranges: RangeSet = (0..60_000u64).map(|n| 2 * n).collect();
    let frame = Frame::Ranges(Ranges { query: 0, feed: 0, ranges: ranges.clone() });
    let rounds = (0..100).take_while(|_| {
        let _ = side.session.receive(0, &frame.encode());
        side.settle(0);
        side.session.closed().is_none()
    });
    assert!(rounds.count() <= SESSION_RANGES / ranges.ranges().len());
    assert_eq!(side.session.closed(), Some(&SessionError::Limit("SESSION_RANGES")));
}
