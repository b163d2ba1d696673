//! What others have to know of the map.

use super::attach::attach_others;
use super::conflicts::conflicts;
use super::{Attachment, Map, MapParts};
use crate::engine::keyed::KeyedIndex;
use crate::error::ReadError;
use crate::network::ask::MAP;
use crate::network::{Handle, ViewRules};
use crate::views::again::{Carry, NotRecovered, Refused};
use crate::views::part::{Conflicts, Opened, Part};
use crate::views::says::Says;
use bytes::Bytes;
use kappadb_core::EntryId;
use kappadb_entry::rules::Version;
use kappadb_entry::{Entry, Header};
use kappadb_geo::CODE_PUT;
use kappadb_view::{ViewError, ViewHandle};
use kappadb_view_geo::{MapIndex, MapView};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl KeyedIndex for MapIndex {
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        MapIndex::active(self, key)
    }
}

impl Opened for ViewHandle<MapView> {
    fn rules(&self) -> Box<dyn ViewRules> {
        Box::new(self.clone())
    }

    fn part(&self, handle: &Handle) -> Arc<dyn Part> {
        Arc::new(MapParts { map: self.clone(), handle: handle.clone() })
    }
}

impl ViewRules for ViewHandle<MapView> {
    fn view(&self) -> &'static str {
        MAP
    }

    fn heads(&self, key: &[u8]) -> Result<BTreeSet<EntryId>, ReadError> {
        let heads: Vec<Version> = self.read(|index| index.heads(key))??;
        Ok(heads.into_iter().map(|head| head.id).collect())
    }
}

impl Part for MapParts {
    fn view(&self) -> &'static str {
        MAP
    }

    fn history(&self, key: &[u8]) -> Result<Vec<Version>, ReadError> {
        Ok(self.map.read(|index| index.history(key))??)
    }

    fn says(&self, id: EntryId, entry: &Entry) -> Result<Option<Says>, ReadError> {
        let Some(key) = &entry.header.key else { return Ok(None) };
        let key = String::from_utf8_lossy(key).into_owned();
        let edition = self.load_edition(&key, id)?.map(|(_, edition)| edition);
        let deleted = edition.as_ref().is_some_and(|edition| edition.deleted);
        let feature = edition.and_then(|edition| edition.feature).map(Box::new);
        Ok(Some(Says::Feature { id: key, deleted, feature }))
    }

    /// The body of a feature that names blobs which lie beyond the fork too, with their new names; none of others.
    fn say_again(
        &self,
        id: EntryId,
        entry: &Entry,
        header: &mut Header,
        carry: &mut Carry<'_>,
    ) -> Result<Option<Bytes>, Refused> {
        if header.kind.code != CODE_PUT {
            return Ok(None);
        }
        let key =
            entry.header.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
        let edition = self.load_edition(key, id).map_err(|error| Refused::All(error.into()))?;
        let Some(mut feature) = edition.and_then(|(_, edition)| edition.feature) else { return Ok(None) };
        let mut others = BTreeMap::new();
        for Attachment { blob, .. } in Map::attachments(&feature).iter().filter(|a| a.blob.feed == id.feed) {
            others.extend((carry.again)(blob.seq)?.map(|other| (*blob, other)));
        }
        if others.is_empty() {
            return Ok(None);
        }
        attach_others(&mut feature, &others);
        let prepared = kappadb_geo::put(&feature).map_err(|error| NotRecovered::Entry(error.to_string()));
        let payload = prepared.map_err(Refused::Entry)?.payload;
        Ok(Some(self.fit(carry.to, header, payload)?.into()))
    }

    fn conflicts(&self) -> Result<Conflicts, ReadError> {
        conflicts(self)
    }
}
