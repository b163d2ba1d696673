//! The model: OSM elements and free GeoJSON features.

use crate::geometry::Geometry;
use crate::id::ElementKind;
use kappadb_core::{Coord, Extent, Timestamp};

/// Something on the map, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// `n1`, `w1`, `r1` for OSM elements; see [`crate::id`] for the others. At most [`MAX_FEATURE_ID`](kappadb_core::limits::MAX_FEATURE_ID) bytes.
    pub id: String,
    /// What is known of it.
    pub body: Body,
}

/// All of a feature but its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// An OSM node, way or relation.
    Osm(Element),
    /// A GeoJSON feature.
    Free(Free),
}

/// An element of OpenStreetMap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Where it is and what it is made of.
    pub shape: Shape,
    /// Keys and values, in the order given.
    pub tags: Vec<(String, String)>,
    /// Which edit of OpenStreetMap it comes from, if that is known.
    pub meta: Option<Meta>,
}

/// Where an element is and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A position.
    Node(Coord),
    /// A line or a ring: its nodes in order.
    Way(Vec<WayNode>),
    /// Other elements with roles.
    Relation {
        /// In order.
        members: Vec<Member>,
        /// Around those members whose position was known when this was written.
        extent: Extent,
    },
}

/// A node of a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WayNode {
    /// The node's OSM id.
    pub id: i64,
    /// Its position, if that was known when this was written.
    pub at: Option<Coord>,
}

/// A member of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// What it is.
    pub kind: ElementKind,
    /// Its OSM id.
    pub id: i64,
    /// What it does there, such as `outer`; may be empty.
    pub role: String,
    /// A node's position, if that was known when this was written: one that is part of nothing else is nowhere else
    /// kept. None for ways and relations.
    pub at: Option<Coord>,
}

/// The edit of OpenStreetMap that an element comes from. Zero and empty mean that the source did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// From 1, by one with each edit of the element.
    pub version: u32,
    /// When it was made.
    pub time: Option<Timestamp>,
    /// The set of edits that it belongs to.
    pub changeset: i64,
    /// Its author's number.
    pub uid: i64,
    /// Its author's name at that time.
    pub user: String,
}

/// A GeoJSON feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Free {
    /// Where it is.
    pub geometry: Geometry,
    /// A JSON object or `null`, as it was written (order, numbers, escapes) but for white space between tokens.
    pub properties: String,
}

impl Shape {
    /// Which sort of element this is.
    pub fn kind(&self) -> ElementKind {
        match self {
            Shape::Node(_) => ElementKind::Node,
            Shape::Way(_) => ElementKind::Way,
            Shape::Relation { .. } => ElementKind::Relation,
        }
    }

    fn extent(&self) -> Extent {
        match self {
            Shape::Node(at) => Extent::of_path([*at]),
            Shape::Way(nodes) => Extent::of_path(nodes.iter().filter_map(|node| node.at)),
            Shape::Relation { extent, .. } => extent.clone(),
        }
    }
}

impl Element {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

impl Body {
    /// Where it is: one box, two across the antimeridian, or nowhere.
    pub fn extent(&self) -> Extent {
        match self {
            Body::Osm(element) => element.shape.extent(),
            Body::Free(free) => free.geometry.extent(),
        }
    }
}

impl Feature {
    /// Where it is: one box, two across the antimeridian, or nowhere.
    pub fn extent(&self) -> Extent {
        self.body.extent()
    }
}
