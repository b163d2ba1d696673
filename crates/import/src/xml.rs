//! OSM XML: `.osm` (<https://wiki.openstreetmap.org/wiki/OSM_XML>) and `.osc`
//! (<https://wiki.openstreetmap.org/wiki/OsmChange>), elements in any order.
//!
//! The text is read once. Ways and relations wait in a temporary file until all positions are known; then the ways are
//! gone through, which need those of nodes, and last the relations, which need both and each other, and so twice.

mod attributes;
mod element;
mod elements;
mod levels;
mod reader;
mod waiting;

pub(crate) use elements::read;
