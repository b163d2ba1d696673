//! OSM XML as written, read by another implementation of XML.
#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::{Coord, Extent, Timestamp};
use kappadb_geo::osm_xml::{MAX_TEXT, Writer, XmlError};
use kappadb_geo::{Body, Edit, Element, ElementKind, Feature, Member, Meta, Shape, WayNode, geojson, id};
use proptest::prelude::*;
use quick_xml::events::Event;
use quick_xml::{Reader, XmlVersion};
use std::io;
use std::sync::Arc;

fn element(id: &str, shape: Shape, tags: &[(&str, &str)], meta: Option<Meta>) -> Feature {
    let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Feature { id: id.to_owned(), body: Body::Osm(Element { shape, tags, meta }) }
}

fn node(id: &str, tags: &[(&str, &str)], meta: Option<Meta>) -> Feature {
    element(id, Shape::Node(Coord { lon: 249_352_000, lat: -5 }), tags, meta)
}

fn written(features: &[Feature]) -> String {
    let mut writer = Writer::begin(Vec::new(), None).unwrap();
    features.iter().for_each(|feature| writer.write(feature).unwrap());
    String::from_utf8(writer.finish().unwrap()).unwrap()
}

/// Tags in their order, each with its attributes.
fn tags_of(text: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut reader = Reader::from_str(text);
    let mut tags = Vec::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) | Event::Empty(tag) => {
                let attributes = tag.attributes().map(|attribute| {
                    let attribute = attribute.unwrap();
                    let value = attribute.normalized_value(XmlVersion::Implicit1_0).unwrap().into_owned();
                    (attribute.key.into_inner().to_owned(), value)
                });
                tags.push((tag.name().into_inner().to_owned(), attributes.collect()));
            }
            Event::Eof => return tags,
            _ => {}
        }
    }
}

#[test]
fn a_document_as_the_programs_of_openstreetmap_read_it() {
    let time = Some(Timestamp(1_795_399_821_000));
    let edit = Edit { time, changeset: 9, uid: 7, user: "Åsa & co".to_owned() };
    let meta = Meta { version: 3, edit: edit.clone() };
    let at = |id| WayNode { at: Coord::from_units(1, 1), ..WayNode::new(id) };
    let member = |kind, id, role: &str| Member { kind, id, role: role.to_owned() };
    let members = vec![
        member(ElementKind::Way, 5, "outer"),
        member(ElementKind::Node, -6, ""),
        member(ElementKind::Relation, 8, "a\"b"),
    ];
    let relation = Shape::Relation { members, extent: "1,1,2,2".parse().unwrap() };
    let bounds: Extent = "24.9,60.1,25,60.2".parse().unwrap();
    let mut writer = Writer::begin(Vec::new(), Some(&bounds)).unwrap();
    writer.write(&node("n1", &[], Some(meta.clone()))).unwrap();
    let pole = WayNode { at: Coord::from_units(-1, 900_000_000), ..WayNode::new(2) };
    writer.write_vertex(&pole).unwrap();
    writer.write_vertex(&WayNode { id: 4, version: 5, edit: Some(Arc::new(edit)), ..pole }).unwrap();
    writer.write(&node("n-3", &[("name", "<A>")], None)).unwrap();
    writer
        .write(&element(
            "w5",
            Shape::Way(vec![at(1), at(2), at(1)]),
            &[("highway", "service")],
            Some(Meta { version: 3, edit: Edit { changeset: 9, ..Edit::default() } }),
        ))
        .unwrap();
    writer.write(&element("r9", relation, &[], None)).unwrap();
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<osm version="0.6" generator="kappadb">
  <bounds minlat="60.1000000" minlon="24.9000000" maxlat="60.2000000" maxlon="25.0000000"/>
  <node id="1" version="3" timestamp="2026-11-23T02:10:21Z" changeset="9" uid="7" user="Åsa &amp; co" lat="-0.0000005" lon="24.9352000"/>
  <node id="2" lat="90.0000000" lon="-0.0000001"/>
  <node id="4" version="5" timestamp="2026-11-23T02:10:21Z" changeset="9" uid="7" user="Åsa &amp; co" lat="90.0000000" lon="-0.0000001"/>
  <node id="-3" lat="-0.0000005" lon="24.9352000">
    <tag k="name" v="&lt;A&gt;"/>
  </node>
  <way id="5" version="3" changeset="9">
    <nd ref="1"/>
    <nd ref="2"/>
    <nd ref="1"/>
    <tag k="highway" v="service"/>
  </way>
  <relation id="9">
    <member type="way" ref="5" role="outer"/>
    <member type="node" ref="-6" role=""/>
    <member type="relation" ref="8" role="a&quot;b"/>
  </relation>
</osm>
"#;
    assert_eq!(String::from_utf8(writer.finish().unwrap()).unwrap(), expected);
}

#[test]
fn bounds_across_the_antimeridian_are_two() {
    let fiji: Extent = "177,-20,-178,-15".parse().unwrap();
    let text = String::from_utf8(Writer::begin(Vec::new(), Some(&fiji)).unwrap().finish().unwrap()).unwrap();
    assert_eq!(tags_of(&text).iter().filter(|(name, _)| name == "bounds").count(), 2);
    assert!(text.contains(r#"minlon="-180.0000000" maxlat="-15.0000000" maxlon="-178.0000000""#), "{text}");
}

#[test]
fn what_is_no_element_is_refused_and_leaves_no_trace() {
    let mut writer = Writer::begin(Vec::new(), None).unwrap();
    let free = geojson::from_text(
        r#"{"type":"Feature","id":"n1","geometry":{"type":"Point","coordinates":[1,2]},"properties":{}}"#,
    );
    let long = "x".repeat(MAX_TEXT + 1);
    assert!(matches!(writer.write(&free.unwrap()), Err(XmlError::NotAnElement { id }) if id == "g:n1"));
    assert!(matches!(writer.write(&node("w1", &[], None)), Err(XmlError::NotAnElement { .. })));
    assert!(matches!(writer.write(&node("x", &[], None)), Err(XmlError::NotAnElement { .. })));
    let too_long = writer.write(&node("n1", &[("note", &long)], None));
    assert!(matches!(too_long, Err(XmlError::TextTooLong { bytes, .. }) if bytes == MAX_TEXT + 1));
    writer.write(&node("n1", &[("note", &long[1..])], None)).unwrap();
    let text = String::from_utf8(writer.finish().unwrap()).unwrap();
    assert_eq!(tags_of(&text).len(), 3);
}

#[test]
fn values_that_no_program_reads_are_left_out() {
    let time = Some(Timestamp(i64::MAX));
    let edit = Edit { time, changeset: i64::MIN, uid: 1 << 40, user: String::new() };
    let hostile = Meta { version: u32::MAX, edit: edit.clone() };
    let text = written(&[
        node("n1", &[], Some(hostile.clone())),
        node("n-1", &[], Some(Meta { version: u32::MAX, edit: Edit { time: Some(Timestamp(-1)), ..edit } })),
    ]);
    assert!(text.contains(r#"<node id="1" lat="#), "{text}");
    assert!(text.contains(r#"<node id="-1" lat="#), "{text}");
}

#[test]
fn times_are_written_to_the_second_as_osmium_reads_them() {
    let edit = Edit { time: Some(Timestamp(1_714_557_600_123)), ..Edit::default() };
    let text = written(&[node("n1", &[], Some(Meta { version: 1, edit }))]);
    assert!(text.contains(r#"timestamp="2024-05-01T10:00:00Z""#), "{text}");
}

#[test]
fn ids_that_osmium_does_not_read_are_told_and_not_written() {
    for number in [i64::MIN, i64::MAX] {
        let mut writer = Writer::begin(Vec::new(), None).unwrap();
        let way = Shape::Way(vec![WayNode::new(1), WayNode::new(number)]);
        let members = vec![Member { kind: ElementKind::Way, id: number, role: String::new() }];
        let relation = Shape::Relation { members, extent: Extent::NOWHERE };
        for refused in [
            node(&id::osm(ElementKind::Node, number), &[], None),
            element("w1", way, &[], None),
            element("r1", relation, &[], None),
        ] {
            assert!(
                matches!(writer.write(&refused), Err(XmlError::ExtremeId { number: n, .. }) if n == number)
            );
        }
        let vertex = WayNode { at: Coord::from_units(1, 1), ..WayNode::new(number) };
        assert!(matches!(writer.write_vertex(&vertex), Err(XmlError::ExtremeId { .. })));
        let nearly = number.checked_sub(number.signum()).unwrap();
        writer.write(&node(&id::osm(ElementKind::Node, nearly), &[], None)).unwrap();
        assert_eq!(tags_of(&String::from_utf8(writer.finish().unwrap()).unwrap()).len(), 2);
    }
}

#[test]
fn errors_of_the_disk_are_told() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if bytes.len() < 60 { Ok(bytes.len()) } else { Err(io::ErrorKind::StorageFull.into()) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::begin(Full, None).unwrap();
    let note = "x".repeat(80);
    let error = writer.write(&node("n1", &[("note", &note)], None)).unwrap_err();
    assert!(matches!(error, XmlError::Io(error) if error.kind() == io::ErrorKind::StorageFull));
}

/// What XML has no way to say is replaced.
fn sayable(text: &str) -> String {
    let forbidden = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || c == '\u{fffe}' || c == '\u{ffff}';
    text.chars().map(|c| if forbidden(c) { '\u{fffd}' } else { c }).collect()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,6}", "[ -?\\]&\"'\t\n\r\u{0}-\u{1f}\u{85}\u{2028}\u{fffe}\u{ffff}]{0,6}"]
}

proptest! {
    #[test]
    fn every_text_and_every_position_survives(
        tags in prop::collection::vec((text(), text()), 0..4),
        role in text(),
        (number, lon, lat) in (any::<i64>(), -1_800_000_000..=1_800_000_000i64, -900_000_000..=900_000_000i64),
    ) {
        let at = Coord::from_units(lon, lat).unwrap();
        let borrowed: Vec<(&str, &str)> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let members = vec![Member { kind: ElementKind::Node, id: number, role: role.clone() }];
        let relation = Shape::Relation { members, extent: Extent::of_path([at]) };
        let text = written(&[
            element(&id::osm(ElementKind::Node, number), Shape::Node(at), &borrowed, None),
            element(&id::osm(ElementKind::Relation, number), relation, &[], None),
        ]);
        let found = tags_of(&text);
        let value = |name: &str, key: &str| -> Vec<String> {
            let named = found.iter().filter(|(tag, _)| tag == name).flat_map(|(_, attributes)| attributes);
            named.filter(|(k, _)| k == key).map(|(_, value)| value.clone()).collect()
        };
        prop_assert_eq!(value("tag", "k"), tags.iter().map(|(k, _)| sayable(k)).collect::<Vec<_>>());
        prop_assert_eq!(value("tag", "v"), tags.iter().map(|(_, v)| sayable(v)).collect::<Vec<_>>());
        prop_assert_eq!(value("member", "role"), [sayable(&role)]);
        prop_assert_eq!(value("member", "ref"), [number.to_string()]);
        let degrees = |key| value("node", key).first().map(|text| text.parse::<f64>().unwrap());
        let (Some(lon), Some(lat)) = (degrees("lon"), degrees("lat")) else { panic!("no position") };
        prop_assert_eq!(Coord::from_degrees(lon, lat), Ok(at));
    }
}
