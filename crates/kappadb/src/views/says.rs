//! What an entry says, whatever it is, for people to read.

use super::Parts;
use super::blobs::is_blob;
use super::kv::Content;
use crate::error::ReadError;
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::{Entry, Kind, Label};
#[cfg(feature = "map")]
use kappadb_geo::Feature;

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Says {
    /// A key has a value, or none any more.
    Key {
        /// The key.
        key: Vec<u8>,
        /// What of it.
        content: Content,
    },
    /// A feature is there, or not any more.
    #[cfg(feature = "map")]
    Feature {
        /// Its id.
        id: String,
        /// True if it is not any more.
        deleted: bool,
        /// What it is; none if it is deleted, or that is not held here.
        feature: Option<Box<Feature>>,
    },
    /// Something in chat.
    Chat {
        /// Where; empty for what concerns no channel.
        channel: String,
        /// What sort: `text`, `emote`, `private`, `topic`, `nick`, `join`, `leave` and so on.
        kind: String,
        /// What of it; none if it has no text, or that is not held here.
        text: Option<String>,
        /// Whom it is for, if it is private.
        to: Option<FeedKey>,
    },
    /// A blob.
    Blob {
        /// What its author says that it is.
        label: Label,
        /// Its length.
        bytes: u64,
    },
    /// Something else.
    Other {
        /// What sort.
        kind: Kind,
        /// What it is about.
        key: Option<Vec<u8>>,
        /// Its content, if it is held here and has at most 64 MiB.
        payload: Option<Vec<u8>>,
    },
    /// Nothing that this release understands.
    Unreadable,
}

impl Parts {
    pub fn says(&self, id: EntryId, entry: &Entry) -> Result<Says, ReadError> {
        let header = &entry.header;
        let said = self.of_space(header.kind.space).map(|part| part.says(id, entry));
        if let Some(says) = said.transpose()?.flatten() {
            return Ok(says);
        }
        if is_blob(entry) {
            return Ok(Says::Blob { label: header.label(), bytes: header.payload_bytes() });
        }
        let payload = self.load_payload(id, entry)?.map(Vec::from);
        Ok(Says::Other { kind: header.kind, key: header.key.clone(), payload })
    }
}

impl Says {
    /// Its name in the program's output.
    pub fn kind(&self) -> String {
        match self {
            Says::Key { content: Content::Deleted, .. } => "delete".to_owned(),
            Says::Key { .. } => "put".to_owned(),
            #[cfg(feature = "map")]
            Says::Feature { deleted, .. } => if *deleted { "map delete" } else { "map put" }.to_owned(),
            Says::Chat { kind, .. } => kind.clone(),
            Says::Blob { .. } => "blob".to_owned(),
            Says::Other { kind, .. } => format!("space {}, code {}", kind.space, kind.code),
            Says::Unreadable => "unreadable".to_owned(),
        }
    }
}
