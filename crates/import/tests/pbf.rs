//! Small `.osm.pbf` files, made here.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::Timestamp;
use kappadb_geo::{Body, Edit, Feature, Meta, Shape};
use kappadb_import::{Damage, Ids, Import, ImportError, Location, Reason, read, read_stream};
use std::io::Write;

/// Just enough of Protocol Buffers to write.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(u8::try_from(n & 0x7f).unwrap() | 0x80);
        n >>= 7;
    }
    out.push(u8::try_from(n).unwrap());
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

fn new() -> Message {
    Message::default()
}

fn blob(kind: &str, content: &Message) -> Vec<u8> {
    framed(kind, &new().bytes(1, &content.0))
}

fn framed(kind: &str, blob: &Message) -> Vec<u8> {
    let header = new().bytes(1, kind).number(3, blob.0.len() as u64);
    [&u32::try_from(header.0.len()).unwrap().to_be_bytes()[..], &header.0, &blob.0].concat()
}

fn header() -> Vec<u8> {
    blob("OSMHeader", &new().bytes(4, "OsmSchema-V0.6"))
}

/// Texts, from place 1 on.
const TEXTS: [&str; 7] = ["", "name", "A", "B", "outer", "Ada", "building"];

fn data(groups: &[Message]) -> Vec<u8> {
    blob("OSMData", &block(groups))
}

fn block(groups: &[Message]) -> Message {
    let table = TEXTS.iter().fold(new(), |table, text| table.bytes(1, text));
    // The table may come last.
    let block = groups.iter().fold(new(), |block, group| block.bytes(2, &group.0));
    block.bytes(1, &table.0)
}

fn info(version: u64) -> Message {
    new().number(1, version).number(2, 1_600_000_000).number(3, 77).number(4, 5).number(5, 5)
}

/// A node of its own, at whole 1e-7 degrees.
fn node(id: i64, version: u64, lon: i64, lat: i64, name: u64) -> Message {
    let node = new().number(1, zigzag(id)).packed(2, &[1]).packed(3, &[name]).bytes(4, info(version).0);
    new().bytes(1, node.number(8, zigzag(lat)).number(9, zigzag(lon)).0)
}

/// Nodes without tags.
fn dense(nodes: &[(i64, i64, i64)]) -> Message {
    let list = |f: fn(&(i64, i64, i64)) -> i64| differences(&nodes.iter().map(f).collect::<Vec<_>>());
    let dense = new().packed(1, &list(|n| n.0)).packed(8, &list(|n| n.2)).packed(9, &list(|n| n.1));
    new().bytes(2, dense.0)
}

fn way(id: u64, refs: &[i64]) -> Message {
    let way = new().number(1, id).packed(2, &[6]).packed(3, &[2]).bytes(4, info(1).0);
    new().bytes(3, way.packed(8, &differences(refs)).0)
}

fn relation(id: u64, members: &[(u64, i64)]) -> Message {
    let kinds: Vec<u64> = members.iter().map(|m| m.0).collect();
    let ids: Vec<i64> = members.iter().map(|m| m.1).collect();
    let relation = new().number(1, id).packed(8, &vec![4; members.len()]);
    new().bytes(4, relation.packed(9, &differences(&ids)).packed(10, &kinds).0)
}

fn import(bytes: &[u8]) -> Result<Import, ImportError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.osm.pbf");
    std::fs::write(&path, bytes).unwrap();
    read(&path, &Ids::Keep, dir.path(), &mut |_| ())
}

fn features(bytes: &[u8]) -> (Vec<Feature>, Import) {
    let import = import(bytes).unwrap();
    let mut features: Vec<Feature> =
        import.items().unwrap().filter_map(|item| item.unwrap().into_feature()).collect();
    features.sort_by(|a, b| a.id.cmp(&b.id));
    (features, import)
}

fn ids(features: &[Feature]) -> Vec<&str> {
    features.iter().map(|f| f.id.as_str()).collect()
}

fn place(feature: &Feature) -> Vec<[i32; 4]> {
    feature.extent().boxes().iter().map(|b| [b.west, b.south, b.east, b.north]).collect()
}

#[test]
fn elements_in_any_order_find_their_parts() {
    let relations = data(&[relation(9, &[(0, 3), (1, 7), (2, 9)])]);
    let ways = data(&[way(7, &[1, 2, 99])]);
    let nodes = data(&[dense(&[(3, 500, 600), (1, 100, 200), (2, 300, -400)])]);
    let (found, import) = features(&[header(), relations, ways, nodes].concat());
    assert_eq!(ids(&found), ["r9", "w7"]);
    assert_eq!(place(&found[1]), [[100, -400, 300, 200]]);
    assert_eq!(place(&found[0]), [[100, -400, 500, 600]]);
    let Body::Osm(element) = &found[1].body else { panic!() };
    let Shape::Way(nodes) = &element.shape else { panic!() };
    assert_eq!(
        nodes.iter().map(|n| (n.id, n.at.is_some())).collect::<Vec<_>>(),
        [(1, true), (2, true), (99, false)]
    );
    assert_eq!(import.skipped().count, 0);
}

#[test]
fn what_is_nowhere_is_kept_all_the_same() {
    let (found, import) = features(
        &[
            header(),
            data(&[dense(&[(1, 1, 1)])]),
            data(&[way(7, &[98, 99])]),
            data(&[relation(9, &[(1, 7), (2, 9)])]),
        ]
        .concat(),
    );
    assert_eq!((ids(&found), import.skipped().count), (vec!["r9", "w7"], 0));
    assert!(found.iter().all(|feature| place(feature).is_empty()));
}

#[test]
fn an_edit_is_kept_with_its_author_and_time() {
    let (found, _) = features(&[header(), data(&[node(-1, 3, 100, 200, 2)])].concat());
    let Body::Osm(element) = &found[0].body else { panic!() };
    let time = Some(Timestamp(1_600_000_000_000));
    assert_eq!(found[0].id, "n-1");
    assert_eq!(element.tag("name"), Some("A"));
    let meta = Meta { version: 3, edit: Edit { time, changeset: 77, uid: 5, user: "Ada".to_owned() } };
    assert_eq!(element.meta, Some(meta));
}

#[test]
fn the_highest_version_of_an_id_counts() {
    let old_last = [header(), data(&[node(1, 3, 30, 30, 2), dense(&[(2, 1, 1)]), node(1, 2, 20, 20, 3)])];
    let new_last =
        [header(), data(&[node(1, 2, 20, 20, 3), dense(&[(2, 1, 1)])]), data(&[node(1, 3, 30, 30, 2)])];
    let (old_last, new_last) = (old_last.concat(), new_last.concat());
    let same = [header(), data(&[node(1, 3, 20, 20, 3), node(1, 3, 30, 30, 2)])].concat();
    for file in [old_last, new_last, same] {
        let (found, import) = features(&file);
        assert_eq!(ids(&found), ["n1"]);
        assert_eq!(place(&found[0]), [[30, 30, 30, 30]]);
        assert_eq!(import.skipped().count, 1);
        let first = &import.skipped().first[0];
        assert_eq!((first.id.as_deref(), &first.reason), (Some("n1"), &Reason::Replaced));
    }
}

#[test]
fn bad_elements_are_skipped_where_they_are() {
    let deleted = new().number(1, zigzag(4)).packed(2, &[1]).packed(3, &[2]).bytes(4, new().number(6, 0).0);
    let file =
        [header(), data(&[node(1, 1, 2_000_000_000, 0, 2), node(2, 1, 5, 5, 99), new().bytes(1, deleted.0)])];
    let (found, import) = features(&file.concat());
    assert!(found.is_empty());
    assert_eq!((import.skipped().count, import.deletes()), (2, 1));
    let reasons: Vec<_> = import.skipped().first.iter().map(|skip| skip.reason.clone()).collect();
    assert_eq!(reasons, [Reason::OffTheMap, Reason::Damage(Damage::Text { index: 99 })]);
    let first = &import.skipped().first[0];
    assert_eq!(first.location, Location::Blob(header().len() as u64));
    assert_eq!(first.to_string(), "n1 (blob at byte 35): its position is not on the map");
}

#[test]
fn a_way_larger_than_a_block_is_read() {
    // Ids and positions that jump cost the most bytes.
    let nodes: Vec<_> =
        (0..90_000i64).map(|i| (i << 30, (i % 2) * 1_700_000_000, (i % 3) * 400_000_000)).collect();
    let refs: Vec<i64> = nodes.iter().map(|n| n.0).collect();
    let (found, import) = features(&[header(), data(&[dense(&nodes), way(7, &refs)])].concat());
    assert_eq!((ids(&found), import.skipped().count), (vec!["w7"], 0));
    let Body::Osm(element) = &found[0].body else { panic!() };
    assert!(matches!(&element.shape, Shape::Way(path) if path.len() == 90_000 && path[89_999].at.is_some()));
}

#[test]
fn positions_that_come_with_the_ways_are_used() {
    let way = new().number(1, 7).packed(2, &[6]).packed(3, &[2]).packed(8, &differences(&[1, 2]));
    let way = way.packed(9, &differences(&[10, 20])).packed(10, &differences(&[30, 40]));
    let (found, _) = features(&[header(), data(&[new().bytes(3, way.0)])].concat());
    assert_eq!(place(&found[0]), [[30, 10, 40, 20]]);
}

#[test]
fn files_that_need_more_are_refused_with_a_reason() {
    let history = blob("OSMHeader", &new().bytes(4, "HistoricalInformation"));
    let silent = data(&[node(1, 1, 20, 20, 2), node(1, 2, 30, 30, 2)]);
    for history in [[history, data(&[])].concat(), [header(), silent].concat()] {
        let error = import(&history).unwrap_err().to_string();
        assert!(error.contains("full history") && error.contains("time-filter"), "{error}");
    }
    for (field, name) in [(4, "LZMA"), (5, "bzip2")] {
        let packed = framed("OSMData", &new().bytes(field, "xxxx"));
        let error = import(&[header(), packed].concat()).unwrap_err();
        let feature = |feature: &str| feature.contains(name);
        assert!(matches!(&error, ImportError::Unsupported { feature: f, .. } if feature(f)), "{error}");
    }
}

#[test]
fn blobs_may_be_packed_with_zstandard_and_lz4() {
    let block = block(&[node(1, 1, 30, 40, 2), way(7, &[1])]);
    let raw = || new().number(2, block.0.len() as u64);
    let zstd = ruzstd::encoding::compress_to_vec(&block.0[..], ruzstd::encoding::CompressionLevel::Fastest);
    let lz4 = lz4_flex::block::compress(&block.0);
    for (field, packed) in [(7, zstd), (6, lz4)] {
        let (found, _) = features(&[header(), framed("OSMData", &raw().bytes(field, &packed))].concat());
        assert_eq!(ids(&found), ["n1", "w7"]);
        let mut wrong = packed.clone();
        wrong.truncate(packed.len() - 4);
        let sizes =
            [0, block.0.len() as u64 + 1, 1 << 40].map(|size| new().number(2, size).bytes(field, &packed));
        for bad in sizes.into_iter().chain([raw().bytes(field, wrong), raw().bytes(field, "xxxx")]) {
            let error = import(&[header(), framed("OSMData", &bad)].concat()).unwrap_err();
            assert!(matches!(error, ImportError::Damaged { offset: 35, .. }), "{error}");
        }
    }
}

#[test]
fn bad_metadata_never_costs_the_geometry() {
    // What is not known is -1, or missing; the author's name is not there, or the time is out of range.
    let minus = u64::MAX;
    for info in [
        new().number(1, minus).number(2, minus).number(3, minus).number(4, minus),
        new().number(5, 999),
        new().number(5, minus),
        new().number(2, i64::MAX.cast_unsigned()),
    ] {
        let tagged = new().number(1, zigzag(1)).packed(2, &[1]).packed(3, &[2]).bytes(4, &info.0);
        let bare = new().number(1, zigzag(2)).bytes(4, &info.0);
        let (found, import) =
            features(&[header(), data(&[new().bytes(1, tagged.0), new().bytes(1, bare.0)])].concat());
        assert_eq!((ids(&found), import.skipped().count), (vec!["n1"], 0));
        let Body::Osm(element) = &found[0].body else { panic!() };
        let time = element.meta.as_ref().and_then(|meta| meta.edit.time);
        assert!(element.meta.is_none() || time == Some(Timestamp(-1_000)), "{element:?}");
    }
}

#[test]
fn placeholders_get_ids_of_their_own_and_references_follow() {
    let minus = |n: i64| n.cast_unsigned();
    let file = [
        header(),
        data(&[node(-1, 1, 30, 40, 2), way(minus(-3), &[-1, 8]), relation(9, &[(1, -3), (0, -1)])]),
    ]
    .concat();
    let read = |bytes: &[u8], ids: &Ids| {
        let dir = tempfile::tempdir().unwrap();
        let import = read_stream("a pipe", bytes, ids, dir.path(), &mut |_| ()).unwrap();
        let mut features: Vec<Feature> =
            import.items().unwrap().filter_map(|item| item.unwrap().into_feature()).collect();
        features.sort_by(|a, b| a.id.cmp(&b.id));
        (features, import.renamed())
    };
    let (found, renamed) = read(&file, &Ids::New);
    assert_eq!(renamed, 2);
    let [node, relation, way] = &found[..] else { panic!("{found:?}") };
    assert_eq!(relation.id, "r9");
    assert_eq!(relation.refs(), [way.id.clone(), node.id.clone()]);
    assert_eq!(way.refs(), [node.id.clone(), "n8".to_owned()]);
    assert_eq!(place(way), [[30, 40, 30, 40]]);
    assert_eq!(place(relation), [[30, 40, 30, 40]]);
    assert_eq!(read(&file, &Ids::New).0, found, "the same file again");
    let other = [&file[..], &blob("other", &new())].concat();
    assert_ne!(read(&other, &Ids::New).0[0].id, node.id);
    let named = |name: &str| read(&file, &Ids::Named(name.to_owned())).0;
    assert!(named("a") == read(&other, &Ids::Named("a".to_owned())).0 && named("a") != named("b"));
    assert_eq!(ids(&read(&file, &Ids::Keep).0), ["n-1", "r9", "w-3"]);
}

#[test]
fn a_packed_file_is_unpacked() {
    let whole = [header(), data(&[node(1, 1, 30, 40, 2)])].concat();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&whole).unwrap();
    let packed = encoder.finish().unwrap();
    assert_eq!(features(&packed).0, features(&whole).0);
    let cut = import(&packed[..packed.len() - 9]);
    assert!(matches!(cut, Err(ImportError::Truncated { .. })), "{cut:?}");
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let whole = [header(), data(&[node(1, 1, 30, 40, 2)])].concat();
    let dir = tempfile::tempdir().unwrap();
    let import = read_stream("standard input", &whole[..], &Ids::Keep, dir.path(), &mut |_| ()).unwrap();
    assert_eq!(import.counts().nodes, 1);
    let error = read_stream("standard input", &whole[..40], &Ids::Keep, dir.path(), &mut |_| ()).unwrap_err();
    assert!(error.to_string().starts_with("standard input is cut short"), "{error}");
}

#[test]
fn values_that_do_not_fit_are_damage_not_a_panic() {
    let member = data(&[relation(9, &[(7, 1)])]);
    let sum = data(&[
        new().bytes(2, new().packed(1, &[zigzag(i64::MAX), 2]).packed(8, &[0, 0]).packed(9, &[0, 0]).0)
    ]);
    let lists = data(&[new().bytes(2, new().packed(1, &[2]).0)]);
    let expected = [Damage::MemberType(7), Damage::Range, Damage::Lists { of: "nodes" }];
    for (bad, expected) in [member, sum, lists].into_iter().zip(expected) {
        match import(&[header(), bad].concat()) {
            Err(ImportError::Damaged { damage, offset: 35, .. }) => assert_eq!(damage, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_extract_of_nothing_is_empty() {
    assert!(import(&header()).unwrap().is_empty());
    assert!(matches!(import(&header()[..20]), Err(ImportError::Truncated { .. })));
    assert!(matches!(import(&[header(), vec![0]].concat()), Err(ImportError::Truncated { .. })));
}
