//! What an entry says, whatever it is, for people to read.

use crate::error::ReadError;
use crate::views::Parts;
use crate::views::chat::Said;
use crate::views::kv::Content;
use kappadb_chat::Content as Posted;
use kappadb_chat::Post;
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::rules::Version;
use kappadb_entry::{Entry, Kind, Label, raw, space};
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
    pub(super) fn says(&self, id: EntryId, entry: &Entry) -> Result<Says, ReadError> {
        let header = &entry.header;
        Ok(match (header.kind, &header.key) {
            (Kind { space: space::KV, .. }, Some(key)) => {
                let version = Version::from_header(id, header);
                Says::Key { key: key.clone(), content: self.kv.kv_content(&version, None)? }
            }
            (Kind { space: space::MAP, .. }, Some(key)) => {
                let key = String::from_utf8_lossy(key).into_owned();
                let edition = self.map.load_edition(&key, id)?.map(|(_, edition)| edition);
                let deleted = edition.as_ref().is_some_and(|edition| edition.deleted);
                Says::Feature { id: key, deleted, feature: edition.and_then(|e| e.feature).map(Box::new) }
            }
            (Kind { space: space::CHAT, .. }, _) => self.says_in_chat(id, entry),
            (Kind { space: space::RAW, code: raw::BLOB }, _) => {
                Says::Blob { label: header.label(), bytes: header.payload_bytes() }
            }
            (kind, key) => {
                let payload = self.load_payload(id, entry)?.map(Vec::from);
                Says::Other { kind, key: key.clone(), payload }
            }
        })
    }

    fn says_in_chat(&self, id: EntryId, entry: &Entry) -> Says {
        let header = &entry.header;
        if let Some((to, says)) = self.chat.own_private(id, entry) {
            let (channel, kind) = (String::new(), "private".to_owned());
            return Says::Chat { channel, kind, text: Some(says.text), to: Some(to) };
        }
        let moment = header.places.moments.first();
        let of_key = header.key.as_deref().and_then(kappadb_view_chat::channel_of);
        let channel = match (of_key, moment) {
            (Some(channel), _) => channel.to_owned(),
            (None, Some(moment)) => String::from_utf8_lossy(&moment.channel).into_owned(),
            (None, None) => String::new(),
        };
        let (kind, text) = words(kappadb_chat::decode(header, entry.payload.as_deref()).ok());
        Says::Chat { channel, kind, text, to: None }
    }
}

/// The sort and the text of something in chat.
fn words(post: Option<Post>) -> (String, Option<String>) {
    let (kind, text) = match post.map(|post| post.content) {
        Some(Posted::Text(text)) => ("text", Some(text)),
        Some(Posted::Edit { text, .. }) => ("edit", Some(text)),
        Some(Posted::Emote(text)) => ("emote", Some(text)),
        Some(Posted::Topic(text)) => ("topic", Some(text)),
        Some(Posted::Profile { field, value }) => return (field, Some(value)),
        Some(Posted::Join) => ("join", None),
        Some(Posted::Leave) => ("leave", None),
        Some(Posted::Archive { reason }) => ("archive", Some(reason)),
        Some(Posted::Unarchive { reason }) => ("unarchive", Some(reason)),
        Some(Posted::Delete { target, .. }) => ("delete", Some(target.to_string())),
        Some(Posted::Flags { target, flags, reason, .. }) => {
            let flags: Vec<String> = flags.iter().map(|flag| format!("{flag:?}").to_lowercase()).collect();
            ("flags", Some(format!("{} on {target}: {reason}", flags.join(","))))
        }
        Some(Posted::Private(_)) => (Said::Sealed.kind(), None),
        Some(Posted::Cleared { .. }) => (Said::NotHeld.kind(), None),
        Some(Posted::Unknown { .. }) => ("unknown", None),
        None => (Said::Unreadable.kind(), None),
    };
    (kind.to_owned(), text)
}

impl Says {
    /// Its name in the program's output.
    pub fn kind(&self) -> String {
        match self {
            Says::Key { content: Content::Deleted, .. } => "delete".to_owned(),
            Says::Key { .. } => "put".to_owned(),
            Says::Feature { deleted: true, .. } => "map delete".to_owned(),
            Says::Feature { .. } => "map put".to_owned(),
            Says::Chat { kind, .. } => kind.clone(),
            Says::Blob { .. } => "blob".to_owned(),
            Says::Other { kind, .. } => format!("space {}, code {}", kind.space, kind.code),
            Says::Unreadable => Said::Unreadable.kind().to_owned(),
        }
    }
}
