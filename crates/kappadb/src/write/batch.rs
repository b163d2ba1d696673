//! What a write takes in its turn, in the place of what is known of its key.

use super::Draft;
use crate::engine::batch::Batch;
use crate::engine::keyed::KeyedIndex;
use crate::error::WriteError;
use crate::network::Handle;
use kappadb_core::EntryId;
use kappadb_entry::rules::{Links, Version};
use kappadb_view::{View, ViewHandle};

impl Batch {
    /// Takes an entry that replaces all heads of its key that `view` knows.
    pub fn replace<V: View<Index: KeyedIndex>>(
        &mut self,
        handle: &Handle,
        view: &ViewHandle<V>,
        draft: Draft,
    ) -> Result<EntryId, WriteError> {
        let key = draft.key.as_deref().unwrap_or_default();
        let active = self.active(view, draft.kind.space, key)?;
        self.put(handle, draft, &active)
    }

    /// Takes an entry that replaces all heads among `active`.
    pub fn put(&mut self, handle: &Handle, draft: Draft, active: &[Version]) -> Result<EntryId, WriteError> {
        let feed = handle.writer()?;
        let own = (feed.name(), self.end(handle, &feed));
        let links = handle.links(active, &feed, own);
        let (header, payload) = handle.header(draft, links);
        self.take(handle, feed, header, payload)
    }

    /// Takes an entry with the links that it is to have.
    pub fn put_linked(&mut self, handle: &Handle, draft: Draft, links: Links) -> Result<EntryId, WriteError> {
        let feed = handle.writer()?;
        let (header, payload) = handle.header(draft, links);
        self.take(handle, feed, header, payload)
    }
}
