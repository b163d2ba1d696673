use crate::{Feature, Meta, WayNode};

/// What a file says of one feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// This is how it is.
    ///
    /// Of a way's nodes, and of a relation's extent, only that much is filled in as the file itself says.
    Put {
        /// The feature.
        feature: Feature,
        /// True if somebody made this of the version that it names, and did not give it a new one: `<modify>` in a change file,
        /// `action="modify"` in a file of an editor. In the diffs of the planet `<modify>` names the new version.
        is_edit: bool,
    },
    /// It is gone.
    Delete {
        /// The feature's id.
        id: String,
        /// The edit that deleted it. What its version says depends on who wrote the file: in the diffs of the planet it
        /// is that of the delete, in an upload that of what is deleted.
        meta: Option<Meta>,
    },
}

/// What a file says of a node without tags, or of one whose tags it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bare {
    /// The node, with its position.
    pub node: WayNode,
    /// As in [`Item::Put`].
    pub is_edit: bool,
    /// True if a way of the file has it.
    pub is_carried: bool,
    /// True if only a way of the file says where it is, so that it may be a node with tags.
    pub of_way: bool,
}

impl Item {
    /// The feature's id.
    pub fn id(&self) -> &str {
        match self {
            Item::Put { feature, .. } => &feature.id,
            Item::Delete { id, .. } => id,
        }
    }

    /// The feature, if it is not gone.
    pub fn into_feature(self) -> Option<Feature> {
        match self {
            Item::Put { feature, .. } => Some(feature),
            Item::Delete { .. } => None,
        }
    }
}
