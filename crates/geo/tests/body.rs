//! Bodies: round trips, limits, noise.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb_core::codec::{self, DecodeError};
use kappadb_core::{Coord, Extent, Timestamp};
use kappadb_geo::{
    Body, Edit, Element, ElementKind, Feature, FeatureError, Free, Geometry, GeometryError, IdError,
    MAX_BODY, Member, Meta, Part, Shape, WayNode, decode, decode_delete, delete, encode, join_extents, put,
};
use proptest::prelude::*;
use std::sync::Arc;

fn coord() -> impl Strategy<Value = Coord> {
    let lon = prop_oneof![4 => -1_800_000_000..=1_800_000_000i64, 1 => Just(1_800_000_000), 1 => Just(-1_800_000_000)];
    (lon, -900_000_000..=900_000_000i64).prop_map(|(lon, lat)| Coord::from_units(lon, lat).unwrap())
}

fn path(least: usize) -> impl Strategy<Value = Vec<Coord>> {
    prop::collection::vec(coord(), least..least + 6)
}

fn ring() -> impl Strategy<Value = Vec<Coord>> {
    path(3).prop_map(|mut ring| {
        ring.push(ring[0]);
        ring
    })
}

fn part() -> impl Strategy<Value = Part> {
    let rings = || prop::collection::vec(ring(), 0..3);
    prop_oneof![
        coord().prop_map(Part::Point),
        path(0).prop_map(Part::MultiPoint),
        path(2).prop_map(Part::LineString),
        prop::collection::vec(path(2), 0..3).prop_map(Part::MultiLineString),
        rings().prop_map(Part::Polygon),
        prop::collection::vec(rings(), 0..3).prop_map(Part::MultiPolygon),
    ]
}

fn free() -> impl Strategy<Value = Body> {
    let geometry = prop_oneof![
        Just(Geometry::Null),
        part().prop_map(Geometry::Single),
        prop::collection::vec(part(), 0..3).prop_map(Geometry::Collection)
    ];
    let properties = prop_oneof![
        Just("null".to_owned()),
        ".{0,9}".prop_map(|s| serde_json::json!({ "name": s, "n": 1.5 }).to_string())
    ];
    let foreign =
        prop::sample::select(vec!["", r#"{"bbox":[1,2,3,4]}"#, r#"{"title":"x","when":{"a":null}}"#]);
    (geometry, properties, foreign).prop_map(|(geometry, properties, foreign)| {
        Body::Free(Free { foreign: foreign.to_owned(), ..Free::new(geometry, properties) })
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    let node = (any::<i64>(), prop::option::of(coord()), 0..3u32, prop::option::of(edit()))
        .prop_map(|(id, at, version, edit)| WayNode { id, at, version, edit: edit.map(Arc::new) });
    let kind = prop_oneof![Just(ElementKind::Node), Just(ElementKind::Way), Just(ElementKind::Relation)];
    let member = (kind, any::<i64>(), ".{0,5}").prop_map(|(kind, id, role)| Member { kind, id, role });
    let extent =
        prop::collection::vec(path(1).prop_map(Extent::of_path), 0..4).prop_map(|parts| join_extents(&parts));
    prop_oneof![
        coord().prop_map(Shape::Node),
        prop::collection::vec(node, 0..9).prop_map(Shape::Way),
        (prop::collection::vec(member, 0..5), extent)
            .prop_map(|(members, extent)| Shape::Relation { members, extent }),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let few = (prop::option::of(0..2i64), 0..2i64).prop_map(|(time, uid)| (time, 7, uid, String::new()));
    let any = (prop::option::of(any::<i64>()), any::<i64>(), any::<i64>(), ".{0,5}");
    prop_oneof![few, any].prop_map(|(time, changeset, uid, user)| Edit {
        time: time.map(Timestamp),
        changeset,
        uid,
        user,
    })
}

fn osm() -> impl Strategy<Value = Body> {
    let meta = (any::<u32>(), edit()).prop_map(|(version, edit)| Meta { version, edit });
    let tags = prop::collection::vec((".{0,5}", ".{0,5}"), 0..4);
    (shape(), tags, prop::option::of(meta))
        .prop_map(|(shape, tags, meta)| Body::Osm(Element { shape, tags, meta }))
}

fn feature() -> impl Strategy<Value = Feature> {
    prop_oneof![osm(), free()].prop_map(|body| {
        let id = match &body {
            Body::Osm(element) => format!("{}7", element.shape.kind().letter()),
            Body::Free(_) => "seven".to_owned(),
        };
        Feature { id, body }
    })
}

/// Mostly on the map, and then as near its edge as can be.
fn odd_coord() -> impl Strategy<Value = Coord> {
    let off = (any::<i32>(), any::<i32>()).prop_map(|(lon, lat)| Coord { lon, lat });
    let edge = (1_799_999_999..=1_800_000_001i32, 899_999_999..=900_000_001i32, any::<(bool, bool)>());
    let edge = edge.prop_map(|(lon, lat, (west, south)): (i32, i32, (bool, bool))| Coord {
        lon: if west { -lon } else { lon },
        lat: if south { -lat } else { lat },
    });
    prop_oneof![8 => coord(), 1 => edge, 1 => off]
}

/// Features of which one thing or another may break a rule.
fn odd_feature() -> impl Strategy<Value = Feature> {
    let path = || prop::collection::vec(odd_coord(), 0..6);
    let paths = || {
        let closed = path().prop_map(|mut ring| {
            ring.extend(ring.first().copied());
            ring
        });
        prop::collection::vec(prop_oneof![1 => path(), 3 => closed], 0..3)
    };
    let part = prop_oneof![
        odd_coord().prop_map(Part::Point),
        path().prop_map(Part::MultiPoint),
        path().prop_map(Part::LineString),
        paths().prop_map(Part::MultiLineString),
        paths().prop_map(Part::Polygon),
        prop::collection::vec(paths(), 0..3).prop_map(Part::MultiPolygon),
    ];
    let properties =
        prop::sample::select(vec!["null", "{}", "{ }", "[1]", "", r#"{"a":1e999}"#, r#"{"a":1.0}"#]);
    let written =
        prop::sample::select(vec!["", "", "null", r#"{"type":"Point","coordinates":[1,2,3]}"#, "x"]);
    let foreign = prop::sample::select(vec!["", "", "{}", r#"{"bbox":[1]}"#, r#"{"type":1}"#, "null"]);
    let free = (part, any::<bool>(), properties, written, foreign).prop_map(
        |(part, single, properties, written, foreign)| {
            let geometry = if single { Geometry::Single(part) } else { Geometry::Collection(vec![part]) };
            let (written, foreign) = (written.to_owned(), foreign.to_owned());
            Body::Free(Free { written, foreign, ..Free::new(geometry, properties.to_owned()) })
        },
    );
    let boxes = || prop::collection::vec(path().prop_map(Extent::of_path), 0..3);
    let extent = prop_oneof![
        boxes().prop_map(|parts: Vec<Extent>| join_extents(&parts)),
        boxes().prop_map(|parts: Vec<Extent>| Extent::around(&parts)),
    ];
    let shape = prop_oneof![
        odd_coord().prop_map(Shape::Node),
        path().prop_map(|path| {
            Shape::Way(path.into_iter().map(|at| WayNode { at: Some(at), ..WayNode::new(1) }).collect())
        }),
        extent.prop_map(|extent| Shape::Relation { members: Vec::new(), extent }),
    ];
    let odd = shape.prop_map(|shape| Body::Osm(Element { shape, tags: Vec::new(), meta: None }));
    let body = prop_oneof![osm(), odd, free];
    let id = prop::sample::select(vec!["n1", "w1", "r1", "x", "x", "", "n01"]);
    (body, id).prop_map(|(body, id)| Feature { id: id.to_owned(), body })
}

proptest! {
    #[test]
    fn features_round_trip(feature in feature()) {
        let bytes = encode(&feature.body);
        let prepared = put(&feature).unwrap();
        prop_assert_eq!(&prepared.payload, &bytes);
        prop_assert_eq!(&prepared.places.extents.len(), &feature.extent().boxes().len());
        prop_assert_eq!(decode(&feature.id, &bytes), Ok(feature));
    }

    /// What a feature's public fields hold is looked at, not what becomes of it in bytes: that must come to the same.
    #[test]
    fn what_is_written_can_be_read_and_what_cannot_is_refused(feature in odd_feature()) {
        let read = decode(&feature.id, &encode(&feature.body));
        prop_assert_eq!(put(&feature).is_ok(), read == Ok(feature));
    }

    #[test]
    fn noise_never_panics_and_what_decodes_is_canonical(
        kind in 0u8..5,
        mut bytes in prop::collection::vec(prop_oneof![0u8..9, any::<u8>()], 0..60),
    ) {
        bytes.splice(0..0, [1, kind]);
        for id in ["n1", "w1", "r1", "x"] {
            if let Ok(feature) = decode(id, &bytes) {
                prop_assert_eq!(encode(&feature.body), bytes.clone());
            }
        }
    }

    #[test]
    fn a_changed_byte_never_panics(feature in feature(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = encode(&feature.body);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(feature) = decode(&feature.id, &bytes) {
            prop_assert_eq!(encode(&feature.body), bytes);
        }
    }

    /// Edits that come twice, or for no node, or in another order than their nodes; versions of all nodes, or of some, or none.
    #[test]
    fn what_is_said_of_the_nodes_of_a_way_has_one_form(
        nodes in 0..4usize,
        edits in prop::collection::vec(0..3i64, 0..3),
        said in prop::collection::vec((0..2u32, -1..4i64), 0..4),
    ) {
        let way = vec![WayNode { at: Some(Coord { lon: 1, lat: 2 }), ..WayNode::new(7) }; nodes];
        let mut bytes = encode(&Body::Osm(Element { shape: Shape::Way(way), tags: Vec::new(), meta: None }));
        bytes.truncate(bytes.len() - 2);
        let edits: Vec<Edit> =
            edits.into_iter().map(|changeset| Edit { changeset, ..Edit::default() }).collect();
        codec::encode_into(&edits, &mut bytes);
        let differences = (0..).zip(&said).map(|(i, (version, number))| {
            let before = usize::checked_sub(i, 1).and_then(|i| said.get(i)).map_or(0, |said| said.1);
            (*version, number - before)
        });
        codec::encode_into(&differences.collect::<Vec<_>>(), &mut bytes);
        if let Ok(feature) = decode("w1", &bytes) {
            prop_assert_eq!(encode(&feature.body), bytes);
        }
    }

    #[test]
    fn a_body_cut_short_is_refused(feature in feature(), at in any::<prop::sample::Index>()) {
        let bytes = encode(&feature.body);
        let len = at.index(bytes.len());
        prop_assert!(decode(&feature.id, &bytes[..len]).is_err());
    }
}

fn point(lon: i32) -> Body {
    let geometry = Geometry::Single(Part::Point(Coord { lon, lat: 0 }));
    Body::Free(Free::new(geometry, "{}".to_owned()))
}

fn named(id: &str, body: Body) -> Feature {
    Feature { id: id.to_owned(), body }
}

#[test]
fn known_bytes() {
    let node = Element {
        shape: Shape::Node(Coord { lon: 1, lat: -1 }),
        tags: vec![("a".to_owned(), "b".to_owned())],
        meta: None,
    };
    assert_eq!(encode(&Body::Osm(node)), [1, 0, 1, 1, b'a', 1, b'b', 0, 2, 1]);
    let at = |lon, lat| Some(Coord { lon, lat });
    let corner = |id, at| WayNode { at, ..WayNode::new(id) };
    let mut nodes = vec![corner(5, at(1, 1)), WayNode::new(6), corner(5, at(2, 3))];
    let way = |nodes| Body::Osm(Element { shape: Shape::Way(nodes), tags: Vec::new(), meta: None });
    let places = [1, 1, 0, 0, 3, 10, 2, 1, 1, 2, 2, 2, 2, 2, 4];
    assert_eq!(encode(&way(nodes.clone())), [&places[..], &[0, 0]].concat());
    (nodes[0].version, nodes[0].edit) = (3, Some(Arc::new(Edit { uid: 1, ..Edit::default() })));
    let said = [1, 0, 0, 2, 0, 3, 3, 2, 0, 1, 0, 0];
    assert_eq!(encode(&way(nodes)), [&places[..], &said].concat());
    assert_eq!(encode(&point(3)), [1, 3, 0, 0, 6, 0, 2, b'{', b'}']);
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let wrong = |id: &str| Err(FeatureError::WrongKind { id: id.to_owned() });
    assert_eq!(put(&named("n1", point(1))), wrong("n1"));
    let node =
        Body::Osm(Element { shape: Shape::Node(Coord { lon: 0, lat: 0 }), tags: Vec::new(), meta: None });
    assert_eq!(put(&named("w1", node.clone())), wrong("w1"));
    assert_eq!(put(&named("x", node)), wrong("x"));
    assert_eq!(put(&named("", point(1))), Err(FeatureError::Id(IdError::Empty)));
    assert!(matches!(put(&named("x", point(1_800_000_001))), Err(FeatureError::Body { .. })));
    let with = |geometry, properties: &str| Body::Free(Free::new(geometry, properties.to_owned()));
    let at = Coord { lon: 0, lat: 0 };
    let short = put(&named("x", with(Geometry::Single(Part::LineString(vec![at])), "{}")));
    assert!(matches!(short, Err(FeatureError::Geometry { source: GeometryError::ShortLine(1), .. })));
    let text = put(&named("x", with(Geometry::Single(Part::Point(at)), "[1]")));
    assert!(matches!(text, Err(FeatureError::Body { source: DecodeError::Malformed { .. }, .. })));
}

#[test]
fn the_largest_body_fits_and_the_next_does_not() {
    let sized = |len: usize| {
        let empty = encode(&point(1)).len() - 2;
        let padding = len - empty - 4 - r#"{"a":""}"#.len();
        let properties = format!("{{\"a\":\"{}\"}}", "x".repeat(padding));
        let geometry = Geometry::Single(Part::Point(Coord { lon: 1, lat: 0 }));
        named("big", Body::Free(Free::new(geometry, properties)))
    };
    let largest = put(&sized(MAX_BODY)).unwrap();
    assert_eq!(largest.payload.len(), MAX_BODY);
    let bytes = MAX_BODY + 1;
    assert_eq!(
        put(&sized(bytes)),
        Err(FeatureError::TooLarge { id: "big".to_owned(), bytes, limit: MAX_BODY })
    );
}

/// bincode counts what a value takes in memory against its limit; many small values must not run into it.
#[test]
fn many_small_things_round_trip() {
    let tags = vec![("a".to_owned(), String::new()); 200_000];
    let node =
        named("n1", Body::Osm(Element { shape: Shape::Node(Coord { lon: 0, lat: 0 }), tags, meta: None }));
    assert_eq!(decode("n1", &put(&node).unwrap().payload), Ok(node));
    let geometry = Geometry::Single(Part::MultiPolygon(vec![Vec::new(); 500_000]));
    let parts =
        Geometry::Collection(vec![geometry.parts()[0].clone(), Part::Point(Coord { lon: 0, lat: 0 })]);
    let many = named("x", Body::Free(Free::new(parts, "null".to_owned())));
    assert_eq!(decode("x", &put(&many).unwrap().payload), Ok(many));
}

/// A list of small items takes many times its bytes in memory, so their number has a limit of its own.
#[test]
fn lists_have_a_limit() {
    use kappadb_core::limits::MAX_FEATURE_ITEMS;
    let tagged = |count| {
        let tags = vec![(String::new(), String::new()); count];
        named("n1", Body::Osm(Element { shape: Shape::Node(Coord { lon: 0, lat: 0 }), tags, meta: None }))
    };
    assert!(put(&tagged(MAX_FEATURE_ITEMS)).is_ok());
    assert!(matches!(put(&tagged(MAX_FEATURE_ITEMS + 1)), Err(FeatureError::Body { .. })));
    let path = vec![Coord { lon: 0, lat: 0 }; MAX_FEATURE_ITEMS + 1];
    let geometry = Geometry::Single(Part::LineString(path));
    assert!(put(&named("x", Body::Free(Free::new(geometry, "{}".to_owned())))).is_ok());
}

/// Paths without positions would be all overhead.
#[test]
fn short_rings_do_not_decode() {
    for geometry in
        [Part::Polygon(vec![Vec::new()]), Part::MultiLineString(vec![vec![Coord { lon: 0, lat: 0 }]])]
    {
        let body = Body::Free(Free::new(Geometry::Single(geometry), "{}".to_owned()));
        assert!(matches!(decode("x", &encode(&body)), Err(FeatureError::Body { .. })));
    }
}

#[test]
fn a_claimed_count_costs_nothing() {
    let huge = [253, 255, 255, 255, 255, 255, 255, 255, 127];
    for start in [&[1u8, 0][..], &[1, 1, 0, 0], &[1, 2, 0, 0], &[1, 3, 0, 1], &[1, 3, 1], &[1, 3, 0, 5]] {
        assert!(decode("x", &[start, &huge].concat()).is_err());
    }
}

#[test]
fn a_delete_is_nowhere_and_says_nothing() {
    let prepared = delete("n1", None).unwrap();
    assert_eq!(prepared.key, b"n1");
    assert!(prepared.places.is_empty() && prepared.payload.is_empty());
    assert_eq!(delete("", None), Err(FeatureError::Id(IdError::Empty)));
}

#[test]
fn a_delete_says_which_edit_it_comes_from() {
    let said = Edit { time: Some(Timestamp(5)), changeset: 9, uid: 3, user: "ed".to_owned() };
    let edit = Meta { version: 7, edit: said.clone() };
    let prepared = delete("w1", Some(&edit)).unwrap();
    assert_eq!(decode_delete(&prepared.payload), Ok(Some(edit.clone())));
    assert_eq!(decode_delete(&[]), Ok(None));
    assert!(decode_delete(&prepared.payload[1..]).is_err());
    let chatty = Meta { version: 7, edit: Edit { user: "x".repeat(10_000), ..said } };
    assert!(matches!(delete("w1", Some(&chatty)), Err(FeatureError::TooLarge { .. })));
}

#[test]
fn a_feature_refers_to_what_it_is_made_of() {
    let node = |id| WayNode { at: Coord::from_units(0, 0), ..WayNode::new(id) };
    let way = Shape::Way(vec![node(2), node(2), node(1), node(2)]);
    let feature = Feature {
        id: "w1".to_owned(),
        body: Body::Osm(Element { shape: way, tags: Vec::new(), meta: None }),
    };
    assert_eq!(feature.refs(), ["n2", "n1", "n2"]);
    assert_eq!(put(&feature).unwrap().refs, [b"n2", b"n1", b"n2"]);
}
