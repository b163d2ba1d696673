//! Small things: what is plain bincode, selectors, texts, tickets.

use crate::{Seeds, named, out, set};
use kappadb_core::{Coord, EntryId, GeoBox, SecretKey, codec};
use kappadb_entry::rules::Version;
use kappadb_entry::{Moment, Places, decode_block};
use kappadb_fuzz::peers::DB;
use kappadb_fuzz::peers::Truth;
use kappadb_fuzz::truths;
use kappadb_merkle::{Branch, ForkEvidence, Known};
use kappadb_net::{Access, AccessKey, Ticket};
use kappadb_query::Selector;
use std::rc::Rc;

pub(crate) fn evidence() -> ForkEvidence {
    let [_, ours, theirs] = truths();
    let side = |truth: &Rc<Truth>| {
        let needed = ForkEvidence::branch_needed(8, 12).expect("a node of the tree");
        Branch {
            head: truth.heads[12],
            node: truth.nodes[&8],
            proof: needed.iter().map(|i| truth.nodes[i]).collect(),
        }
    };
    let evidence = ForkEvidence { feed: ours.key(), index: 8, a: side(&ours), b: side(&theirs) };
    evidence.verify(&DB).expect("a fork");
    evidence
}

pub(crate) fn codec_seeds() -> Seeds {
    let [truth, ..] = truths();
    let ranges =
        [codec::encode(&set([0, 1, 2, 9, 300])), codec::encode(&set([2, 3, 4, 70_000, 70_001]))].concat();
    let known = Known { length: 11, leaves: set([0, 4, 5]) };
    let nodes: Vec<_> = truth.nodes.iter().take(5).map(|(index, node)| (*index, *node)).collect();
    let header = decode_block(&truth.blocks[3]).expect("an entry").header;
    let version = Version::from_header(EntryId { feed: truth.key(), seq: 3 }, &header);
    vec![
        named("ranges", out().byte(0).bytes(ranges)),
        named("known", out().byte(1).bytes(codec::encode(&known))),
        named("definition", out().byte(2).bytes(codec::encode(&truth.definition))),
        named("head", out().byte(3).bytes(codec::encode(&truth.heads[12]))),
        named("fork", out().byte(4).bytes(codec::encode(&evidence()))),
        named("nodes", out().byte(5).bytes(codec::encode(&nodes))),
        named("version", out().byte(6).bytes(codec::encode(&version))),
        named("places", out().byte(7).bytes(codec::encode(&places()))),
    ]
}

pub(crate) fn places() -> Places {
    let helsinki = GeoBox { west: 249_000_000, south: 601_000_000, east: 250_000_000, north: 602_000_000 };
    let edge = GeoBox::point(Coord { lon: 1_800_000_000, lat: 5 });
    Places::new(vec![helsinki, edge], vec![Moment { channel: b"c".to_vec(), from: -5, to: 70 }])
}

pub(crate) fn selector() -> Seeds {
    let boxes = places().extents;
    let window = |from, to| Selector::Window { channel: b"c".to_vec(), from, to };
    let west = GeoBox { west: -1_800_000_000, south: -10, east: -1_790_000_000, north: 10 };
    let pairs = [
        ("everything", Selector::Everything, Selector::Custom(b"x".to_vec())),
        ("keys", Selector::keys(["a", "key", "n1"]), Selector::keys(["key"])),
        ("prefix", Selector::Prefix(b"k".to_vec()), Selector::keys(["key", "kez"])),
        ("window", window(-9, 100), window(0, 70)),
        ("boxes", Selector::boxes(boxes), Selector::boxes([west, GeoBox::WORLD])),
    ];
    let seed = |(name, a, b): (&str, Selector, Selector)| {
        let [a, b] = [a, b].map(|selector| selector.encode().expect("a selector"));
        named(name, out().chunk(&a).chunk(&b).chunk(b"key").bytes(codec::encode(&places())))
    };
    pairs.into_iter().map(seed).collect()
}

pub(crate) fn text() -> Seeds {
    let key = SecretKey::from_seed(&[1; 32]).public();
    let texts = [
        ("key", key.to_string()),
        ("entry", EntryId { feed: key, seq: 300 }.to_string()),
        ("extent", "24.90,60.15,24.97,60.18".to_owned()),
        ("fiji", " 177, -20.5, -178, -15".to_owned()),
        ("node", "n-12".to_owned()),
        ("set-apart", "g:w7".to_owned()),
    ];
    texts.map(|(name, text)| (name.to_owned(), text.into_bytes())).to_vec()
}

pub(crate) fn ticket() -> Seeds {
    let access = Access { database: DB, epoch: 3, key: AccessKey::new([8; 32]) };
    let peer = SecretKey::from_seed(&[1; 32]).public();
    let addresses = ["127.0.0.1:4000", "[::1]:4000", "peer.example:1"].map(str::to_owned).to_vec();
    let body = |addresses: &[String]| {
        let head = out().byte(1).bytes(DB.0).bytes(3u32.to_le_bytes()).bytes([8; 32]).bytes(peer.0);
        let head = head.byte(addresses.len() as u8);
        let body = addresses.iter().fold(head, |body, address| body.byte(address.len() as u8).bytes(address));
        body.byte(1).bytes(peer.0).byte(0).0
    };
    let made = Ticket::new(&access, peer, addresses.clone()).expect("a ticket");
    let made = made.trusting(vec![peer], Vec::new()).expect("a ticket");
    assert_eq!(kappadb_fuzz::seal_ticket(&body(&addresses)), made.to_string());
    vec![
        named("text", out().byte(0).bytes(made.to_string())),
        named("sealed", out().byte(1).bytes(body(&addresses))),
        named("nowhere", out().byte(1).bytes(body(&[]))),
    ]
}
