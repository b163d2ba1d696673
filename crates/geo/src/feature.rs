//! The model: OSM elements and free GeoJSON features.

use crate::geometry::Geometry;
use crate::id::ElementKind;
use kappadb_core::{Coord, Extent, Timestamp};
use std::sync::Arc;

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
        /// Around the nodes and ways that can be reached through its members, as far as they were known when this was written.
        extent: Extent,
    },
}

/// A node of a way: what the way says of it (`design/map.md`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayNode {
    /// The node's OSM id.
    pub id: i64,
    /// Its position, if that was known when this was written.
    pub at: Option<Coord>,
    /// The node's own OSM version that had this position; 0 if the source did not say.
    pub version: u32,
    /// The edit that made that version, if the source said. Nodes of one edit share it.
    pub edit: Option<Arc<Edit>>,
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
}

/// Which version of an element of OpenStreetMap something is, and the edit that made it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// From 1, by one with each edit of the element; 0 if the source did not say.
    pub version: u32,
    /// The edit.
    pub edit: Edit,
}

/// An edit of OpenStreetMap. Zero and empty mean that the source did not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edit {
    /// When it was made.
    pub time: Option<Timestamp>,
    /// The set of edits that it belongs to.
    pub changeset: i64,
    /// Its author's number.
    pub uid: i64,
    /// Its author's name at that time.
    pub user: String,
}

/// A GeoJSON feature. All texts are JSON as it was written (order, numbers, escapes) but for white space between tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Free {
    /// Where it is.
    pub geometry: Geometry,
    /// The geometry as it was written, if that says more: heights, collections in collections, members of its own. Else empty.
    pub written: String,
    /// An object or `null`.
    pub properties: String,
    /// An object of the feature's other members, such as `bbox`. Empty if it has none.
    pub foreign: String,
}

impl Free {
    /// A feature that says no more than this.
    pub fn new(geometry: Geometry, properties: String) -> Free {
        Free { geometry, written: String::new(), properties, foreign: String::new() }
    }
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

impl WayNode {
    /// A node of which nothing but its id is known.
    pub fn new(id: i64) -> WayNode {
        WayNode { id, at: None, version: 0, edit: None }
    }

    /// What a node says of itself; none if that is no node.
    pub fn of(id: i64, body: &Body) -> Option<WayNode> {
        let Body::Osm(element @ Element { shape: Shape::Node(at), meta, .. }) = body else { return None };
        let edit = meta.as_ref().map(|meta| Arc::new(meta.edit.clone()));
        Some(WayNode { id, at: Some(*at), version: element.version(), edit })
    }

    /// The same as an element without tags; none if it is not known where it is.
    pub fn to_element(&self) -> Option<Element> {
        let says = self.version != 0 || self.edit.is_some();
        let edit = || self.edit.as_deref().cloned().unwrap_or_default();
        let meta = says.then(|| Meta { version: self.version, edit: edit() });
        Some(Element { shape: Shape::Node(self.at?), tags: Vec::new(), meta })
    }
}

impl Element {
    /// The OSM version; 0 if the source did not say.
    pub fn version(&self) -> u32 {
        self.meta.as_ref().map_or(0, |meta| meta.version)
    }

    /// Moves a node to where a statement says that it is, with the edit that put it there, if that is known; the tags stay.
    pub fn move_to(&mut self, node: &WayNode) {
        if let Some(Element { shape, meta, .. }) = node.to_element() {
            self.shape = shape;
            self.meta = meta.or(self.meta.take());
        }
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }
}

impl Body {
    /// The OSM version; 0 if the source did not say, and for a GeoJSON feature.
    pub fn version(&self) -> u32 {
        if let Body::Osm(element) = self { element.version() } else { 0 }
    }

    /// Where it is: one box, two across the antimeridian, or nowhere.
    pub fn extent(&self) -> Extent {
        match self {
            Body::Osm(element) => element.shape.extent(),
            Body::Free(free) => free.geometry.extent(),
        }
    }
}

impl Feature {
    /// When the edit of OpenStreetMap that it comes from was made, if that is known.
    pub fn edited(&self) -> Option<Timestamp> {
        let Body::Osm(element) = &self.body else { return None };
        element.meta.as_ref()?.edit.time
    }

    /// Where it is: one box, two across the antimeridian, or nowhere.
    pub fn extent(&self) -> Extent {
        self.body.extent()
    }
}
