//! An element that somebody edits by hand, and what must follow it.

use super::append::Appender;
use super::changes::{ByHand, Changes};
use crate::database::Parts;
use crate::error::{ReadError, WriteError};
use crate::map::draft;
use kappadb_core::EntryId;
use kappadb_geo::Feature;
use kappadb_import::Item;

impl Parts {
    /// Writes a feature in the place of all versions of it that are held here, and after it the ways and relations that it is part of, and nodes
    /// that it leaves behind.
    pub(crate) fn put_by_hand(&self, feature: Feature) -> Result<EntryId, WriteError> {
        let prepared = kappadb_geo::put(&feature)?;
        self.by_hand(Item::Put { feature, is_edit: true }, || self.replace(&self.map, draft(prepared)))
    }

    /// Deletes a feature in the same way.
    pub(crate) fn delete_by_hand(&self, id: &str) -> Result<EntryId, WriteError> {
        let prepared = kappadb_geo::delete(id, None)?;
        let item = Item::Delete { id: id.to_owned(), meta: None };
        self.by_hand(item, || self.replace(&self.map, draft(prepared)))
    }

    /// The caller holds the writing lock.
    fn by_hand(
        &self,
        item: Item,
        write: impl FnOnce() -> Result<EntryId, WriteError>,
    ) -> Result<EntryId, WriteError> {
        if kappadb_geo::id::parse_osm(item.id()).is_none() {
            return write();
        }
        self.map.ready().map_err(ReadError::from)?;
        let mut appender = Appender::new(self);
        let mut changes = Changes::new(&mut appender, true);
        changes.judge(&item)?;
        changes.write_lost(&mut ByHand)?;
        changes.appender.flush()?;
        let id = write()?;
        changes.moved(item.id().to_owned())?;
        changes.appender.flush_and_index()?;
        changes.write_outdated(&mut ByHand)?;
        changes.appender.flush_and_index()?;
        changes.write_relations(&mut ByHand)?;
        Ok(id)
    }
}
