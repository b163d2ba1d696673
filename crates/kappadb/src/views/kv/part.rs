//! What others have to know of keys and values.

use super::KvParts;
use crate::engine::keyed::KeyedIndex;
use crate::error::ReadError;
use crate::network::ask::KV;
use crate::network::{Handle, ViewRules};
use crate::views::part::{Opened, Part};
use crate::views::says::Says;
use kappadb_core::EntryId;
use kappadb_entry::Entry;
use kappadb_entry::rules::Version;
use kappadb_view::{ViewError, ViewHandle};
use kappadb_view_kv::{KvIndex, KvView};
use std::collections::BTreeSet;
use std::sync::Arc;

impl KeyedIndex for KvIndex {
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.read().active(key)
    }
}

impl Opened for ViewHandle<KvView> {
    fn rules(&self) -> Box<dyn ViewRules> {
        Box::new(self.clone())
    }

    fn part(&self, handle: &Handle) -> Arc<dyn Part> {
        Arc::new(KvParts { kv: self.clone(), handle: handle.clone() })
    }
}

impl ViewRules for ViewHandle<KvView> {
    fn view(&self) -> &'static str {
        KV
    }

    fn heads(&self, key: &[u8]) -> Result<BTreeSet<EntryId>, ReadError> {
        let heads = self.read(|index| index.read().heads(key))??;
        Ok(heads.into_iter().map(|head| head.id).collect())
    }
}

impl Part for KvParts {
    fn view(&self) -> &'static str {
        KV
    }

    fn history(&self, key: &[u8]) -> Result<Vec<Version>, ReadError> {
        Ok(self.kv.read(|index| index.read().history(key))??)
    }

    fn says(&self, id: EntryId, entry: &Entry) -> Result<Option<Says>, ReadError> {
        let Some(key) = &entry.header.key else { return Ok(None) };
        let version = Version::from_header(id, &entry.header);
        Ok(Some(Says::Key { key: key.clone(), content: self.kv_content(&version, None)? }))
    }

    fn after_compaction(&self) {
        if let Err(error) = self.forget_cleared_values() {
            tracing::warn!(%error, "values that were cleared stay in the view, unseen, until the next compaction");
        }
    }
}
