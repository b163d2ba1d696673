//! Peers that break the rules: they waste their own session, and nothing that is not proved is kept.
use crate::common::{Pair, Replica, Side, Truth, VIEW, assert_all_true, everything, evidence, set};
use kappadb_core::limits::{MAX_CREDIT, MAX_FORKS_TOLD, MAX_QUEUED_FRAMES, QUERY_CREDIT};
use kappadb_core::{FeedDefinition, FeedKey, RangeSet, SecretKey, Timestamp};
use kappadb_merkle::Known;
use kappadb_query::Selector;
use kappadb_sim::Random;
use kappadb_sync::frame::{
    Blocks, BlocksTop, Change, Declared, Frame, Last, Query, Question, Ranges, Statement,
};
use kappadb_sync::{Agreed, Ask, Config, Event, Fetch, QueryId, Rest, SessionError};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::rc::Rc;

fn truth() -> Rc<Truth> {
    Truth::new(1, &[0, 1, 2, 3, 4, 0, 1, 2, 3, 4], 300, &mut Random::new(1))
}

fn asker(inline: bool) -> Side {
    let mut side = Side::new(&Replica::new(), Config::default());
    side.session.ask(0, everything(inline));
    side.settle(0);
    side
}

/// A Blocks frame of the truth, as an honest peer would send it first.
fn honest(truth: &Truth, ranges: &RangeSet) -> Blocks {
    let bundle = truth.bundle(ranges, truth.length(), &Known::default());
    let top = BlocksTop {
        lengths: vec![],
        query: 0,
        feed: 0,
        head: Some(bundle.head),
        fresh: true,
        ranges: bundle.ranges,
        proof: bundle.proof,
    };
    Blocks { top, blocks: bundle.blocks }
}

/// Gives the frames to a session with one open question; says how the session ended.
fn ends(side: &mut Side, frames: &[Frame]) -> Option<SessionError> {
    for frame in frames {
        let _ = side.session.receive(1, &frame.encode());
        side.settle(1);
    }
    side.session.closed().cloned()
}

fn opening(truth: &Truth) -> Vec<Frame> {
    vec![Frame::Accept { query: 0 }, Frame::Feed(truth.definition)]
}

fn after_opening(inline: bool, frames: Vec<Frame>) -> SessionError {
    let truth = truth();
    let mut side = asker(inline);
    let end = ends(&mut side, &[opening(&truth), frames].concat()).expect("the session goes on");
    // The question was told, the peer too, and nothing was kept.
    let [Event::Failed { .. }, Event::Closed { reason }] = side.events.as_slice() else {
        panic!("{:?}", side.events)
    };
    assert_eq!(*reason, end);
    assert!(side.session.receive(2, &Frame::Accept { query: 0 }.encode()).is_err());
    assert_all_true(&side.replica, &[truth]);
    end
}

#[test]
fn blocks_that_break_a_rule_end_the_session() {
    let truth = truth();
    let two = set([1, 2]);
    let why = |change: &dyn Fn(&mut Blocks)| {
        let mut frame = honest(&truth, &two);
        change(&mut frame);
        match after_opening(true, vec![Frame::Blocks(frame)]) {
            SessionError::Blocks { why, .. } => why.to_owned(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(why(&|f| f.top.ranges = RangeSet::new()), "are none");
    assert_eq!(why(&|f| f.top.ranges = set([1, 10])), "lie above their head");
    assert_eq!(why(&|f| drop(f.blocks.pop())), "are not as many as their ranges say");
    assert_eq!(why(&|f| f.top.fresh = false), "build on another tree than their head's");
    assert!(why(&|f| f.top.head = None).starts_with("NoHead"));
    assert!(why(&|f| f.top.feed = 1).starts_with("UndefinedFeed"));
    assert!(why(&|f| f.top.query = 1).starts_with("UnknownQuery"));
    let proof = |change: &dyn Fn(&mut Blocks)| why(change).starts_with("BadProof");
    assert!(proof(&|f| f.blocks.swap(0, 1)));
    assert!(proof(&|f| f.top.ranges = set([2, 3])));
    assert!(proof(&|f| f.top.proof.truncate(f.top.proof.len() - 1)));
    assert!(proof(&|f| f.top.proof.push(f.top.proof[0])));
    assert!(proof(&|f| f.top.proof[0].size += 1));
    assert!(proof(&|f| f.top.head = Some(truth.heads[9])));
    let other = SecretKey::from_seed(&[2; 32]);
    assert!(proof(&|f| f.top.head = Some(truth.heads[10].head.sign(&crate::common::DB, &other))));
    let twice = vec![Frame::Blocks(honest(&truth, &two)), Frame::Blocks(honest(&truth, &set([2])))];
    let end = after_opening_kept(twice);
    assert!(matches!(end, SessionError::Blocks { why: "were sent or held before", .. }), "{end:?}");
}

/// As [`after_opening`], for frames of which the first are honest.
fn after_opening_kept(frames: Vec<Frame>) -> SessionError {
    let truth = truth();
    let mut side = asker(true);
    let end = ends(&mut side, &[opening(&truth), frames].concat()).expect("the session goes on");
    assert_all_true(&side.replica, &[truth]);
    end
}

#[test]
fn a_frame_out_of_place_ends_the_session() {
    let truth = truth();
    let blocks = Frame::Blocks(honest(&truth, &set([1])));
    let ranges = Frame::Ranges(Ranges { query: 0, feed: 0, ranges: set([1]) });
    let statement = |feed| {
        let change = Change { feed, claimed: 1, length: 1, at: 1, root: [1; 16] };
        Frame::Statement(Statement {
            query: 0,
            changes: vec![change],
            rest: Default::default(),
            token: None,
            last: Last::Own,
        })
    };
    let out_of_place = |inline, frames: Vec<Frame>| {
        let end = after_opening_any(inline, frames);
        assert!(matches!(end, SessionError::OutOfPlace { .. }), "{end:?}");
    };
    out_of_place(false, vec![blocks.clone()]);
    out_of_place(true, vec![ranges]);
    out_of_place(true, vec![Frame::Accept { query: 0 }]);
    out_of_place(true, vec![Frame::Done { query: 0 }]);
    out_of_place(true, vec![statement(0), blocks.clone()]);
    assert!(matches!(after_opening_any(true, vec![statement(7)]), SessionError::UndefinedFeed(7)));
    let unknown = [
        Frame::Credit { query: 0, bytes: 1 },
        Frame::Cancel { query: 0 },
        Frame::Update { query: 0, selector: vec![] },
        Frame::Done { query: 1 },
    ];
    for frame in unknown {
        assert!(matches!(after_opening_any(true, vec![frame]), SessionError::UnknownQuery { .. }));
    }
    // Nothing comes before Accept, and nothing after Done.
    for frame in
        [Frame::Done { query: 0 }, Frame::Error { query: 0, code: 1, text: String::new() }, statement(0)]
    {
        assert!(matches!(ends(&mut asker(true), &[frame]), Some(SessionError::OutOfPlace { .. })));
    }
    let after = [opening(&truth), vec![statement(0), Frame::Done { query: 0 }, blocks]].concat();
    assert!(matches!(ends(&mut asker(true), &after), Some(SessionError::UnknownQuery { .. })));
}

fn after_opening_any(inline: bool, frames: Vec<Frame>) -> SessionError {
    ends(&mut asker(inline), &[opening(&truth()), frames].concat()).expect("the session goes on")
}

#[test]
fn definitions_must_hold_and_come_once() {
    let truth = truth();
    let forged = FeedDefinition { created: Timestamp(5), ..truth.definition };
    let blocks = Frame::Blocks(honest(&truth, &set([1])));
    let end = ends(&mut asker(true), &[Frame::Accept { query: 0 }, Frame::Feed(forged), blocks]);
    assert!(matches!(end, Some(SessionError::BadDefinition(_))));
    let end = ends(&mut asker(true), &[opening(&truth), vec![Frame::Feed(truth.definition)]].concat());
    assert_eq!(end, Some(SessionError::DefinedTwice(truth.key())));
}

fn speaking_of(feed: u32) -> Frame {
    let change = Change { feed, claimed: 0, length: 9, at: 0, root: [0; 16] };
    Frame::Statement(Statement {
        query: 0,
        changes: vec![change],
        rest: Rest::default(),
        token: None,
        last: Last::Own,
    })
}

#[test]
fn a_feed_is_stored_with_a_block_of_it_and_not_for_its_definition_alone() {
    let (truth, done) = (truth(), Frame::Done { query: 0 });
    let mut side = asker(true);
    assert_eq!(ends(&mut side, &[opening(&truth), vec![speaking_of(0), done.clone()]].concat()), None);
    assert!(side.replica.borrow().definitions.is_empty());
    assert!(matches!(side.events.as_slice(), [Event::Done { statement, .. }] if statement.len() == 1));
    let mut side = asker(true);
    let blocks = Frame::Blocks(honest(&truth, &set([1])));
    assert_eq!(ends(&mut side, &[opening(&truth), vec![blocks, speaking_of(0), done]].concat()), None);
    assert!(side.replica.borrow().definitions.contains_key(&truth.key()));
}

#[test]
fn a_definition_that_belongs_to_nothing_ends_the_session() {
    let truth = truth();
    let (feed, idle) = (Frame::Feed(truth.definition), Some(SessionError::IdleDefinition(truth.key())));
    // Nothing was asked, and no fork is told of.
    let mut side = stuck();
    assert_eq!(ends(&mut side, &[feed.clone(), Frame::Query(query(0))]), idle);
    // It was asked and not accepted.
    assert_eq!(ends(&mut asker(true), &[feed.clone(), Frame::Accept { query: 0 }]), idle);
    // The answer says nothing of it.
    let nothing =
        Statement { query: 0, changes: vec![], rest: Rest::default(), token: None, last: Last::Own };
    let silent = vec![Frame::Statement(nothing), Frame::Done { query: 0 }];
    assert_eq!(ends(&mut asker(true), &[opening(&truth), silent].concat()), idle);
    // Of an answer that was given up nobody knows what it would have said.
    let mut side = asker(true);
    side.session.cancel(QueryId(1));
    assert_eq!(ends(&mut side, &[opening(&truth), vec![Frame::Done { query: 0 }]].concat()), None);
}

#[test]
fn evidence_of_forks_is_bounded_and_comes_after_its_feed() {
    let pair = |seed: u16| {
        let mut bytes = [9; 32];
        bytes[..2].copy_from_slice(&seed.to_le_bytes());
        let secret = SecretKey::from_seed(&bytes);
        [1, 2].map(|key| Truth::of(secret.clone(), &[key], 0, &mut Random::new(1)))
    };
    let proof = |seed| {
        let [one, two] = pair(seed);
        [Frame::Feed(one.definition), Frame::ForkProof(Box::new(evidence(&one, &two, 0)))]
    };
    let [_, alone] = proof(0);
    assert!(matches!(ends(&mut stuck(), &[alone]), Some(SessionError::BadFork(_))));
    let [feed, _] = proof(1);
    let [_, other] = proof(2);
    assert!(matches!(ends(&mut stuck(), &[feed, other]), Some(SessionError::BadFork(_))));
    let most = u16::try_from(MAX_FORKS_TOLD).unwrap();
    let frames: Vec<Frame> = (0..=most).flat_map(proof).collect();
    let mut side = stuck();
    assert_eq!(ends(&mut side, &frames[..2 * MAX_FORKS_TOLD]), None);
    assert!(side.replica.borrow().definitions.is_empty(), "nothing of these feeds is held here");
    assert_eq!(ends(&mut side, &frames[2 * MAX_FORKS_TOLD..]), Some(SessionError::Limit("MAX_FORKS_TOLD")));
}

#[test]
fn a_fetch_takes_only_what_it_asked_for() {
    let truth = truth();
    let mut side = Side::new(&Replica::new(), Config::default());
    side.session
        .fetch(0, Fetch { feed: truth.key(), ranges: set([1, 2]), known: Known::default(), forget: false });
    side.settle(0);
    let end = ends(&mut side, &[opening(&truth), vec![Frame::Blocks(honest(&truth, &set([2, 3])))]].concat());
    assert!(matches!(end, Some(SessionError::Blocks { why: "were not asked for", .. })));
}

#[test]
fn results_beyond_the_credit_end_the_session() {
    let mut side = Side::new(&Replica::new(), Config { credit: 3, ..Config::default() });
    side.deaf = true;
    side.session.ask(0, everything(false));
    side.settle(0);
    let ranges = |seq| Frame::Ranges(Ranges { query: 0, feed: 0, ranges: set([seq]) });
    // The first may overdraw, the second comes without credit: the reader took nothing.
    assert_eq!(ends(&mut side, &[opening(&truth()), vec![ranges(1)]].concat()), None);
    assert_eq!(ends(&mut side, &[ranges(2)]), Some(SessionError::Overspent(0)));
}

#[test]
fn an_endless_stream_of_feeds_is_cut_off() {
    let agreed = Agreed { session_feeds: 20, ..Agreed::default() };
    let mut side = Side::new(&Replica::new(), Config { agreed, ..Config::default() });
    let feed = |n: u8| {
        let secret = SecretKey::from_seed(&[n; 32]);
        Frame::Feed(FeedDefinition::sign(&crate::common::DB, &secret, Timestamp(0), None))
    };
    side.session.ask(0, everything(true));
    side.settle(0);
    let accept = std::iter::once(Frame::Accept { query: 0 });
    let end = ends(&mut side, &accept.chain((0..21).map(feed)).collect::<Vec<_>>());
    assert_eq!(end, Some(SessionError::Limit("MAX_SESSION_FEEDS")));
}

fn query(id: u32) -> Query {
    let selector = Selector::Everything.encode().unwrap();
    let question = Question::View {
        view: VIEW.to_owned(),
        selector,
        inline: true,
        direct: false,
        live: false,
        since: None,
        without: BTreeSet::new(),
    };
    Query { id, credit: QUERY_CREDIT, forget: false, have: vec![], named: vec![], question }
}

/// A session that serves the truth, and no commands of which are carried out.
fn stuck() -> Side {
    Side::new(&Replica::new(), Config::default())
}

#[test]
fn askers_are_bounded() {
    let limit = |mut frames: Box<dyn Iterator<Item = Frame>>| {
        let mut side = stuck();
        frames.find_map(|frame| side.session.receive(0, &frame.encode()).err())
    };
    let open = Box::new((0..65).map(|id| Frame::Query(query(id))));
    assert_eq!(limit(open), Some(SessionError::Limit("MAX_OPEN_QUERIES")));
    // Asked and given up at once, for ever, without reading what is answered.
    let given_up = |n: u32| {
        if n.is_multiple_of(2) { Frame::Query(query(n / 2)) } else { Frame::Cancel { query: n / 2 } }
    };
    let endless = Box::new((0..MAX_QUEUED_FRAMES as u32 * 2).map(given_up));
    assert_eq!(limit(endless), Some(SessionError::Limit("MAX_QUEUED_FRAMES")));
    let again = Box::new([1, 1].map(|id| Frame::Query(query(id))).into_iter());
    assert_eq!(limit(again), Some(SessionError::QueryOrder(1)));
    let rich = Box::new([Frame::Query(query(0)), Frame::Credit { query: 0, bytes: MAX_CREDIT }].into_iter());
    assert_eq!(limit(rich), Some(SessionError::Limit("MAX_CREDIT")));
    let scattered: RangeSet = (0..60_000u64).map(|n| 3 * n).collect();
    let have = move |n: u32| {
        let known = Known { length: 1 << 30, leaves: scattered.clone() };
        Frame::Query(Query { have: vec![Declared { feed: FeedKey([n as u8; 32]), known }], ..query(n) })
    };
    assert_eq!(limit(Box::new((0..64).map(have))), Some(SessionError::Limit("SESSION_RANGES")));
}

#[test]
fn work_given_up_is_not_done_and_lookups_are_few() {
    let mut side = stuck();
    (0..60).for_each(|id| side.session.receive(0, &Frame::Query(query(id)).encode()).unwrap());
    let taken: Vec<_> = std::iter::from_fn(|| side.session.poll_command()).collect();
    assert_eq!(taken.len(), 4);
    (0..60).for_each(|query| side.session.receive(0, &Frame::Cancel { query }.encode()).unwrap());
    assert_eq!(side.session.poll_command(), None);
    // Those under way are waited for before others start.
    side.session.receive(0, &Frame::Query(query(60)).encode()).unwrap();
    assert_eq!(side.session.poll_command(), None);
    let (id, command) = taken.into_iter().next().unwrap();
    let reply = side.replica.borrow_mut().run(command);
    side.session.reply(0, id, reply);
    assert!(side.session.poll_command().is_some());
}

#[test]
fn what_is_reserved_is_refused_aloud() {
    let refused = |view: &str, selector: &[u8], live: bool, since: Option<Vec<u8>>| {
        let (view, selector) = (view.to_owned(), selector.to_vec());
        let (inline, direct, without) = (true, false, BTreeSet::new());
        let question = Question::View { view, selector, inline, direct, live, since, without };
        let mut side = stuck();
        side.session.receive(0, &Frame::Query(Query { question, ..query(0) }).encode()).unwrap();
        let frames: Vec<_> = side.settle(0).iter().map(|f| Frame::decode(f).unwrap().unwrap()).collect();
        assert_eq!(side.session.closed(), None);
        let [Frame::Accept { query: 0 }, Frame::Error { query: 0, code, .. }] = frames.as_slice() else {
            panic!("{frames:?}")
        };
        *code
    };
    let everything = Selector::Everything.encode().unwrap();
    assert_eq!(refused(VIEW, &everything, false, Some(vec![1])), 3);
    assert_eq!(refused(VIEW, &[99], false, None), 2);
    assert_eq!(refused("no", &everything, false, None), 1);
    let mut side = stuck();
    side.session.receive(0, &Frame::Query(query(0)).encode()).unwrap();
    side.session.receive(0, &Frame::Update { query: 0, selector: vec![] }.encode()).unwrap();
    let frames: Vec<_> = side.settle(0).iter().map(|f| Frame::decode(f).unwrap().unwrap()).collect();
    assert!(matches!(frames.as_slice(), [Frame::Accept { .. }, Frame::Error { code: 3, .. }]));
}

#[test]
fn unknown_skippable_frames_are_skipped_and_others_end_the_session() {
    let mut side = asker(true);
    side.session.receive(0, &[0xfe, 1, 2, 3]).unwrap();
    side.session.receive(0, &Frame::Alive { answer: false }.encode()).unwrap();
    assert_eq!(side.session.closed(), None);
    let end = side.session.receive(0, &[0x7f]).unwrap_err();
    assert_eq!(end.to_string(), "a frame of unknown kind 0x7f");
    let goodbye: Vec<_> = side.settle(0).iter().map(|f| Frame::decode(f).unwrap().unwrap()).collect();
    assert_eq!(goodbye, [Frame::Close { code: 1, text: end.to_string() }]);
}

#[test]
fn reading_stops_while_storage_is_behind() {
    let big = Truth::new(1, &[0; 300], 40_000, &mut Random::new(1));
    let mut side = asker(true);
    for frame in opening(&big) {
        side.session.receive(0, &frame.encode()).unwrap();
    }
    let mut known = Known::default();
    let mut seq = 0;
    while side.session.wants_read() {
        let ranges = set(seq..seq + 5);
        let bundle = big.bundle(&ranges, 300, &known);
        let top = BlocksTop {
            lengths: vec![],
            query: 0,
            feed: 0,
            head: (seq == 0).then_some(bundle.head),
            fresh: seq == 0,
            ranges,
            proof: bundle.proof,
        };
        let frame = Frame::Blocks(Blocks { top, blocks: bundle.blocks });
        if side.session.receive(0, &frame.encode()).is_err() {
            break;
        }
        seq += 5;
        known = Known { length: 300, leaves: RangeSet::below(seq) };
    }
    assert!(!side.session.wants_read() || side.session.closed().is_some());
    assert_eq!(side.session.closed(), None);
    side.settle(0);
    assert!(side.session.wants_read());
    assert_eq!(side.replica.borrow().held(&big.key()).count(), seq);
}

/// What an honest peer sent to an asker, and what the asker had asked.
fn conversation(seed: u64) -> (Vec<Rc<Truth>>, Vec<Vec<u8>>) {
    let rng = &mut Random::new(seed);
    let truths = vec![truth(), Truth::new(2, &[1; 20], 100, rng)];
    let full = Replica::new();
    truths.iter().for_each(|t| full.borrow_mut().hold(t, &RangeSet::below(t.length()), t.length()));
    let mut pair = Pair::new([&Replica::new(), &full], Config::default(), seed);
    pair.ask(0, Selector::keys([vec![1], vec![2]]), true);
    pair.ask(0, Selector::Everything, false);
    pair.run();
    assert_eq!(pair.sides[0].done().len(), 2);
    (truths, std::mem::take(&mut pair.sides[0].received))
}

/// A new asker that asks the same and gets these frames.
fn replay(truths: &[Rc<Truth>], frames: &[Vec<u8>]) {
    let mut side = Side::new(&Replica::new(), Config::default());
    let ask = |selector, inline| Ask {
        view: VIEW.to_owned(),
        selector,
        inline,
        direct: false,
        have: vec![],
        named: vec![],
        forks: vec![],
        without: BTreeSet::new(),
        live: None,
        forget: false,
    };
    side.session.ask(0, ask(Selector::keys([vec![1], vec![2]]), true));
    side.session.ask(0, ask(Selector::Everything, false));
    for frame in frames {
        side.settle(0);
        if side.session.receive(0, frame).is_err() {
            break;
        }
    }
    side.settle(0);
    assert_all_true(&side.replica, truths);
}

#[test]
fn every_byte_of_a_conversation_changed() {
    let (truths, frames) = conversation(1);
    for at in 0..frames.len() {
        for byte in 0..frames[at].len() {
            // Every byte of what is short and steers, some of the bulk.
            if byte > 400 && byte % 17 != 0 {
                continue;
            }
            let mut changed = frames.clone();
            changed[at][byte] ^= 1 << (byte % 8);
            replay(&truths, &changed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conversations_cut_shuffled_and_repeated(seed: u64) {
        let (truths, mut frames) = conversation(2);
        let rng = &mut Random::new(seed);
        for _ in 0..1 + rng.below(3) {
            let (a, b) = (rng.below(frames.len() as u64) as usize, rng.below(frames.len() as u64) as usize);
            match rng.below(4) {
                0 => frames.swap(a, b),
                1 => drop(frames.remove(a)),
                2 => frames.insert(a, frames[b].clone()),
                _ => {
                    let keep = rng.below(frames[a].len() as u64 + 1);
                    frames[a].truncate(keep as usize);
                }
            }
            if frames.is_empty() {
                break;
            }
        }
        replay(&truths, &frames);
    }

    #[test]
    fn noise_to_both_halves(frames in prop::collection::vec((0u8..16, prop::collection::vec(0u8..8, 0..40)), 0..30)) {
        let mut side = asker(true);
        for (kind, body) in frames {
            let _ = side.session.receive(0, &[&[kind], body.as_slice()].concat());
            side.settle(0);
        }
        prop_assert!(side.replica.borrow().feeds.values().all(|held| held.blocks.is_empty()));
    }
}

#[test]
fn a_peer_that_never_gives_credit_loses_its_session() {
    let truth = truth();
    let mut side = stuck();
    side.replica.borrow_mut().hold(&truth, &RangeSet::below(10), 10);
    side.session.receive(0, &Frame::Query(Query { credit: 0, ..query(0) }).encode()).unwrap();
    side.settle(0);
    let at = side.session.poll_timeout().unwrap();
    side.session.handle_timeout(at);
    assert_eq!((side.session.closed(), at), (Some(&SessionError::Idle), kappadb_core::limits::IDLE_MS));
    side.settle(at);
    assert_eq!((side.session.poll_timeout(), side.session.poll_command()), (None, None));
}
