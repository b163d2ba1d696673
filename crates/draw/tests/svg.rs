//! Pictures: well-formed, within the paper, names apart, whatever is drawn.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may fail loudly")]

use kappadb_core::{Coord, Extent};
use kappadb_draw::{OSM_ATTRIBUTION, Shape, around, outline, render, render_with};
use kappadb_geo::geojson::from_text;
use kappadb_geo::{Body, Element, ElementKind, Feature, Member, Shape as ElementShape, WayNode};
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Streets of Helsinki, about a kilometre each way.
const VIEW: &str = "24.93,60.165,24.95,60.175";
/// What paths may lie outside the paper, so that their cut ends are not seen.
const MARGIN: f64 = 24.1;

fn view() -> Extent {
    VIEW.parse().unwrap()
}

fn coord(lon: f64, lat: f64) -> Coord {
    Coord::from_degrees(lon, lat).unwrap()
}

fn osm(id: &str, shape: ElementShape, tags: &[(&str, &str)]) -> Feature {
    let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Feature { id: id.to_owned(), body: Body::Osm(Element { shape, tags, meta: None }) }
}

/// A way; equal positions are one node.
fn way(id: i64, path: &[(f64, f64)], tags: &[(&str, &str)]) -> Feature {
    let at: Vec<Coord> = path.iter().map(|&(lon, lat)| coord(lon, lat)).collect();
    let node =
        |c: &Coord| WayNode { at: Some(*c), ..WayNode::new(i64::from(c.lon) << 32 | i64::from(c.lat)) };
    osm(&format!("w{id}"), ElementShape::Way(at.iter().map(node).collect()), tags)
}

/// A node about 0..=1 across and 0..=1 up the view.
fn node(id: usize, x: f64, y: f64, tags: &[(&str, &str)]) -> Feature {
    osm(&format!("n{id}"), ElementShape::Node(coord(24.93 + x * 0.02, 60.165 + y * 0.01)), tags)
}

/// A closed way around a part of the view.
fn square(id: i64, from: f64, to: f64, tags: &[(&str, &str)]) -> Feature {
    let (w, e, s, n) = (24.93 + from * 0.02, 24.93 + to * 0.02, 60.165 + from * 0.01, 60.165 + to * 0.01);
    way(id, &[(w, s), (e, s), (e, n), (w, n), (w, s)], tags)
}

fn relation(id: i64, members: &[(i64, &str)], tags: &[(&str, &str)]) -> Feature {
    let member = |&(id, role): &(i64, &str)| Member { kind: ElementKind::Way, id, role: role.to_owned() };
    let members = members.iter().map(member).collect();
    osm(&format!("r{id}"), ElementShape::Relation { members, extent: view() }, tags)
}

fn free(geometry: &str, properties: &str) -> Feature {
    from_text(&format!(r#"{{"type":"Feature","geometry":{geometry},"properties":{properties}}}"#)).unwrap()
}

fn shapes(features: impl IntoIterator<Item = Feature>) -> Vec<Shape> {
    features.into_iter().map(|feature| Shape { feature, fetched: true }).collect()
}

fn draw(features: impl IntoIterator<Item = Feature>) -> Picture {
    Picture::of(&render(&view(), &shapes(features)))
}

type Subpaths = Vec<Vec<(f64, f64)>>;

/// A picture, read back.
#[derive(Debug, Default, PartialEq)]
struct Picture {
    width: f64,
    height: f64,
    /// Class of the group, its fill, and the subpaths.
    paths: Vec<(String, String, Subpaths)>,
    texts: Vec<Text>,
    discs: usize,
}

/// What paths and texts take over from the group that they are in.
#[derive(Debug, Default, Clone, PartialEq)]
struct Group {
    class: String,
    fill: String,
    anchor: Option<String>,
}

impl Group {
    fn of(tag: &BytesStart<'_>) -> Group {
        let said = |name| attribute(tag, name);
        Group {
            class: said("class").unwrap_or_default(),
            fill: said("fill").unwrap_or_default(),
            anchor: said("text-anchor"),
        }
    }
}

#[derive(Debug, Default, Clone, PartialEq)]
struct Text {
    x: f64,
    y: f64,
    size: f64,
    angle: f64,
    anchor: String,
    text: String,
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.try_get_attribute(name).unwrap()?;
    Some(found.value.to_string())
}

fn number(tag: &BytesStart<'_>, name: &str) -> f64 {
    attribute(tag, name).map_or(0.0, |v| v.parse().unwrap())
}

impl Picture {
    fn of(svg: &str) -> Picture {
        let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
        assert!(svg.chars().all(legal), "{svg}");
        let mut reader = Reader::from_str(svg);
        let mut picture = Picture::default();
        let mut groups: Vec<Group> = Vec::new();
        let mut open: Option<Text> = None;
        loop {
            match reader.read_event().unwrap() {
                Event::Start(tag) => match tag.name().as_ref() {
                    "svg" => picture.size(&attribute(&tag, "viewBox").unwrap()),
                    "g" => groups.push(Group::of(&tag)),
                    "text" => open = Some(Text::of(&tag, groups.last())),
                    other => panic!("{other:?}"),
                },
                Event::Empty(tag) => match tag.name().as_ref() {
                    "path" => {
                        let Group { class, fill, .. } = groups.last().cloned().unwrap();
                        if class != "labels" && class != "scale" {
                            picture.paths.push((class, fill, subpaths(&attribute(&tag, "d").unwrap())));
                        }
                    }
                    "circle" => picture.discs += 1,
                    "rect" => {}
                    other => panic!("{other:?}"),
                },
                Event::Text(text) => {
                    if let Some(open) = &mut open {
                        open.text.push_str(text.as_ref());
                    }
                }
                Event::GeneralRef(name) => {
                    assert!(["amp", "lt", "gt", "quot"].contains(&name.as_ref()));
                    open.as_mut().unwrap().text.push('?');
                }
                Event::End(tag) => match tag.name().as_ref() {
                    "g" => drop(groups.pop()),
                    "text" => picture.texts.extend(open.take()),
                    _ => {}
                },
                Event::Eof => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(groups.is_empty() && open.is_none());
        picture
    }

    fn size(&mut self, view: &str) {
        let numbers: Vec<f64> = view.split(' ').map(|n| n.parse().unwrap()).collect();
        (self.width, self.height) = (numbers[2], numbers[3]);
        assert_eq!(numbers[..2], [0.0, 0.0]);
    }

    fn classes(&self) -> Vec<&str> {
        self.paths.iter().map(|(class, ..)| class.as_str()).collect()
    }

    fn class(&self, class: &str) -> Vec<&Subpaths> {
        self.paths.iter().filter(|(c, ..)| c == class).map(|(.., paths)| paths).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.texts.iter().map(|text| text.text.as_str()).collect()
    }

    /// Checks that everything is on the paper and no name on another.
    fn check(&self) {
        for (x, y) in self.paths.iter().flat_map(|(.., paths)| paths).flatten() {
            assert!(x.is_finite() && (-MARGIN..=self.width + MARGIN).contains(x), "{x}");
            assert!(y.is_finite() && (-MARGIN..=self.height + MARGIN).contains(y), "{y}");
        }
        let corners: Vec<[(f64, f64); 4]> = self.texts.iter().map(Text::corners).collect();
        for (i, a) in corners.iter().enumerate() {
            let on = a.iter().all(|(x, y)| (0.0..=self.width).contains(x) && (0.0..=self.height).contains(y));
            assert!(on, "{:?} is not on the paper", self.texts[i]);
            for (j, b) in corners.iter().enumerate().take(i) {
                assert!(apart(a, b) || apart(b, a), "{:?} covers {:?}", self.texts[i], self.texts[j]);
            }
        }
    }
}

impl Text {
    fn of(tag: &BytesStart<'_>, group: Option<&Group>) -> Text {
        let turn = attribute(tag, "transform").unwrap_or_default();
        let angle = turn
            .strip_prefix("rotate(")
            .and_then(|t| t.split(' ').next())
            .map_or(0.0, |t| t.parse().unwrap());
        let anchor = attribute(tag, "text-anchor").or_else(|| group?.anchor.clone()).unwrap_or_default();
        let (x, y, size) = (number(tag, "x"), number(tag, "y"), number(tag, "font-size"));
        Text { x, y, size, angle, anchor, text: String::new() }
    }

    /// Of what is certainly covered: half a font size a letter, and from the line that they stand on to the top of small ones.
    fn corners(&self) -> [(f64, f64); 4] {
        let width = self.size * 0.5 * f64::from(u32::try_from(self.text.chars().count()).unwrap());
        let left = match self.anchor.as_str() {
            "end" => -width,
            "middle" => -width / 2.0,
            _ => 0.0,
        };
        let (sin, cos) = self.angle.to_radians().sin_cos();
        // Turned around a point in the middle of the letters, which `rotate` names and which `y` is below.
        let middle = if self.angle == 0.0 { 0.0 } else { self.size * 0.35 };
        let turned = |x: f64, y: f64| {
            let y = y + middle;
            (self.x + x * cos - y * sin, self.y - middle + x * sin + y * cos)
        };
        let top = -self.size * 0.6;
        [turned(left, 0.0), turned(left + width, 0.0), turned(left + width, top), turned(left, top)]
    }
}

/// True if one of `a`'s sides has all of `b` on its outside.
fn apart(a: &[(f64, f64); 4], b: &[(f64, f64); 4]) -> bool {
    (0..4).any(|i| {
        let ((x1, y1), (x2, y2)) = (a[i], a[(i + 1) % 4]);
        let side = |(x, y): (f64, f64)| (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1);
        let inside = side(a[(i + 2) % 4]).signum();
        b.iter().all(|&corner| side(corner) * inside <= 1e-6)
    })
}

fn subpaths(d: &str) -> Subpaths {
    let numbers = |part: &str| -> Vec<f64> {
        part.trim_end_matches('Z').split(' ').map(|n| n.parse().unwrap()).collect()
    };
    let pairs = |part: &str| numbers(part).chunks_exact(2).map(|p| (p[0], p[1])).collect();
    d.split('M').skip(1).map(pairs).collect()
}

#[test]
fn what_lies_above_what_follows_tags_not_the_order_of_features() {
    let across = [(24.93, 60.17), (24.95, 60.17)];
    let picture = draw([
        way(1, &across, &[("highway", "primary"), ("bridge", "yes"), ("name", "Bridge Street")]),
        way(2, &across, &[("railway", "rail")]),
        way(3, &across, &[("highway", "service"), ("tunnel", "yes")]),
        square(4, 0.1, 0.2, &[("building", "yes")]),
        square(5, 0.0, 1.0, &[("landuse", "residential")]),
        square(6, 0.4, 0.9, &[("natural", "water"), ("name", "Lake")]),
        square(7, 0.3, 0.9, &[("leisure", "park")]),
        way(8, &across, &[("waterway", "stream")]),
    ]);
    picture.check();
    let mut classes = picture.classes();
    classes.dedup();
    assert_eq!(classes, ["land", "green", "water", "stream", "tunnel", "building", "road"]);
    assert!(picture.names().contains(&"Lake") && picture.names().contains(&"Bridge Street"));
    // The rails, then the bridge's casing, then its surface.
    assert_eq!(picture.class("road").len(), 4);
}

#[test]
fn the_lesser_roads_and_names_wait_until_one_is_near() {
    let streets = |lon: f64| {
        let line = [(24.0, 60.17), (24.0 + lon, 60.17)];
        ["motorway", "residential", "footway"].map(|kind| way(1, &line, &[("highway", kind)]))
    };
    let drawn = |view: &str, lon: f64| {
        Picture::of(&render(&view.parse().unwrap(), &shapes(streets(lon)))).class("road").len()
    };
    // A motorway with its casing.
    assert_eq!(drawn("24,60,28,62", 4.0), 2);
    assert!(drawn("24,60.169,24.01,60.171", 0.01) >= 4);
}

#[test]
fn only_data_of_openstreetmap_is_attributed_to_it() {
    let ours = free(r#"{"type":"Point","coordinates":[24.94,60.17]}"#, "null");
    assert!(!draw([ours]).names().contains(&OSM_ATTRIBUTION));
    assert!(draw([square(1, 0.0, 1.0, &[])]).names().contains(&OSM_ATTRIBUTION));
}

#[test]
fn the_picture_has_the_shape_of_the_place() {
    // At 60 degrees north a degree of longitude is half as long as one of latitude.
    let picture = Picture::of(&render(&"24,59.5,26,60.5".parse().unwrap(), &[]));
    assert_eq!((picture.width, picture.height), (1400.0, 1400.0));
    assert_eq!(picture.names(), ["20 km"]);
}

#[test]
fn a_view_across_the_antimeridian_is_drawn_in_one_piece() {
    let line = free(r#"{"type":"LineString","coordinates":[[179,0],[-179,0]]}"#, "null");
    let svg = render(&"178,-1,-178,1".parse().unwrap(), &shapes([line]));
    assert_eq!(Picture::of(&svg).class("free"), [&vec![vec![(350.0, 350.0), (1050.0, 350.0)]]]);
}

#[test]
fn what_crosses_the_edge_of_the_world_is_on_both_sides() {
    let ring = free(
        r#"{"type":"Polygon","coordinates":[[[170,0],[-170,0],[-170,10],[170,10],[170,0]]]}"#,
        r##"{"fill":"#f00"}"##,
    );
    let picture = Picture::of(&render(&"-180,-90,180,90".parse().unwrap(), &shapes([ring])));
    let area = picture.paths.iter().find(|(_, fill, _)| fill == "#ff0000").unwrap();
    let side = |path: &Vec<(f64, f64)>| path[0].0 > 700.0;
    assert_eq!(area.2.len(), 2);
    assert_ne!(side(&area.2[0]), side(&area.2[1]));
    picture.check();
}

#[test]
fn a_box_around_the_world_is_an_area() {
    let world = "[[-180,-90],[180,-90],[180,90],[-180,90],[-180,-90]]";
    let ring = free(&format!(r#"{{"type":"Polygon","coordinates":[{world}]}}"#), "null");
    let picture = draw([ring]);
    assert!(picture.class("free")[0].iter().any(|path| path.len() >= 4), "{picture:?}");
}

#[test]
fn views_of_no_area_and_of_nothing_are_pictures_too() {
    for view in [Extent::NOWHERE, "24,60,24,60".parse().unwrap(), "0,90,0,90".parse().unwrap()] {
        let point = free(r#"{"type":"Point","coordinates":[24,60]}"#, r#"{"title":"here"}"#);
        let svg =
            render(&view, &shapes([point, way(1, &[(24.0, 60.0), (24.0, 60.0)], &[("highway", "primary")])]));
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        Picture::of(&svg).check();
    }
    assert_eq!(around(&[]), None);
    assert!(
        outline(&node(1, 0.0, 0.0, &[])).is_empty()
            && outline(&relation(1, &[(1, "")], &[("type", "route")])).is_empty()
    );
}

#[test]
fn a_multipolygon_has_the_holes_that_its_members_make() {
    let half = |id, corners: [(f64, f64); 3]| {
        way(id, &corners.map(|(x, y)| (24.93 + x * 0.02, 60.165 + y * 0.01)), &[])
    };
    let (a, b) =
        (half(1, [(0.1, 0.1), (0.9, 0.1), (0.9, 0.9)]), half(2, [(0.1, 0.1), (0.1, 0.9), (0.9, 0.9)]));
    let hole = square(3, 0.4, 0.6, &[]);
    let members = [(1, "outer"), (2, "outer"), (3, "inner")];
    let house = relation(1, &members, &[("type", "multipolygon"), ("building", "yes")]);
    let rings =
        |picture: &Picture| picture.class("building").iter().map(|paths| paths.len()).collect::<Vec<_>>();
    assert_eq!(rings(&draw([a.clone(), b, hole.clone(), house.clone()])), [2]);
    assert_eq!(outline(&house), ["w1", "w2", "w3"]);
    let svg = render(&view(), &shapes([a.clone(), hole.clone(), house.clone()]));
    assert!(svg.contains("<g class=\"building\"") && svg.contains("fill-rule=\"evenodd\""), "{svg}");
    // Without a part of the outer ring that ring is not drawn; nothing else suffers.
    assert_eq!(rings(&draw([a, hole, house])), [1]);
}

#[test]
fn the_sea_is_on_the_right_of_its_coast() {
    let coast = way(1, &[(24.92, 60.17), (24.96, 60.17)], &[("natural", "coastline")]);
    let picture = draw([coast]);
    let sea = &picture.class("sea")[0][0];
    assert!(sea.iter().all(|(_, y)| *y >= picture.height / 2.0 - 0.1), "{sea:?}");
    // One that stops in the middle does not say where the water is.
    let torn = way(1, &[(24.92, 60.17), (24.94, 60.17)], &[("natural", "coastline")]);
    assert_eq!(draw([torn]).classes(), ["stream"]);
}

#[test]
fn where_a_way_is_not_known_there_is_no_line() {
    let mut gap = way(
        1,
        &[(24.93, 60.17), (24.935, 60.17), (24.94, 60.17), (24.945, 60.17), (24.95, 60.17)],
        &[("highway", "primary")],
    );
    if let Body::Osm(Element { shape: ElementShape::Way(nodes), .. }) = &mut gap.body {
        nodes[2].at = None;
    }
    assert!(draw([gap]).class("road").iter().all(|paths| paths.len() == 2));
}

#[test]
fn neighbours_share_one_border() {
    let border = [("boundary", "administrative"), ("admin_level", "4")];
    let tags = [&border[..], &[("type", "boundary")]].concat();
    let line = way(1, &[(24.93, 60.17), (24.95, 60.17)], &border);
    let members = [(1, "outer")];
    let picture = draw([relation(1, &members, &tags), relation(2, &members, &tags), line]);
    assert_eq!(picture.classes(), ["boundary"]);
}

#[test]
fn free_features_look_as_they_say() {
    let polygon = r#"{"type":"Polygon","coordinates":[[[24.932,60.166],[24.948,60.166],[24.948,60.174],[24.932,60.166]]]}"#;
    let svg = render(
        &view(),
        &shapes([
            free(polygon, r##"{"fill":"#abc","stroke":"#123456","stroke-width":3,"title":"A <field>"}"##),
            free(
                r#"{"type":"Point","coordinates":[24.935,60.172]}"#,
                r##"{"marker-color":"#0f0","title":"P"}"##,
            ),
            free(
                r#"{"type":"Point","coordinates":[24.935,60.172]}"#,
                r#"{"marker-color":"url(javascript:x)\"/>"}"#,
            ),
        ]),
    );
    for said in [
        "fill=\"#aabbcc\"",
        "stroke=\"#123456\" stroke-width=\"3\"",
        "#00ff00",
        "A &lt;field&gt;",
        ">P</text>",
    ] {
        assert!(svg.contains(said), "{said}: {svg}");
    }
    assert!(!svg.contains("javascript"));
    Picture::of(&svg).check();
}

#[test]
fn what_is_there_for_orientation_only_is_grey_and_nameless() {
    let street =
        way(1, &[(24.93, 60.17), (24.95, 60.17)], &[("highway", "primary"), ("name", "Main Street")]);
    let svg = render(&view(), &[Shape { feature: street, fetched: false }]);
    let picture = Picture::of(&svg);
    assert_eq!(picture.classes(), ["road faded"; 2]);
    assert!(!picture.names().contains(&"Main Street"));
    let colours =
        svg.match_indices("stroke=\"#").map(|(at, found)| &svg[at + found.len()..at + found.len() + 6]);
    for colour in colours.take(2) {
        assert!(colour[..2] == colour[2..4] && colour[..2] == colour[4..], "{colour}");
    }
}

#[test]
fn an_attribution_of_any_kind_is_text_and_fits() {
    let long = "<script>&\"".repeat(60);
    let svg = render_with(&"24,60,24,61".parse().unwrap(), &[], &long);
    assert!(svg.contains("&lt;script&gt;&amp;&quot;") && !svg.contains("<script>"));
    Picture::of(&svg).check();
}

#[test]
fn the_picture_does_not_grow_with_what_cannot_be_seen() {
    let world: Extent = "-180,-90,180,90".parse().unwrap();
    let houses = (0..5_000).map(|i| square(i, 0.5, 0.51, &[("building", "yes"), ("name", "House")]));
    assert!(render(&world, &shapes(houses)).len() < 5_000);
    let points =
        (0..5_000).map(|_| free(r#"{"type":"Point","coordinates":[24.94,60.17]}"#, r#"{"title":"x"}"#));
    assert!(render(&world, &shapes(points)).len() < 5_000);
    let path: Vec<(f64, f64)> =
        (0..20_000).map(|i| (24.93 + f64::from(i) * 1e-6, 60.17 + f64::from(i % 2) * 1e-6)).collect();
    let picture = draw([way(1, &path, &[("highway", "primary")])]);
    assert!(picture.class("road").iter().flat_map(|paths| *paths).all(|path| path.len() < 20));
}

#[test]
fn the_same_name_is_not_written_all_along_a_street() {
    // A street of many pieces, each turned as it comes.
    let pieces = (0..40).map(|i| {
        let (a, b) = (24.93 + f64::from(i) * 5e-4, 24.93 + f64::from(i + 1) * 5e-4);
        let path = if i % 3 == 0 { [(b, 60.17), (a, 60.17)] } else { [(a, 60.17), (b, 60.17)] };
        way(i64::from(i), &path, &[("highway", "residential"), ("name", "Long Street")])
    });
    let picture = draw(pieces);
    let times = picture.names().iter().filter(|name| **name == "Long Street").count();
    assert!((1..=3).contains(&times), "{times}");
}

#[test]
fn a_street_whose_name_ends_like_a_length_is_apart_from_others() {
    let primary = |name| [("highway", "primary"), ("name", name)];
    let long = way(
        1,
        &[(24.92, 60.16), (24.9324384, 60.1703519), (24.9287118, 60.1620026)],
        &primary("Aöö aa aaaaaaaa aaaaaaa aaaaaa"),
    );
    let short = way(
        1,
        &[(24.92, 60.1661454), (24.9446979, 60.1683657), (24.9505484, 60.1760208)],
        &primary("Aaaaa m"),
    );
    let picture = draw([long, short]);
    assert!(picture.names().contains(&"Aaaaa m"));
    picture.check();
}

/// Names as people give them, and as they should not.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z][a-zäö]{2,12}( [a-z]{1,8}){0,4}",
        any::<String>(),
        Just("</text><script>alert(1)</script>".to_owned()),
        Just("\u{202e}\"&quot;]]>\u{0}\u{fffe}".to_owned()),
    ]
}

fn tags() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let one = prop::sample::select(vec![
        ("highway", "primary"),
        ("highway", "residential"),
        ("highway", "footway"),
        ("railway", "rail"),
        ("railway", "station"),
        ("waterway", "river"),
        ("natural", "water"),
        ("natural", "coastline"),
        ("natural", "tree"),
        ("leisure", "park"),
        ("building", "yes"),
        ("landuse", "forest"),
        ("amenity", "cafe"),
        ("shop", "books"),
        ("place", "suburb"),
        ("place", "square"),
        ("area", "yes"),
        ("bridge", "yes"),
        ("tunnel", "yes"),
        ("layer", "-2"),
        ("boundary", "administrative"),
        ("admin_level", "4"),
        ("addr:housenumber", "12 b"),
    ]);
    prop::collection::vec(one, 1..4)
}

/// Somewhere near the view, or anywhere.
fn position() -> impl Strategy<Value = (f64, f64)> {
    prop_oneof![
        9 => (24.92..24.96f64, 60.16..60.18f64),
        1 => (prop_oneof![Just(-180.0), Just(180.0), -180.0..180.0f64], -90.0..90.0f64),
    ]
}

fn feature() -> impl Strategy<Value = Feature> {
    let path = (prop::collection::vec(position(), 2..9), any::<bool>()).prop_map(|(mut path, ring)| {
        if ring {
            path.push(path[0]);
        }
        path
    });
    (1i64..40, prop_oneof![position().prop_map(|at| vec![at]), path], tags(), name(), any::<bool>()).prop_map(
        |(id, path, mut tags, name, free_form)| {
            tags.push(("name", name.as_str()));
            if !free_form {
                return match path.as_slice() {
                    &[(lon, lat)] => osm(&format!("n{id}"), ElementShape::Node(coord(lon, lat)), &tags),
                    path => way(id, path, &tags),
                };
            }
            let points: Vec<String> = path.iter().map(|(lon, lat)| format!("[{lon},{lat}]")).collect();
            let (kind, points) = match points.len() {
                1 => ("Point", points[0].clone()),
                n if n > 3 && points[0] == points[n - 1] => ("Polygon", format!("[[{}]]", points.join(","))),
                _ => ("LineString", format!("[{}]", points.join(","))),
            };
            let properties = serde_json::json!({ "title": name }).to_string();
            free(&format!(r#"{{"type":"{kind}","coordinates":{points}}}"#), &properties)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn anything_is_drawn_well_formed_on_the_paper_with_names_apart(
        features in prop::collection::vec(feature(), 0..60),
        members in prop::collection::vec(1i64..40, 0..8),
        everywhere in any::<bool>(),
    ) {
        let members: Vec<(i64, &str)> = members.into_iter().map(|id| (id, "outer")).collect();
        let wood = relation(1, &members, &[("type", "multipolygon"), ("natural", "wood"), ("name", "Wood")]);
        let shapes = shapes(features.into_iter().chain([wood]));
        let view = if everywhere { around(&shapes).unwrap() } else { view() };
        let svg = render(&view, &shapes);
        prop_assert!(!svg.contains("<script"));
        Picture::of(&svg).check();
        prop_assert_eq!(svg, render(&view, &shapes));
    }

    #[test]
    fn crowded_names_do_not_cover_each_other(
        places in prop::collection::vec((0.0..1.0f64, 0.0..1.0f64, "[A-Z][a-z]{1,9}( [a-z]{2,9}){0,3}", 0usize..4), 1..300),
    ) {
        let sorts = [("place", "suburb"), ("amenity", "cafe"), ("tourism", "museum"), ("shop", "books")];
        let features = places.iter().enumerate().map(|(i, (x, y, name, sort))| node(i, *x, *y, &[sorts[*sort], ("name", name)]));
        let picture = draw(features);
        picture.check();
        // Crowded or not, some are there.
        prop_assert!(picture.discs > 0 || picture.names().len() > 2 || places.iter().all(|(x, y, ..)| *x < 0.1 || *x > 0.9 || *y < 0.1 || *y > 0.9));
    }
}
