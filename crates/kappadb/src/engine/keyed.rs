//! What a write has to know of its key.

use crate::error::ReadError;
use kappadb_entry::rules::Version;
use kappadb_view::{Index, View, ViewError, ViewHandle};

/// An index of keyed entries, so that a write can name what it replaces.
pub trait KeyedIndex: Index {
    /// The versions of a key that no other makes redundant, ascending by id.
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError>;
}

/// The active versions of a key, among all that is held now.
pub(crate) fn active<V: View<Index: KeyedIndex>>(
    view: &ViewHandle<V>,
    key: &[u8],
) -> Result<Vec<Version>, ReadError> {
    view.ready()?;
    Ok(view.read(|index| index.active(key))??)
}
