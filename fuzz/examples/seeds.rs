//! Writes the seeds anew: `cargo run --example seeds` in this folder. They are messages, records and files as the project
//! itself makes them, so that a fuzzer starts from what is accepted.

use bytes::Bytes;
use kappadb_core::{
    Coord, EntryId, FeedKey, Form, GeoBox, RangeSet, SecretKey, StoredBlock, Timestamp, codec, encode_blocks,
};
use kappadb_entry::rules::Version;
use kappadb_entry::{
    Context, Extension, Header, Kind, Moment, Places, decode_block, encode_block, leaf_data, space,
};
use kappadb_fuzz::peers::{DB, Pair, Replica, Truth, VIEW};
use kappadb_fuzz::{Output, PbfBlob, pbf_file, truths};
use kappadb_geo::{Body, Feature, Shape, geojson, put};
use kappadb_journal::fault::FaultDisk;
use kappadb_journal::{Claim, Journal, Options, Record};
use kappadb_merkle::{Branch, ForkEvidence, Known};
use kappadb_net::{Access, AccessKey, Ticket};
use kappadb_query::Selector;
use kappadb_sync::frame::{Change, Frame, Query, Question, Ranges, Statement};
use kappadb_sync::{Config, Fetch, Hello};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

type Seeds = Vec<(String, Vec<u8>)>;
/// The frames that each of two sides received.
type Heard = [Vec<Vec<u8>>; 2];

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let features = features();
    let all: [(&str, Seeds); 18] = [
        ("block", block()),
        ("bundle", bundle()),
        ("codec", codec_seeds()),
        ("entry", entry(&features)),
        ("feature", feature(&features)),
        ("fork", fork()),
        ("frame", frame()),
        ("geojson", features.iter().filter(|f| matches!(f.body, Body::Free(_))).map(text_of).collect()),
        ("hello", hello()),
        ("import_geojson", import_geojson(&features)),
        ("import_pbf", import_pbf()),
        ("record", records().into_iter().map(|(name, record)| (name, body(&record))).collect()),
        ("segment", segment()),
        ("selector", selector()),
        ("session", session()),
        ("text", text()),
        ("ticket", ticket()),
        ("wire", wire()),
    ];
    for (target, seeds) in all {
        let folder = folder.join(target);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

fn named(name: &str, output: Output) -> (String, Vec<u8>) {
    (name.to_owned(), output.0)
}

fn out() -> Output {
    Output::default()
}

fn table(blocks: &[StoredBlock]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_blocks(blocks.iter(), &mut out);
    out
}

fn cleared(block: &StoredBlock) -> StoredBlock {
    StoredBlock { form: Form::Cleared, bytes: leaf_data(block).expect("a block").into() }
}

fn block() -> Seeds {
    let [truth, ..] = truths();
    let mixed = [truth.blocks[0].clone(), cleared(&truth.blocks[1]), StoredBlock::whole(Bytes::new())];
    vec![
        named("none", out().bytes(table(&[]))),
        named("three", out().bytes(table(&truth.blocks[..3]))),
        named("mixed", out().bytes(table(&mixed))),
    ]
}

/// A few real features of each sort, small ones, and free ones.
fn features() -> Vec<Feature> {
    let extract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cli/data/helsinki-centre.osm.pbf");
    let mut import = kappadb_import::read(&extract, &std::env::temp_dir(), &mut |_| ()).expect("the extract");
    let mut few: BTreeMap<u8, Vec<Feature>> = BTreeMap::new();
    for feature in import.features().expect("the extract").map(|feature| feature.expect("a feature")) {
        let Body::Osm(element) = &feature.body else { continue };
        let sort = match &element.shape {
            Shape::Node(_) => 0,
            Shape::Way(nodes) if nodes.len() > 8 => continue,
            Shape::Way(_) => 1,
            Shape::Relation { members, .. } if members.len() > 6 => continue,
            Shape::Relation { .. } => 2,
        };
        let few = few.entry(sort).or_default();
        if few.len() < 3 {
            few.push(feature);
        }
    }
    let free = FREE.iter().map(|text| geojson::from_text(text).expect("a feature"));
    few.into_values().flatten().chain(free).collect()
}

const FREE: [&str; 7] = [
    r#"{"type":"Feature","id":7,"geometry":{"type":"Point","coordinates":[24.94,60.17,12]},"properties":{"a":1.0}}"#,
    r#"{"type":"Feature","id":"n1","geometry":{"type":"LineString","coordinates":[[179.5,-17],[-179.5,-16.25]]},"properties":null}"#,
    r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[0,0],[1e0,0],[1,1],[0,0]],[[0.1,0.1],[0.2,0.1],[0.2,0.2],[0.1,0.1]]]},"properties":{"name":"\u00e5 \"b\"","deep":[{"x":[]}]}}"#,
    r#"{"type":"Feature","id":"m","geometry":{"type":"MultiPoint","coordinates":[[-180,90],[180,-90]]},"properties":{}}"#,
    r#"{"type":"Feature","id":"ml","geometry":{"type":"MultiLineString","coordinates":[[[1,2],[3,4]],[[5,6],[7,8]]]},"properties":{}}"#,
    r#"{"type":"Feature","id":"mp","geometry":{"type":"MultiPolygon","coordinates":[[[[170,0],[180,0],[180,5],[170,0]]],[[[-180,0],[-170,0],[-180,5],[-180,0]]]]},"properties":{"area":false}}"#,
    r#"{"type":"Feature","id":"gc","bbox":[0,0,9,9],"geometry":{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[0,0]},{"type":"GeometryCollection","geometries":[{"type":"LineString","coordinates":[[1,1],[9,9]]}]}]},"properties":{"k":null}}"#,
];

fn text_of(feature: &Feature) -> (String, Vec<u8>) {
    (feature.id.replace(':', "_"), geojson::to_text(feature).into_bytes())
}

fn file_name(feature: &Feature) -> String {
    feature.id.replace(':', "_").chars().take(12).collect()
}

fn feature(features: &[Feature]) -> Seeds {
    let seed = |feature: &Feature| {
        let payload = put(feature).expect("a feature").payload;
        named(&file_name(feature), out().chunk(feature.id.as_bytes()).bytes(payload))
    };
    features.iter().map(seed).collect()
}

/// Headers of every sort.
fn blocks(features: &[Feature]) -> Vec<(String, StoredBlock)> {
    let mut made = Vec::new();
    let mut add = |name: &str, header: &Header, payload: &[u8]| {
        made.push((name.to_owned(), StoredBlock::whole(encode_block(header, payload).expect("a block"))));
    };
    let header = |space, code| Header::new(Kind { space, code }, Timestamp(1_700_000_000_000));
    add("raw", &header(space::RAW, 0), b"bytes");
    add("empty", &header(space::RAW, 0), b"");
    let feeds = [FeedKey([1; 32]), FeedKey([2; 32])];
    let context = Context {
        own: Some(4),
        vector: vec![(feeds[0], 300), (feeds[1], 7)],
        ids: vec![EntryId { feed: feeds[0], seq: 1 }],
    };
    let key_value =
        Header { key: Some(b"key".to_vec()), context: context.clone(), depth: 2, ..header(space::KV, 0) };
    add("key-value", &key_value, b"value");
    let at = 1_700_000_000_000;
    let moments = vec![Moment { channel: b"general".to_vec(), from: at, to: at }];
    add("chat", &Header { places: Places::new(vec![], moments), ..header(space::CHAT, 0) }, "hei".as_bytes());
    let extensions =
        vec![Extension { kind: 1, bytes: vec![] }, Extension { kind: 9, bytes: b"later".to_vec() }];
    add("extended", &Header { extensions, ..key_value }, b"value");
    for feature in features.iter().step_by(3) {
        let prepared = put(feature).expect("a feature");
        let map =
            Header { key: Some(prepared.key), places: prepared.places.clone(), ..header(space::MAP, 0) };
        add(&format!("map-{}", file_name(feature)), &map, &prepared.payload);
        let past = prepared.places;
        let gone = Header { context: context.clone(), depth: 1, places: Places::NOWHERE, past, ..map };
        add(
            &format!("map-{}-gone", file_name(feature)),
            &Header { kind: Kind { space: space::MAP, code: 1 }, ..gone },
            b"",
        );
    }
    made
}

fn entry(features: &[Feature]) -> Seeds {
    let mut seeds = Vec::new();
    for (name, block) in blocks(features) {
        seeds.push(named(&name, out().byte(0).bytes(&block.bytes)));
        if cleared(&block).bytes != block.bytes {
            seeds.push(named(&format!("{name}-cleared"), out().byte(1).bytes(cleared(&block).bytes)));
        }
    }
    let newer = [&[3, 2, 0, 0][..], b"of a later version"].concat();
    seeds.push(named("later", out().byte(0).bytes(newer)));
    seeds
}

fn evidence() -> ForkEvidence {
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

fn set(numbers: impl IntoIterator<Item = u64>) -> RangeSet {
    numbers.into_iter().collect()
}

fn codec_seeds() -> Seeds {
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

fn places() -> Places {
    let helsinki = GeoBox { west: 249_000_000, south: 601_000_000, east: 250_000_000, north: 602_000_000 };
    let edge = GeoBox::point(Coord { lon: 1_800_000_000, lat: 5 });
    Places::new(vec![helsinki, edge], vec![Moment { channel: b"c".to_vec(), from: -5, to: 70 }])
}

fn selector() -> Seeds {
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

/// What both sides of a conversation hear: one has nothing, and asks one that has all.
fn conversation(ask: impl FnOnce(&mut Pair)) -> Heard {
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

fn conversations() -> Vec<(&'static str, bool, Heard)> {
    let ask = |selector: Selector, inline| conversation(move |pair| _ = pair.ask(0, selector, inline));
    let fetch = || {
        conversation(|pair| {
            let (feed, ranges) = (truths()[0].key(), set([1, 2, 8]));
            pair.sides[0].session.fetch(0, Fetch { feed, ranges, known: Known::default() });
        })
    };
    vec![
        ("everything", true, ask(Selector::Everything, true)),
        ("ranges", false, ask(Selector::keys([[1]]), false)),
        ("fetch", true, fetch()),
    ]
}

fn frame() -> Seeds {
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
        ("announce", Frame::Announce { definition: truth.definition, length: 12 }),
        ("fork-proof", Frame::ForkProof(Box::new(evidence()))),
        ("ranges", Frame::Ranges(Ranges { query: 0, feed: 1, ranges: set([3, 4, 9]) })),
        (
            "statement",
            Frame::Statement(Statement {
                query: 0,
                changes: vec![Change { feed: 0, claimed: 9, length: 12 }],
                token: Some(b"later".to_vec()),
            }),
        ),
        (
            "query",
            Frame::Query(Query {
                id: 5,
                credit: 1 << 20,
                forget: true,
                have: vec![kappadb_sync::Have {
                    feed: truth.key(),
                    known: Known { length: 9, leaves: set([1, 5]) },
                }],
                question: Question::View {
                    view: VIEW.to_owned(),
                    selector: codec::encode(&Selector::boxes(places().extents)),
                    inline: true,
                    live: false,
                    since: Some(vec![1]),
                },
            }),
        ),
    ];
    seeds.extend(others.map(|(name, frame)| (name.to_owned(), frame.encode())));
    seeds.push(("unknown".to_owned(), b"\xff anything".to_vec()));
    seeds
}

fn hello() -> Seeds {
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

fn session() -> Seeds {
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

fn records() -> Vec<(String, Record)> {
    let [truth, ..] = truths();
    let bundle = truth.bundle(&set([1, 2, 7]), 12, &Known::default());
    let nodes = truth.nodes.iter().take(4).map(|(index, node)| (*index, *node)).collect();
    let claim = Claim {
        view: VIEW.to_owned(),
        selector: codec::encode(&Selector::Everything),
        lengths: vec![(truth.key(), 12)],
        from: FeedKey([6; 32]),
    };
    let feed = truth.key();
    let records = [
        ("definition", Record::Definition(truth.definition)),
        ("blocks", Record::Blocks { feed, first: 3, blocks: truth.blocks[3..6].to_vec() }),
        ("head", Record::Head { feed, head: truth.heads[6] }),
        (
            "fetched",
            Record::Fetched { feed, head: bundle.head, ranges: bundle.ranges, nodes, blocks: bundle.blocks },
        ),
        ("fork", Record::Fork(evidence())),
        ("clear", Record::Clear { feed, ranges: set([0, 4]) }),
        ("claim", Record::Claim(claim)),
    ];
    records.map(|(name, record)| (name.to_owned(), record)).to_vec()
}

fn body(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.encode_into(&mut out).expect("a record");
    out
}

fn segment() -> Seeds {
    let disk = FaultDisk::new();
    let options = Options { segment_bytes: 1500, open_files: 2 };
    let open = Journal::open_on(Arc::new(disk.clone()), &options, None, &mut || [5; 16], &mut |_, _| ());
    let (mut journal, _) = open.expect("an empty journal");
    for (_, record) in records().into_iter().filter(|(name, _)| name != "fork") {
        journal.append(&record).expect("a sound disk");
        journal.sync().expect("a sound disk");
    }
    journal.close().expect("a sound disk");
    let names =
        ["00000000.kj", "00000001.kj"].map(|name| disk.content(name)).into_iter().filter(|f| !f.is_empty());
    let files: Vec<Vec<u8>> = names.collect();
    let raw = |steps: Output, number: u8, file: &[u8]| steps.bytes([number, 0, 3]).chunk(file).byte(0);
    let clean = (0..).zip(&files).fold(out().byte(0), |steps, (number, file)| raw(steps, number, file));
    let torn = raw(out().byte(0), 0, &files[0][..files[0].len() - 9]);
    let lost = raw(out().byte(0), 1, files.last().expect("a segment"));
    // The same, in the target's own words: sealed anew wherever it comes to lie.
    let mut lseq = 0;
    let mut sealed = out().bytes([1, 0, 44, 0]).bytes([0, 1]).number(0);
    sealed = sealed.byte(2).number(0).chunk(&[&[8][..], &[5; 16]].concat());
    for (_, record) in records() {
        sealed = sealed.byte(2).number(lseq).chunk(&body(&record));
        lseq += record.block_count();
    }
    let unmarked = sealed.clone().bytes([1, 0, 44, 0]).number(lseq).chunk(&[9]).byte(0);
    let gap = sealed.clone().byte(2).number(lseq + 40).chunk(&[9]).byte(0);
    let bad = sealed.clone().byte(3).chunk(b"no record").byte(2).number(lseq).chunk(&[9]).byte(0);
    let backwards = sealed.byte(2).number(1).chunk(&[9]).byte(0);
    vec![
        named("clean", clean),
        named("torn", torn),
        named("lost", lost),
        named("sealed", unmarked),
        named("gap", gap),
        named("bad", bad),
        named("backwards", backwards),
    ]
}

fn text() -> Seeds {
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

fn ticket() -> Seeds {
    let access = Access { database: DB, epoch: 3, key: AccessKey::new([8; 32]) };
    let peer = SecretKey::from_seed(&[1; 32]).public();
    let addresses = ["127.0.0.1:4000", "[::1]:4000", "peer.example:1"].map(str::to_owned).to_vec();
    let body = |addresses: &[String]| {
        let head = out().byte(1).bytes(DB.0).bytes(3u32.to_le_bytes()).bytes([8; 32]).bytes(peer.0);
        let head = head.byte(addresses.len() as u8);
        addresses.iter().fold(head, |body, address| body.byte(address.len() as u8).bytes(address)).0
    };
    let made = Ticket::new(&access, peer, addresses.clone()).expect("a ticket");
    assert_eq!(kappadb_fuzz::seal_ticket(&body(&addresses)), made.to_string());
    vec![
        named("text", out().byte(0).bytes(made.to_string())),
        named("sealed", out().byte(1).bytes(body(&addresses))),
        named("nowhere", out().byte(1).bytes(body(&[]))),
    ]
}

fn wire() -> Seeds {
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

fn import_geojson(features: &[Feature]) -> Seeds {
    let texts: Vec<String> =
        features.iter().filter(|f| matches!(f.body, Body::Free(_))).map(geojson::to_text).collect();
    let collection = |members: &str| {
        format!(
            "\u{feff}{{ \"type\": \"FeatureCollection\",{members}\n\"features\": [\n{}\n]}}\n",
            texts.join(",\n")
        )
    };
    let lines = texts.join("\n");
    let sequence: String = texts.iter().map(|text| format!("\u{1e}{text}\n")).collect();
    let bad = r#"{"type":"Feature","geometry":null,"properties":{}}"#;
    let files = [
        ("collection", collection("")),
        (
            "members",
            collection(
                r#""name":"a","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:OGC:1.3:CRS84"}},"#,
            ),
        ),
        ("lines", lines),
        ("sequence", sequence),
        ("feature", texts[0].clone()),
        ("skipped", format!("{}\n{bad}\n{}\n", texts[0], texts[0])),
        ("empty", r#"{"type":"FeatureCollection","features":[]}"#.to_owned()),
    ];
    files.map(|(name, text)| (name.to_owned(), text.into_bytes())).to_vec()
}

/// Just enough of Protocol Buffers to write.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)).cast_unsigned()
}

fn differences(numbers: &[i64]) -> Vec<u64> {
    let mut last = 0;
    numbers.iter().map(|n| zigzag(n - std::mem::replace(&mut last, *n))).collect()
}

impl Message {
    fn number(mut self, field: u64, n: u64) -> Self {
        varint(field << 3, &mut self.0);
        varint(n, &mut self.0);
        self
    }

    fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        varint(field << 3 | 2, &mut self.0);
        varint(bytes.as_ref().len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    fn packed(self, field: u64, numbers: &[u64]) -> Self {
        let mut packed = Vec::new();
        numbers.iter().for_each(|n| varint(*n, &mut packed));
        self.bytes(field, packed)
    }
}

fn import_pbf() -> Seeds {
    let new = Message::default;
    let header = new().bytes(4, "OsmSchema-V0.6").bytes(4, "DenseNodes").0;
    let info = || new().number(1, 3).number(2, 1_600_000_000).number(3, 77).number(4, 5).number(5, 5).0;
    let single = new().number(1, zigzag(-1)).packed(2, &[1]).packed(3, &[2]).bytes(4, info());
    let single = single.number(8, zigzag(-400)).number(9, zigzag(300));
    let dense_info =
        new().packed(1, &[1, 2]).packed(2, &differences(&[16, 17])).packed(5, &differences(&[5, 5]));
    let dense = new().packed(1, &differences(&[1, 2])).bytes(5, dense_info.0).packed(10, &[1, 2, 0, 0]);
    let dense = dense.packed(8, &differences(&[100, -400])).packed(9, &differences(&[200, 300]));
    let way = new()
        .number(1, 7)
        .packed(2, &[6])
        .packed(3, &[2])
        .bytes(4, info())
        .packed(8, &differences(&[1, 2, 99]));
    let relation = new().number(1, 9).packed(8, &[4, 4]).packed(9, &differences(&[1, 7])).packed(10, &[0, 1]);
    let texts = ["", "name", "A", "B", "outer", "Ada", "building"];
    let table = texts.iter().fold(new(), |table, text| table.bytes(1, text));
    let block = |groups: &[(u64, &Message)]| {
        let block = new().bytes(1, &table.0);
        groups.iter().fold(block, |block, (field, group)| block.bytes(2, new().bytes(*field, &group.0).0)).0
    };
    let nodes = block(&[(1, &single), (2, &dense)]);
    let rest = block(&[(3, &way), (4, &relation)]);
    let granular =
        Message(block(&[(2, &dense)])).number(17, 1000).number(18, 500).number(19, 1 << 30).number(20, 7).0;
    let blobs = [(PbfBlob::Header, &header[..]), (PbfBlob::Data, &nodes), (PbfBlob::Data, &rest)];
    vec![
        named("file", out().byte(0).bytes(pbf_file(&blobs))),
        named(
            "blobs",
            out().bytes([1, 1]).chunk(&header).byte(0).chunk(&nodes).byte(0x80 + 1 - 1).chunk(&rest),
        ),
        named("backwards", out().bytes([1, 1]).chunk(&header).byte(0).chunk(&rest).byte(0).chunk(&nodes)),
        named(
            "granular",
            out().bytes([1, 1]).chunk(&header).byte(2).chunk(b"other").byte(0).chunk(&granular),
        ),
    ]
}

/// Length, known length, known leaves, leaves; then changes.
fn bundle() -> Seeds {
    let honest = |length: u8, known: u8, known_leaves: u32, leaves: u32| {
        out().byte(length).byte(known).bytes(known_leaves.to_le_bytes()).bytes(leaves.to_le_bytes())
    };
    vec![
        named("fresh", honest(23, 0, 0, 0x7f_ffff)),
        named("few", honest(17, 0, 0, 0b1_0000_0000_0011_0010)),
        named("extended", honest(23, 23, 0xff, 0xf00)),
        named("upgraded", honest(23, 11, 0b101_0000_0000, 0x40_0000)),
        named("nothing-new", honest(23, 9, 0, 0)),
        named("other-head", honest(23, 0, 0, 0xf0).bytes([0, 22])),
        named("other-block", honest(23, 0, 0, 0xf0).bytes([8, 0, 7, 0, 3])),
        named("other-node", honest(23, 0, 0, 0xf0).bytes([9, 1, 2, 200]).bytes([7; 32]).number(40)),
        named("cleared", honest(23, 0, 0, 0xf0).bytes([8, 0, 7, 0, 9])),
    ]
}

fn fork() -> Seeds {
    // Which feed, index; history and length of both sides; changes: side, history, what.
    vec![
        named("forked", out().bytes([1, 10, 0, 13, 1, 13])),
        named("forked-above", out().bytes([1, 3, 0, 12, 1, 8])),
        named("before", out().bytes([1, 0, 0, 13, 1, 13])),
        named("honest", out().bytes([0, 6, 0, 20, 1, 23])),
        named("shifted", out().bytes([0, 0, 0, 2, 1, 2]).bytes([0, 0, 1, 1]).bytes([0, 0, 3, 0, 3, 255])),
        named("far", out().bytes([1, 255]).number(u64::MAX).bytes([0, 13, 1, 13])),
    ]
}
