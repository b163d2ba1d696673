//! The codec of frames: round trip, one form, and noise.
use kappadb_core::limits::{
    MAX_ADDRESS, MAX_ADDRESSES, MAX_CREDIT, MAX_FRAME, MAX_INTRODUCED, MAX_NAMED_FEEDS,
};
use kappadb_core::limits::{MAX_TEXT, MAX_TOKEN, STATEMENT_PART};
use kappadb_core::{
    FeedDefinition, FeedKey, FeedName, Form, Hash, Head, Predecessor, RangeSet, Signature, SignedHead,
    StoredBlock, Timestamp, blake2b256,
};
use kappadb_merkle::{Branch, ForkEvidence, Known, Node};
use kappadb_sync::frame::{
    Blocks, BlocksTop, Change, Declared, Frame, FrameError, Last, Query, Question, Ranges, Statement,
};
use kappadb_sync::{Introduction, Rest, Words};
use proptest::prelude::*;

fn ranges() -> impl Strategy<Value = RangeSet> {
    prop::collection::vec((0u64..1 << 45, 1u64..300), 0..6)
        .prop_map(|runs| runs.into_iter().map(|(start, len)| start..start + len).collect())
}

fn nodes() -> impl Strategy<Value = Vec<Node>> {
    prop::collection::vec(any::<([u8; 32], u64)>(), 0..5)
        .prop_map(|nodes| nodes.into_iter().map(|(hash, size)| Node { hash: Hash(hash), size }).collect())
}

fn head() -> impl Strategy<Value = SignedHead> {
    any::<(u64, u64, [u8; 32], [u8; 32])>().prop_map(|(length, byte_length, hash, half)| SignedHead {
        head: Head { length, byte_length, root_hash: Hash(hash) },
        signature: Signature([half, half].concat().try_into().unwrap()),
    })
}

fn definition() -> impl Strategy<Value = FeedDefinition> {
    (any::<([u8; 32], i64, Option<[u8; 32]>)>(), head()).prop_map(|((feed, created, continues), head)| {
        FeedDefinition {
            feed: FeedKey(feed),
            created: Timestamp(created),
            continues: continues.map(|before| Predecessor::named(FeedKey(before))),
            signature: head.signature,
        }
    })
}

fn question() -> impl Strategy<Value = Question> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let without = prop::collection::btree_set(any::<[u8; 32]>().prop_map(FeedKey), 0..3);
    let view = ("[a-z]{0,20}", bytes(), any::<[bool; 3]>(), prop::option::of(bytes()), without);
    let view = view.prop_map(|(view, selector, [inline, direct, live], since, without)| Question::View {
        view,
        selector,
        inline,
        direct,
        live,
        since,
        without,
    });
    let blocks = (any::<[u8; 32]>(), ranges())
        .prop_map(|(feed, ranges)| Question::Blocks { feed: FeedKey(feed), ranges });
    prop_oneof![view, blocks]
}

fn query() -> impl Strategy<Value = Frame> {
    let known = (any::<u64>(), ranges()).prop_map(|(length, leaves)| Known { length, leaves });
    let have = (any::<[u8; 32]>(), known).prop_map(|(feed, known)| Declared { feed: FeedKey(feed), known });
    (any::<(u32, bool, [[u8; 32]; 2])>(), 0..=MAX_CREDIT, prop::collection::vec(have, 0..4), question())
        .prop_map(|((id, forget, named), credit, have, question)| {
            let named = named.map(FeedKey).to_vec();
            Frame::Query(Query { id, credit, forget, have, named, question })
        })
}

fn blocks() -> impl Strategy<Value = Frame> {
    let block = (any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(cleared, bytes)| {
        StoredBlock { form: if cleared { Form::Cleared } else { Form::Whole }, bytes: bytes.into() }
    });
    (
        any::<(u32, u32, bool)>(),
        prop::option::of(head()),
        ranges(),
        nodes(),
        prop::collection::vec(block, 0..6),
        prop::collection::vec(any::<([u8; 12], u64)>(), 0..4),
    )
        .prop_map(|((query, feed, fresh), head, ranges, proof, blocks, lengths)| {
            let lengths = lengths.into_iter().map(|(name, length)| (FeedName(name), length)).collect();
            Frame::Blocks(Blocks {
                top: BlocksTop { query, feed, head, fresh, ranges, proof, lengths },
                blocks,
            })
        })
}

fn fork() -> impl Strategy<Value = Frame> {
    let branch = || {
        (head(), any::<([u8; 32], u64)>(), nodes()).prop_map(|(head, (hash, size), proof)| Branch {
            head,
            node: Node { hash: Hash(hash), size },
            proof,
        })
    };
    (any::<([u8; 32], u64)>(), branch(), branch()).prop_map(|((feed, index), a, b)| {
        Frame::ForkProof(Box::new(ForkEvidence { feed: FeedKey(feed), index, a, b }))
    })
}

fn words() -> impl Strategy<Value = Words> {
    prop::collection::vec(any::<[u8; 32]>(), 1..12).prop_map(|peers| {
        let me = FeedKey([0; 32]);
        peers.into_iter().fold(Words::default(), |words, peer| words.told_by(FeedKey(peer), &me))
    })
}

fn last() -> impl Strategy<Value = Last> {
    let signed = (any::<u8>(), any::<[[u8; 32]; 2]>()).prop_map(|(rules, halves)| Last::Signed {
        rules,
        signature: Signature(halves.concat().try_into().unwrap()),
    });
    prop_oneof![Just(Last::No), Just(Last::Own), words().prop_map(Last::OnWord), signed]
}

fn statement() -> impl Strategy<Value = Frame> {
    let change = any::<(u32, u64, u64, u64, [u8; 16])>()
        .prop_map(|(feed, claimed, length, at, root)| Change { feed, claimed, length, at, root });
    let token = prop::option::of(prop::collection::vec(any::<u8>(), 0..MAX_TOKEN));
    (any::<u32>(), last(), prop::collection::vec(change, 0..9), token).prop_map(
        |(query, last, changes, token)| {
            let rest = Rest { whole: u64::from(query) << 7, lacking: u64::from(query) };
            Frame::Statement(Statement { query, changes, rest, token, last })
        },
    )
}

/// So many peers, with so many addresses of so many bytes.
fn introducing(peers: usize, addresses: usize, bytes: usize) -> Frame {
    let addresses = vec!["a".repeat(bytes); addresses];
    let said =
        Introduction { peer: FeedKey([1; 32]), at: Timestamp(0), addresses, signature: Signature([0; 64]) };
    Frame::Introduce(vec![said; peers])
}

fn introduce() -> impl Strategy<Value = Frame> {
    let said = (
        any::<([u8; 32], i64, [u8; 32])>(),
        prop::collection::vec("[a-z.]{1,20}:[0-9]{1,5}", 0..=MAX_ADDRESSES),
    );
    let said = said.prop_map(|((peer, at, half), addresses)| Introduction {
        peer: FeedKey(peer),
        at: Timestamp(at),
        addresses,
        signature: Signature([half, half].concat().try_into().unwrap()),
    });
    prop::collection::vec(said, 0..4).prop_map(Frame::Introduce)
}

fn frames() -> impl Strategy<Value = Frame> {
    let selector = prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        introduce(),
        query(),
        any::<u32>().prop_map(|query| Frame::Accept { query }),
        definition().prop_map(Frame::Feed),
        blocks(),
        (any::<(u32, u32)>(), ranges()).prop_map(|((query, feed), ranges)| Frame::Ranges(Ranges {
            query,
            feed,
            ranges
        })),
        statement(),
        any::<u32>().prop_map(|query| Frame::Done { query }),
        (any::<(u32, u8)>(), "\\PC{0,40}").prop_map(|((query, code), text)| Frame::Error {
            query,
            code,
            text
        }),
        any::<(u32, u64)>().prop_map(|(query, bytes)| Frame::Credit { query, bytes }),
        any::<u32>().prop_map(|query| Frame::Cancel { query }),
        fork(),
        (any::<u8>(), "\\PC{0,40}").prop_map(|(code, text)| Frame::Close { code, text }),
        (any::<u32>(), selector).prop_map(|(query, selector)| Frame::Update { query, selector }),
        any::<bool>().prop_map(|answer| Frame::Alive { answer }),
        any::<(u32, u64)>().prop_map(|(query, statements)| Frame::Held { query, statements }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_round_trip(frame in frames()) {
        prop_assert_eq!(Frame::decode(&frame.encode()), Ok(Some(frame)));
    }

    #[test]
    fn a_frame_has_one_form(frame in frames(), at: prop::sample::Index, flip in 1u8..) {
        let mut bytes = frame.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(Some(other)) = Frame::decode(&bytes) {
            prop_assert_ne!(&other, &frame);
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn a_frame_cut_or_made_longer_is_none(frame in frames(), cut: prop::sample::Index) {
        let mut bytes = frame.encode();
        // A kind alone of the bodiless is impossible: every kind has a body.
        prop_assert!(Frame::decode(&bytes[..cut.index(bytes.len())]).is_err());
        bytes.push(0);
        prop_assert!(Frame::decode(&bytes).is_err());
    }

    #[test]
    fn noise_never_panics(kind in 0u8..16, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&[kind], body.as_slice()].concat();
        if let Ok(Some(frame)) = Frame::decode(&bytes) {
            prop_assert_eq!(frame.encode(), bytes);
        }
    }
}

#[test]
fn unknown_kinds_are_skipped_or_refused_by_their_top_bit() {
    assert_eq!(Frame::decode(&[0xff, 1, 2, 3]), Ok(None));
    assert_eq!(Frame::decode(&[15, 1]), Err(FrameError::UnknownKind(15)));
    assert_eq!(Frame::decode(&[0]), Err(FrameError::UnknownKind(0)));
    assert_eq!(Frame::decode(&[]), Err(FrameError::Empty));
}

/// A statement of nothing, up to where it says whose word it is.
const STATEMENT: [u8; 6] = [6, 1, 0, 0, 0, 0];

#[test]
fn a_statement_of_ones_own_word_says_so_in_no_byte_more_than_that_it_is_the_last_part() {
    let statement = |last| {
        let (changes, rest, token) = (vec![], Rest::default(), None);
        Frame::Statement(Statement { query: 1, changes, rest, token, last }).encode()
    };
    assert_eq!(statement(Last::No), [&STATEMENT[..], &[0]].concat());
    assert_eq!(statement(Last::Own), [&STATEMENT[..], &[1]].concat());
    let relayed = Words::of(FeedKey([7; 32])).told_by(FeedKey([8; 32]), &FeedKey([9; 32]));
    let list = [&[2, 2][..], &[7; 32], &[1], &[8; 32], &[0, 0]].concat();
    assert_eq!(statement(Last::OnWord(relayed)), [&STATEMENT[..], &list].concat());
}

#[test]
fn words_out_of_order_named_twice_or_more_than_there_may_be_are_refused() {
    let of = |peers: &[u8], more: &[u8]| {
        let list = peers.iter().flat_map(|n| [&[*n; 32][..], &[0]].concat()).collect::<Vec<u8>>();
        Frame::decode(&[&STATEMENT[..], &[2, peers.len() as u8], &list, more].concat())
    };
    assert!(of(&[1, 2, 3], &[0]).is_ok());
    assert!(of(&[1, 2, 3, 4, 5, 6, 7, 8], &[1, 4]).is_ok());
    for (peers, more) in [
        (&[][..], &[0][..]),
        (&[2, 1], &[0]),
        (&[1, 1], &[0]),
        (&[1, 2], &[1, 0]),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9], &[0]),
    ] {
        let limit = FrameError::Limit { part: "words", limit: "MAX_WORDS" };
        assert_eq!(of(peers, more), Err(limit), "{peers:?}");
    }
}

#[test]
fn each_limit_is_named() {
    let text = "x".repeat(MAX_TEXT + 1);
    let change = Change { feed: 0, claimed: 0, length: 0, at: 0, root: [0; 16] };
    let view = |view: usize, selector: usize, since: usize, without: u32| {
        let question = Question::View {
            view: "v".repeat(view),
            selector: vec![0; selector],
            inline: true,
            direct: false,
            live: false,
            since: Some(vec![0; since]),
            without: (0..without).map(|n| FeedKey(blake2b256(&[&n.to_le_bytes()]).0)).collect(),
        };
        Frame::Query(Query { id: 1, credit: 0, forget: false, have: vec![], named: vec![], question })
    };
    let rich = Question::Blocks { feed: FeedKey([0; 32]), ranges: RangeSet::new() };
    let fetch = |credit: u64, named: usize| {
        let (named, question) = (vec![FeedKey([0; 32]); named], rich.clone());
        Frame::Query(Query { id: 1, credit, forget: false, have: vec![], named, question })
    };
    let on_word = |words| {
        let (changes, rest, token) = (vec![], Rest::default(), None);
        Frame::Statement(Statement { query: 1, changes, rest, token, last: Last::OnWord(words) })
    };
    let cases = [
        (Frame::Error { query: 1, code: 1, text: text.clone() }, "MAX_TEXT"),
        (Frame::Close { code: 1, text }, "MAX_TEXT"),
        (
            Frame::Statement(Statement {
                query: 1,
                changes: vec![change; STATEMENT_PART + 1],
                rest: Rest::default(),
                token: None,
                last: Last::Own,
            }),
            "STATEMENT_PART",
        ),
        (
            Frame::Statement(Statement {
                query: 1,
                changes: vec![],
                rest: Rest::default(),
                token: Some(vec![0; MAX_TOKEN + 1]),
                last: Last::Own,
            }),
            "MAX_TOKEN",
        ),
        (view(65, 0, 0, 0), "MAX_VIEW_NAME"),
        (view(0, (64 << 10) + 1, 0, 0), "MAX_SELECTOR"),
        (view(0, 0, MAX_TOKEN + 1, 0), "MAX_TOKEN"),
        (view(0, 0, 0, 1_025), "MAX_WITHOUT"),
        (on_word(Words::default()), "MAX_WORDS"),
        (fetch(MAX_CREDIT + 1, 0), "MAX_CREDIT"),
        (fetch(0, MAX_NAMED_FEEDS + 1), "MAX_NAMED_FEEDS"),
        (Frame::Update { query: 1, selector: vec![0; (64 << 10) + 1] }, "MAX_SELECTOR"),
        (introducing(MAX_INTRODUCED + 1, 0, 0), "MAX_INTRODUCED"),
        (introducing(1, MAX_ADDRESSES + 1, 3), "MAX_ADDRESSES"),
        (introducing(1, 1, MAX_ADDRESS + 1), "MAX_ADDRESSES"),
    ];
    for (frame, limit) in cases {
        let error = Frame::decode(&frame.encode()).unwrap_err();
        assert!(matches!(error, FrameError::Limit { limit: named, .. } if named == limit), "{error}");
    }
    assert_eq!(Frame::decode(&vec![4; MAX_FRAME + 1]), Err(FrameError::TooLong(MAX_FRAME + 1)));
}
