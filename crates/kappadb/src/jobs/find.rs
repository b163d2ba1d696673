//! Which feed or entry people mean by the beginning of its name.

use crate::error::ReadError;
use crate::views::Parts;
use kappadb_core::FeedKey;
use std::collections::BTreeSet;

/// Why it is not known which feed is meant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// None begins so.
    #[error("no feed here begins with {0:?}; `kappa feed list` shows them")]
    Unknown(String),
    /// Several begin so.
    #[error("several feeds begin with {text:?}, write more of it: {}", candidates.join(", "))]
    Ambiguous {
        /// What was written.
        text: String,
        /// The feeds: fingerprint, and nickname if there is one.
        candidates: Vec<String>,
    },
    /// It is no name of an entry.
    #[error("{0:?} is no id: write FEED/NUMBER, or the beginning of the feed for FEED")]
    NoEntry(String),
    /// What is held could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

pub(crate) fn find_feed(parts: &Parts, text: &str) -> Result<FeedKey, FindError> {
    let known = parts.feeds.list().into_iter().map(|info| info.feed);
    let found: BTreeSet<FeedKey> =
        known.chain(parts.feeds.dropped()).filter(|feed| feed.begins_with(text)).collect();
    match (found.len(), found.first()) {
        (1, Some(feed)) => Ok(*feed),
        (0, _) => Err(FindError::Unknown(text.to_owned())),
        _ => {
            let candidates = found.iter().map(|feed| in_words(parts, feed)).collect::<Result<_, _>>()?;
            Err(FindError::Ambiguous { text: text.to_owned(), candidates })
        }
    }
}

/// A feed by its fingerprint, and what it calls itself.
fn in_words(parts: &Parts, feed: &FeedKey) -> Result<String, ReadError> {
    let called = parts.all().iter().find_map(|view| view.called(feed).transpose()).transpose()?;
    let called = called.map(|name| format!(" ({name})")).unwrap_or_default();
    Ok(format!("{}{called}", feed.fingerprint()))
}
