//! Conversations, and what they are made of.

use crate::words::{evidence, places};
use crate::{Seeds, named, out, set};
use kappadb_core::{RangeSet, SecretKey, codec};
use kappadb_fuzz::peers::{Pair, Replica, VIEW};
use kappadb_fuzz::{Output, truths};
use kappadb_merkle::Known;
use kappadb_query::Selector;
use kappadb_sync::frame::{Change, Frame, Last, Query, Question, Ranges, Statement};
use kappadb_sync::{Config, Fetch, Hello, Words};

/// The frames that each of two sides received.
type Heard = [Vec<Vec<u8>>; 2];

/// What both sides of a conversation hear: one has nothing, and asks one that has all.
pub(crate) fn conversation(ask: impl FnOnce(&mut Pair)) -> Heard {
    let (nothing, all) = (Replica::new(), Replica::new());
    for truth in &truths()[..2] {
        all.borrow_mut().hold(truth, &RangeSet::below(12), 12);
    }
    let mut pair = Pair::new([&nothing, &all], Config::default(), 1);
    ask(&mut pair);
    pair.run();
    assert_eq!(pair.sides[0].done().len(), 1);
    pair.sides.map(|side| side.received)
}

pub(crate) fn conversations() -> Vec<(&'static str, bool, Heard)> {
    let ask = |selector: Selector, inline| conversation(move |pair| _ = pair.ask(0, selector, inline));
    let fetch = || {
        conversation(|pair| {
            let (feed, ranges) = (truths()[0].key(), set([1, 2, 8]));
            pair.sides[0].session.fetch(0, Fetch { feed, ranges, known: Known::default(), forget: false });
        })
    };
    vec![
        ("everything", true, ask(Selector::Everything, true)),
        ("ranges", false, ask(Selector::keys([[1]]), false)),
        ("fetch", true, fetch()),
    ]
}

pub(crate) fn frame() -> Seeds {
    let mut seeds = Vec::new();
    for (name, _, heard) in conversations() {
        for (i, frame) in heard.concat().into_iter().enumerate() {
            seeds.push((format!("{name}-{i:02}"), frame));
        }
    }
    let [truth, ..] = truths();
    let others = [
        ("error", Frame::Error { query: 1, code: 4, text: "over a limit".to_owned() }),
        ("credit", Frame::Credit { query: 1, bytes: 70_000 }),
        ("cancel", Frame::Cancel { query: 300 }),
        ("close", Frame::Close { code: 1, text: "bye".to_owned() }),
        ("update", Frame::Update { query: 1, selector: codec::encode(&Selector::Everything) }),
        ("held", Frame::Held { query: 0, statements: 1 }),
        ("fork-proof", Frame::ForkProof(Box::new(evidence()))),
        ("ranges", Frame::Ranges(Ranges { query: 0, feed: 1, ranges: set([3, 4, 9]) })),
        (
            "statement",
            Frame::Statement(Statement {
                query: 0,
                changes: vec![Change { feed: 0, claimed: 9, length: 12, at: 8, root: [7; 16] }],
                rest: kappadb_sync::Rest { whole: 3, lacking: 0 },
                token: Some(b"later".to_vec()),
                last: Last::Own,
            }),
        ),
        (
            "statement-on-word",
            Frame::Statement(Statement {
                query: 0,
                changes: vec![],
                rest: kappadb_sync::Rest { whole: 0, lacking: 0 },
                token: None,
                last: Last::OnWord(Words::of(truth.key())),
            }),
        ),
        (
            "query",
            Frame::Query(Query {
                id: 5,
                credit: 1 << 20,
                forget: true,
                have: vec![kappadb_sync::frame::Declared {
                    feed: truth.key(),
                    known: Known { length: 9, leaves: set([1, 5]) },
                }],
                named: vec![truth.key()],
                question: Question::View {
                    view: VIEW.to_owned(),
                    selector: codec::encode(&Selector::boxes(places().extents)),
                    inline: true,
                    direct: false,
                    live: false,
                    since: Some(vec![1]),
                    without: std::collections::BTreeSet::new(),
                },
            }),
        ),
    ];
    seeds.extend(others.map(|(name, frame)| (name.to_owned(), frame.encode())));
    seeds.push(("unknown".to_owned(), b"\xff anything".to_vec()));
    seeds
}

pub(crate) fn hello() -> Seeds {
    let later = Hello { max_version: 3, open_queries: 2, extra: b"later".to_vec(), ..Hello::default() };
    vec![
        named("same", out().chunk(&Hello::default().encode()).bytes(Hello::default().encode())),
        named("later", out().chunk(&Hello::default().encode()).bytes(later.encode())),
    ]
}

/// Steps of the session target: what they do is in its source.
mod step {
    pub const HEAR: u8 = 0;
    pub const HONEST: u8 = 2;
    pub const SETTLE: u8 = 3;
    pub const ASK: u8 = 4;
    pub const FETCH: u8 = 5;
    pub const FAIL: u8 = 8;
    pub const WAIT: u8 = 11;
    pub const MISMATCH: u8 = 13;
}

pub(crate) fn session() -> Seeds {
    let mut seeds = Vec::new();
    for (name, inline, [asker, answerer]) in conversations() {
        let mut steps = out().byte(0);
        steps = match name {
            "fetch" => steps.byte(step::FETCH).byte(0).byte(1).bytes([0b110, 1]),
            _ => steps.byte(step::ASK).byte(if inline { 0 } else { 0x19 }),
        };
        let heard = |steps: Output, frames: &[Vec<u8>]| {
            frames.iter().fold(steps, |steps, frame| steps.byte(step::HEAR).chunk(frame).byte(step::SETTLE))
        };
        seeds.push(named(&format!("{name}-asker"), heard(steps.clone(), &asker)));
        seeds.push(named(&format!("{name}-answerer"), heard(out().byte(3), &answerer)));
        // Storage that refuses once, a peer that falls silent.
        let refused = heard(steps.clone().byte(step::MISMATCH).byte(1), &asker);
        seeds.push(named(&format!("{name}-mismatch"), heard(refused, &asker[..1])));
        seeds.push(named(
            &format!("{name}-silence"),
            steps.byte(step::SETTLE).byte(step::WAIT).bytes([255, 255]),
        ));
    }
    let accept = Frame::Accept { query: 0 }.encode();
    let begin = |settings| out().byte(settings).byte(step::ASK).byte(4).byte(step::HEAR).chunk(&accept);
    let define = |steps: Output, truth| steps.byte(step::HONEST).bytes([truth, 0, 0, 0]).byte(step::SETTLE);
    // truth, query, feed, kind, length, ranges, how
    let blocks = |steps: Output, bytes: [u8; 8]| steps.byte(step::HONEST).bytes(bytes).byte(step::SETTLE);
    let two = blocks(define(begin(0), 0), [0, 0, 0, 1, 9, 0b111, 0, 0]);
    let upgrade = blocks(two.clone(), [0, 0, 0, 1, 12, 0, 0b1000, 1]);
    seeds.push(named("upgrade", upgrade.byte(step::HEAR).chunk(&Frame::Done { query: 0 }.encode())));
    seeds.push(named("small-credit", blocks(define(begin(4), 0), [0, 0, 0, 1, 12, 0xff, 0x0f, 0])));
    let forked = blocks(define(begin(0), 1), [1, 0, 0, 1, 12, 0xff, 0, 0]);
    seeds.push(named(
        "fork",
        blocks(forked, [2, 0, 0, 1, 12, 0, 0x0f, 0]).byte(step::HONEST).bytes([0, 0, 0, 2, 8]),
    ));
    seeds.push(named(
        "failing",
        two.byte(step::HONEST).bytes([0, 0, 0, 1, 9, 0, 1, 0]).byte(step::FAIL).bytes([0, 1]),
    ));
    seeds
}

pub(crate) fn wire() -> Seeds {
    let frames: Vec<u8> = conversations()
        .swap_remove(1)
        .2
        .concat()
        .iter()
        .flat_map(|frame| [&(frame.len() as u32).to_le_bytes()[..], frame].concat())
        .collect();
    let peer = SecretKey::from_seed(&[2; 32]);
    let auth = |role: u8| {
        let message = [&b"kappadb auth v1"[..], &[4; 64], &[role]].concat();
        out().bytes(peer.public().0).bytes(peer.sign(&message).0).0
    };
    vec![
        named("handshake-listener", out().byte(0).chunk(&[9; 80])),
        named("handshake-dialer", out().byte(1).chunk(&[9; 160])),
        named("listener", out().byte(2).bytes(auth(0)).bytes(&frames)),
        named("dialer", out().byte(3).bytes(auth(1)).bytes(&frames)),
        named("frames", out().byte(4).bytes(frames)),
    ]
}
