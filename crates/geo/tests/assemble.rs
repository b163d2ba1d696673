//! Areas out of the ways that bound them.

use kappadb_core::Coord;
use kappadb_geo::{Body, Element, ElementKind, Feature, Member, Part, Shape, WayNode, assemble, outline};
use std::collections::BTreeMap;

type Ways = BTreeMap<i64, Vec<WayNode>>;

/// Nodes are numbered by where they are: 100 times the column and the row.
fn way(nodes: &[i64]) -> Vec<WayNode> {
    let at = |id: i64| Coord::from_units(id / 100, id % 100);
    nodes.iter().map(|&id| WayNode { at: at(id), ..WayNode::new(id) }).collect()
}

fn ways(list: &[&[i64]]) -> Ways {
    (1..).zip(list).map(|(id, nodes)| (id, way(nodes))).collect()
}

fn area(ways: &Ways) -> Option<Part> {
    assemble(&ways.keys().copied().collect::<Vec<_>>(), |id| ways.get(&id).map(Vec::as_slice))
}

/// Rings as the numbers of their nodes.
fn polygons(ways: &Ways) -> Vec<Vec<Vec<i64>>> {
    let number = |at: &Coord| i64::from(at.lon) * 100 + i64::from(at.lat);
    let rings = |rings: Vec<Vec<Coord>>| rings.iter().map(|ring| ring.iter().map(number).collect()).collect();
    match area(ways) {
        Some(Part::Polygon(one)) => vec![rings(one)],
        Some(Part::MultiPolygon(many)) => many.into_iter().map(rings).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn ways_make_rings_whichever_way_they_go() {
    let square = ways(&[&[0, 900, 909], &[0, 9, 909]]);
    assert_eq!(polygons(&square), [[[0, 900, 909, 9, 0]]]);
    let turned = ways(&[&[909, 900, 0], &[9, 909], &[9, 0]]);
    assert_eq!(polygons(&turned)[0][0].len(), 5);
    assert_eq!(polygons(&turned)[0][0][0], *polygons(&turned)[0][0].last().unwrap());
}

#[test]
fn what_lies_in_an_outer_ring_is_a_hole_and_what_lies_in_that_is_an_island() {
    let lake = ways(&[
        &[303, 603, 606, 306, 303],      // a hole, before its outer ring
        &[0, 900, 909, 9, 0],            // outer
        &[404, 405, 505, 504, 404],      // an island
        &[2000, 2100, 2101, 2001, 2000], // elsewhere
    ]);
    let found = polygons(&lake);
    assert_eq!(
        found,
        [
            vec![vec![0, 900, 909, 9, 0], vec![303, 306, 606, 603, 303]],
            vec![vec![404, 504, 505, 405, 404]],
            vec![vec![2000, 2100, 2101, 2001, 2000]],
        ],
        "outer rings counterclockwise, holes clockwise"
    );
}

#[test]
fn rings_that_touch_are_kept_apart() {
    // A hole that touches its outer ring in one node, by ways that meet there.
    let touching = ways(&[&[0, 900, 909, 9], &[0, 303], &[9, 0], &[303, 402, 0]]);
    let found = polygons(&touching);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].len(), found[0][0].len(), found[0][1].len()), (2, 5, 4));
    // One that has all of its corners on the outer ring.
    let inscribed = ways(&[&[0, 500, 900, 909, 9, 0], &[500, 909, 9, 500]]);
    let found = polygons(&inscribed);
    assert_eq!((found.len(), found[0].len()), (1, 2));
}

#[test]
fn half_an_area_is_none() {
    let square = ways(&[&[0, 900, 909], &[0, 9, 909]]);
    assert_eq!(assemble(&[1, 2, 3], |id| square.get(&id).map(Vec::as_slice)), None, "a way is not known");
    assert_eq!(area(&ways(&[&[0, 900, 909]])), None, "open");
    let mut unplaced = square;
    unplaced.get_mut(&1).unwrap()[1].at = None;
    assert_eq!(area(&unplaced), None);
    assert_eq!(area(&Ways::new()), None);
    assert_eq!(area(&ways(&[&[0, 900, 0]])), None, "bounds nothing");
    let coord = |lon, lat| Coord::from_degrees(lon, lat);
    let mut crossing = way(&[1, 2, 3, 1]);
    for (node, lon) in crossing.iter_mut().zip([179.0, -179.0, 179.0, 179.0]) {
        node.at = coord(lon, f64::from(i32::try_from(node.id).unwrap())).ok();
    }
    assert_eq!(assemble(&[1], |_| Some(&crossing)), None);
}

#[test]
fn areas_are_multipolygons_and_boundaries() {
    let member = |kind, id, role: &str| Member { kind, id, role: role.to_owned() };
    let members = vec![
        member(ElementKind::Way, 1, "outer"),
        member(ElementKind::Node, 2, "admin_centre"),
        member(ElementKind::Way, 3, ""),
        member(ElementKind::Way, 4, "label"),
    ];
    let of = |kind: &str| {
        let shape = Shape::Relation { members: members.clone(), extent: "0,0,1,1".parse().unwrap() };
        let tags = vec![("type".to_owned(), kind.to_owned())];
        outline(&Feature { id: "r1".to_owned(), body: Body::Osm(Element { shape, tags, meta: None }) })
    };
    assert_eq!((of("multipolygon"), of("boundary")), (Some(vec![1, 3]), Some(vec![1, 3])));
    assert_eq!(of("route"), None);
}
