//! A node that ways have, as far as these say what it is.

use super::held::{Lookup, bare};
use crate::error::ReadError;
use crate::views::map::MapParts;
use kappadb_geo::id::parse_osm;
use kappadb_geo::{ElementKind, Feature};
use serde::Serialize;

/// A node as the ways have it that have it as a corner.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CarriedNode {
    /// Where it is, its version and edit: the statement that counts. Without tags, whether it has any or not.
    pub node: Feature,
    /// The ids of the ways that stand and have it, ascending.
    pub ways: Vec<String>,
}

pub(crate) fn carried(parts: &MapParts, id: &str) -> Result<Option<CarriedNode>, ReadError> {
    let Some((ElementKind::Node, number)) = parse_osm(id) else { return Ok(None) };
    parts.map.ready()?;
    let known = Lookup::new(parts).node(number)?;
    let mut ways: Vec<String> = known.holders.iter().map(|(way, _)| way.clone()).collect();
    ways.sort_unstable();
    ways.dedup();
    let node = known.place().filter(|_| !ways.is_empty());
    Ok(node.as_ref().and_then(bare).map(|node| CarriedNode { node, ways }))
}
