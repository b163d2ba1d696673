use kappadb_geo::{Feature, Meta};

/// What a file says of one feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// This is how it is.
    ///
    /// From a change file ([`Import::is_change`](crate::Import::is_change)) what the file does not know is left open: a
    /// node of a way is at `None`, and a relation's extent is around those of its members that are in the file. Such a
    /// feature may be nowhere, and [`kappadb_geo::put`] refuses it until that is filled in.
    Put(Feature),
    /// It is gone.
    Delete {
        /// The feature's id.
        id: String,
        /// The edit that deleted it. What its version says depends on who wrote the file: in the diffs of the planet it
        /// is that of the delete, in an upload that of what is deleted.
        meta: Option<Meta>,
    },
}

impl Item {
    /// The feature's id.
    pub fn id(&self) -> &str {
        match self {
            Item::Put(feature) => &feature.id,
            Item::Delete { id, .. } => id,
        }
    }

    /// The feature, if it is not gone.
    pub fn into_feature(self) -> Option<Feature> {
        match self {
            Item::Put(feature) => Some(feature),
            Item::Delete { .. } => None,
        }
    }
}
