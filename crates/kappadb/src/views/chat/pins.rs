//! Whom a name stands for here: `DIR/pins`, this replica's own. Nicknames are anybody's; what people wrote down of whom they mean by one is not.

use super::ChatError;
use crate::views::chat::ChatParts;
use kappadb_chat::{Content, StateKey, likeness};
use kappadb_core::FeedKey;

/// A feed that calls itself, or once called itself, by a name or one that looks like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAs {
    /// The feed.
    pub feed: FeedKey,
    /// The name, as the feed wrote it.
    pub nick: String,
    /// False if it calls itself otherwise now.
    pub now: bool,
}

/// The latest name of a feed, of all that it ever had, that is like another.
pub(super) fn known_as(
    parts: &ChatParts,
    feed: &FeedKey,
    wanted: &str,
) -> Result<Option<KnownAs>, ChatError> {
    let key = StateKey::Profile { feed: *feed, field: "nick" }.encode();
    let mut versions = parts.chat.read(|index| index.versions(&key))??;
    versions.sort_by_key(|version| version.id.seq);
    let current = parts.chat_nick(feed)?;
    for version in versions.iter().rev() {
        let Some(Content::Profile { value: nick, .. }) =
            parts.chat_post(version.id)?.map(|post| post.content)
        else {
            continue;
        };
        if likeness(&nick) == wanted {
            let now = current.is_some_and(|current| likeness(&current) == wanted);
            return Ok(Some(KnownAs { feed: *feed, nick, now }));
        }
    }
    Ok(None)
}
