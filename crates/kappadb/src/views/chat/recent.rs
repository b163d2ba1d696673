//! What was read lately and is likely to be shown again: people look at the same page, and at the same names, all day.

use crate::error::ReadError;
use crate::views::chat::ChatParts;
use kappadb_chat::Post;
use kappadb_core::{EntryId, FeedKey};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries and names that are kept, at most: then all are let go of.
const POSTS: usize = 4_096;
const NICKS: usize = 16_384;

/// Entries are kept as long as no block that is held takes another form: what is cleared is not shown from memory. Names are kept as long as
/// nothing changes either that is said of writers.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    reforms: u64,
    said: u64,
    posts: HashMap<EntryId, Post>,
    nicks: HashMap<FeedKey, Option<String>>,
}

impl Recent {
    /// With nothing in it that was read before.
    fn at(&self, reforms: u64, said: Option<u64>) -> MutexGuard<'_, Kept> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.reforms != reforms {
            *kept = Kept { reforms, ..Kept::default() };
        }
        if let Some(said) = said.filter(|said| *said != kept.said) {
            kept.said = said;
            kept.nicks.clear();
        }
        kept
    }
}

/// What an entry says, from memory if it was read lately; else `read` reads it.
pub(super) fn recent_post(
    parts: &ChatParts,
    id: EntryId,
    read: impl FnOnce() -> Result<Option<Post>, ReadError>,
) -> Result<Option<Post>, ReadError> {
    let reforms = parts.feeds.reforms();
    if let Some(post) = parts.state.recent.at(reforms, None).posts.get(&id) {
        return Ok(Some(post.clone()));
    }
    let post = read()?;
    let mut kept = parts.state.recent.at(parts.feeds.reforms(), None);
    if let Some(post) = &post
        && kept.reforms == reforms
    {
        if kept.posts.len() >= POSTS {
            kept.posts.clear();
        }
        kept.posts.insert(id, post.clone());
    }
    Ok(post)
}

/// What a feed calls itself, from memory if that was worked out lately; else `find` does it, and says whether it stays so by itself.
pub(super) fn recent_nick(
    parts: &ChatParts,
    feed: &FeedKey,
    find: impl FnOnce() -> Result<(Option<String>, bool), ReadError>,
) -> Result<Option<String>, ReadError> {
    let stamps = |parts: &ChatParts| {
        Ok::<_, ReadError>((parts.feeds.reforms(), parts.chat.read(|index| index.said_stamp())?))
    };
    let (reforms, said) = stamps(parts)?;
    if let Some(nick) = parts.state.recent.at(reforms, Some(said)).nicks.get(feed) {
        return Ok(nick.clone());
    }
    let (nick, stays) = find()?;
    if stays && stamps(parts)? == (reforms, said) {
        let mut kept = parts.state.recent.at(reforms, Some(said));
        if kept.nicks.len() >= NICKS {
            kept.nicks.clear();
        }
        kept.nicks.insert(*feed, nick.clone());
    }
    Ok(nick)
}
