//! The area of a relation, out of the ways that bound it.
//!
//! Which ring is an outer one is seen from which lies in which: members' roles say so, too, and are often wrong.

use crate::chain::{self, Located, Turn};
use crate::feature::{Body, Element, Feature, Shape, WayNode};
use crate::geometry::{MIN_RING, Part};
use crate::ring;
use kappadb_core::{Coord, GeoBox};
use std::collections::{HashMap, HashSet};

/// The ways that bound the area of a multipolygon or a boundary, in the order of its members, each once; none for what is no such relation.
pub fn outline(feature: &Feature) -> Option<Vec<i64>> {
    let Body::Osm(element @ Element { shape: Shape::Relation { members, .. }, .. }) = &feature.body else {
        return None;
    };
    let is_area = matches!(element.tag("type"), Some("multipolygon" | "boundary"));
    let mut seen = HashSet::new();
    let ways = chain::bounds(members).map(|member| member.id);
    is_area.then(|| ways.filter(|id| seen.insert(*id)).collect())
}

/// The area within the ways of an [`outline`]: a Polygon, or a MultiPolygon if it is in several pieces, wound as RFC 7946 asks. None if a way, or a
/// place of its nodes, is not known, if they do not make rings, or if one crosses the antimeridian: half an area would look like a whole one.
pub fn assemble<'a>(outline: &[i64], way: impl Fn(i64) -> Option<&'a [WayNode]>) -> Option<Part> {
    let ways: Option<Vec<Located>> = outline.iter().map(|id| chain::located(way(*id)?)).collect();
    let rings = rings(ways?)?;
    let mut polygons = nested(rings);
    match polygons.len() {
        0 => None,
        1 => polygons.pop().map(Part::Polygon),
        _ => Some(Part::MultiPolygon(polygons)),
    }
}

/// Simple rings that use up all the ways; none if they do not close.
fn rings(ways: Vec<Located>) -> Option<Vec<Vec<Coord>>> {
    let ways = ways.into_iter().filter(|way| way.len() > 1).collect();
    let mut rings = Vec::new();
    for path in chain::join(ways, Turn::Either) {
        let is_closed = path.first().map(|(id, _)| id) == path.last().map(|(id, _)| id);
        let crosses = |step: &[(i64, Coord)]| matches!(step, [a, b] if (i64::from(a.1.lon) - i64::from(b.1.lon)).abs() > HALF_WORLD);
        if !is_closed || path.windows(2).any(crosses) {
            return None;
        }
        split(&path, &mut rings);
    }
    Some(rings)
}

/// Half the world in units of longitude.
const HALF_WORLD: i64 = GeoBox::WORLD.east as i64;

/// A path that comes by a node twice is several rings that touch there. What goes a way and comes back bounds nothing.
fn split(path: &[(i64, Coord)], rings: &mut Vec<Vec<Coord>>) {
    let mut open: Vec<(i64, Coord)> = Vec::new();
    let mut places: HashMap<i64, usize> = HashMap::new();
    for &(id, at) in path {
        if let Some(&place) = places.get(&id) {
            let mut ring: Vec<Coord> = open
                .drain(place..)
                .map(|(id, at)| {
                    places.remove(&id);
                    at
                })
                .collect();
            ring.push(at);
            if ring.len() >= MIN_RING && ring::twice_area(&ring) != 0 {
                rings.push(ring);
            }
        }
        places.insert(id, open.len());
        open.push((id, at));
    }
}

/// A ring with what is needed to see what lies in it.
struct Ring {
    line: Vec<Coord>,
    corners: HashSet<Coord>,
    around: GeoBox,
    area: i128,
}

impl Ring {
    fn new(line: Vec<Coord>) -> Option<Ring> {
        let around = line.iter().map(|at| GeoBox::point(*at)).reduce(|a, b| a.hull(&b))?;
        let corners = line.iter().copied().collect();
        Some(Ring { area: ring::twice_area(&line).abs(), corners, around, line })
    }

    /// True if another ring, which may touch this one, lies within it.
    fn contains(&self, other: &Ring) -> bool {
        let fits = self.around.west <= other.around.west
            && self.around.east >= other.around.east
            && self.around.south <= other.around.south
            && self.around.north >= other.around.north;
        if !fits || self.area <= other.area {
            return false;
        }
        let free = other.line.iter().find(|at| !self.corners.contains(at));
        let twice = |at: &Coord| (2 * i128::from(at.lon), 2 * i128::from(at.lat));
        // If all corners are shared, the middle of a side is not.
        let middle = || match other.line.as_slice() {
            [a, b, ..] => {
                Some((i128::from(a.lon) + i128::from(b.lon), i128::from(a.lat) + i128::from(b.lat)))
            }
            _ => None,
        };
        free.map(twice).or_else(middle).is_some_and(|at| ring::is_inside(&self.line, at))
    }
}

/// Polygons, each an outer ring and those right within it, in the order of the outer ones.
fn nested(rings: Vec<Vec<Coord>>) -> Vec<Vec<Vec<Coord>>> {
    let rings: Vec<Ring> = rings.into_iter().filter_map(Ring::new).collect();
    let around: Vec<Vec<usize>> = rings
        .iter()
        .map(|ring| (0..).zip(&rings).filter(|(_, other)| other.contains(ring)).map(|(at, _)| at).collect())
        .collect();
    let is_outer = |depth: usize| depth.is_multiple_of(2);
    let mut polygons: Vec<(usize, Vec<Vec<Coord>>)> = Vec::new();
    for ((at, ring), around) in (0..).zip(&rings).zip(&around) {
        if is_outer(around.len()) {
            let mut line = ring.line.clone();
            ring::wind(&mut line, true);
            polygons.push((at, vec![line]));
        }
    }
    for (ring, around) in rings.iter().zip(&around).filter(|(_, around)| !is_outer(around.len())) {
        // The smallest of those around it.
        let outer = around.iter().min_by_key(|at| rings.get(**at).map(|ring| ring.area));
        let polygon = polygons.iter_mut().find(|(at, _)| Some(at) == outer);
        if let Some((_, polygon)) = polygon {
            let mut line = ring.line.clone();
            ring::wind(&mut line, false);
            polygon.push(line);
        }
    }
    polygons.into_iter().map(|(_, rings)| rings).collect()
}
