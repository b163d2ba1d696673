//! The ways among what is drawn, for the relations that they give their shape.

use crate::Shape;
use kappadb_core::Coord;
use kappadb_geo::chain::{Located, Turn, bounds, is_ring, join, located};
use kappadb_geo::{Body, Member, Shape as ElementShape, WayNode};
use std::collections::BTreeMap;

/// The located ways among the features to draw, by their OSM ids.
#[derive(Default)]
pub(crate) struct Ways<'a>(BTreeMap<i64, &'a [WayNode]>);

impl<'a> Ways<'a> {
    pub(crate) fn of(shapes: &'a [Shape]) -> Ways<'a> {
        let way = |shape: &'a Shape| match &shape.feature.body {
            Body::Osm(kappadb_geo::Element { shape: ElementShape::Way(nodes), .. }) => {
                let id = shape.feature.id.strip_prefix('w')?.parse().ok()?;
                Some((id, nodes.as_slice()))
            }
            _ => None,
        };
        Ways(shapes.iter().filter_map(way).collect())
    }

    /// Those member ways that bound the relation's area and are known.
    pub(crate) fn bounds(&self, members: &[Member]) -> Vec<(i64, Located)> {
        bounds(members).filter_map(|m| Some((m.id, located(self.0.get(&m.id)?)?))).collect()
    }

    /// The rings of a relation, outer and inner ones; those of which a part is not known are left out.
    pub(crate) fn rings(&self, members: &[Member]) -> Vec<Vec<Coord>> {
        let ways = self.bounds(members).into_iter().map(|(_, way)| way).collect();
        let rings = join(ways, Turn::Either).into_iter().filter(|path| is_ring(path));
        rings.map(|path| path.into_iter().map(|(_, at)| at).collect()).collect()
    }
}
