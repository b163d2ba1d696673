//! Files to import.

use crate::{Seeds, named, out};
use kappadb_fuzz::{PbfBlob, pbf_file};
use kappadb_geo::{Body, Feature, geojson};

pub(crate) fn import_geojson(features: &[Feature]) -> Seeds {
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

/// OSM XML, from the reader's own tests.
pub(crate) fn import_osm() -> Seeds {
    let harbour = include_bytes!("../../../crates/import/tests/data/harbour.osm");
    vec![("harbour".to_owned(), harbour.to_vec())]
}

/// osmChange, from the reader's own tests.
pub(crate) fn import_osc() -> Seeds {
    vec![("day".to_owned(), include_bytes!("../../../crates/import/tests/data/day.osc").to_vec())]
}

/// Just enough of Protocol Buffers to write.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

pub(crate) fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(crate) fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)).cast_unsigned()
}

pub(crate) fn differences(numbers: &[i64]) -> Vec<u64> {
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

pub(crate) fn import_pbf() -> Seeds {
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
