//! An element that somebody edits by hand, and what must follow it.

use super::append::Appender;
use super::carried::{self, CarriedNode};
use super::changes::{Changes, Source};
use crate::error::{ReadError, WriteError};
use crate::views::map::{MapParts, draft};
use kappadb_core::EntryId;
use kappadb_geo::id::parse_osm;
use kappadb_geo::{Body, Element, Feature, Item, Shape, WayNode};
use std::collections::BTreeMap;

/// The nodes that a way which is edited by hand has elsewhere than what is held.
struct ByHand(BTreeMap<i64, WayNode>);

impl Source for ByHand {
    type Error = WriteError;

    fn said(&mut self, _: i64) -> Result<Option<(WayNode, bool)>, WriteError> {
        Ok(None)
    }

    fn decided(&self, node: i64) -> Option<WayNode> {
        self.0.get(&node).cloned()
    }
}

/// Writes a feature in the place of all versions of it that are held here, and after it the ways and relations that it is part of, nodes that it
/// moves, and nodes that it leaves behind.
pub(crate) fn put_by_hand(parts: &MapParts, mut feature: Feature) -> Result<EntryId, WriteError> {
    if parse_osm(&feature.id).is_none() {
        return parts.replace(&parts.map, draft(kappadb_geo::put(&feature)?));
    }
    parts.map.ready().map_err(ReadError::from)?;
    let mut appender = Appender::new(parts);
    let mut changes = Changes::new(&mut appender, true);
    changes.keep_meta(&mut feature)?;
    let moved = match &mut feature.body {
        Body::Osm(Element { shape: Shape::Way(nodes), .. }) => changes.settle(nodes)?,
        _ => Vec::new(),
    };
    // Refused before anything is written.
    let prepared = kappadb_geo::put(&feature)?;
    for (node, known) in &moved {
        changes.move_node(node, known)?;
    }
    let moved = moved.into_iter().map(|(node, _)| (node.id, node)).collect();
    let item = Item::Put { feature, is_edit: true };
    by_hand(changes, &item, ByHand(moved), || parts.replace(&parts.map, draft(prepared)))
}

/// Deletes a feature in the same way.
pub(crate) fn delete_by_hand(parts: &MapParts, id: &str) -> Result<EntryId, WriteError> {
    let prepared = kappadb_geo::delete(id, None)?;
    if parse_osm(id).is_none() {
        return parts.replace(&parts.map, draft(prepared));
    }
    parts.map.ready().map_err(ReadError::from)?;
    check_unused(parts, id)?;
    let mut appender = Appender::new(parts);
    let changes = Changes::new(&mut appender, true);
    let item = Item::Delete { id: id.to_owned(), meta: None };
    by_hand(changes, &item, ByHand(BTreeMap::new()), || parts.replace(&parts.map, draft(prepared)))
}

/// Refuses to delete a node of a way that stands, as OpenStreetMap does: the way would lose a corner.
pub(crate) fn check_unused(parts: &MapParts, id: &str) -> Result<(), WriteError> {
    match carried::carried(parts, id)? {
        Some(CarriedNode { ways, .. }) => Err(WriteError::StillUsed { id: id.to_owned(), ways }),
        None => Ok(()),
    }
}

/// The caller has the turn.
fn by_hand(
    mut changes: Changes<'_, '_>,
    item: &Item,
    mut source: ByHand,
    write: impl FnOnce() -> Result<EntryId, WriteError>,
) -> Result<EntryId, WriteError> {
    changes.judge(item)?;
    changes.write_lost(&mut source)?;
    changes.appender.flush(&mut || ())?;
    let id = write()?;
    changes.moved(item.id().to_owned())?;
    changes.settle_written()?;
    changes.write_outdated(&mut source)?;
    changes.settle_written()?;
    changes.write_relations(&mut source)?;
    Ok(id)
}
