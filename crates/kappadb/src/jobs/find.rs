//! Which feed or entry people mean by the beginning of its name.

use crate::database::{Database, Parts};
use crate::error::ReadError;
use kappadb_chat::visible_name;
use kappadb_core::{EntryId, FeedKey};
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

impl Database {
    /// The feed that is named by its key in hex, or by the beginning of that or of its fingerprint ([`FeedKey::fingerprint`]), if only one
    /// of those known here begins so. A whole key is taken as it is.
    ///
    /// # Errors
    /// [`FindError::Unknown`], [`FindError::Ambiguous`].
    pub async fn find_feed(&self, text: &str) -> Result<FeedKey, FindError> {
        if let Ok(feed) = text.parse() {
            return Ok(feed);
        }
        let text = text.to_owned();
        self.run(move |parts| parts.find_feed(&text)).await?
    }

    /// The entry that is named by its feed, as in [`Database::find_feed`], a `/`, and its number. It need not be held.
    ///
    /// # Errors
    /// [`FindError::NoEntry`], and those of [`Database::find_feed`].
    pub async fn find_entry(&self, text: &str) -> Result<EntryId, FindError> {
        let parts = text.split_once('/').and_then(|(feed, seq)| Some((feed, seq.parse().ok()?)));
        let (feed, seq) = parts.ok_or_else(|| FindError::NoEntry(text.to_owned()))?;
        Ok(EntryId { feed: self.find_feed(feed).await?, seq })
    }
}

impl Parts {
    fn find_feed(&self, text: &str) -> Result<FeedKey, FindError> {
        let known = self.feeds.list().into_iter().map(|info| info.feed);
        let found: BTreeSet<FeedKey> =
            known.chain(self.feeds.dropped()).filter(|feed| feed.begins_with(text)).collect();
        match (found.len(), found.first()) {
            (1, Some(feed)) => Ok(*feed),
            (0, _) => Err(FindError::Unknown(text.to_owned())),
            _ => {
                let candidates = found.iter().map(|feed| self.in_words(feed)).collect::<Result<_, _>>()?;
                Err(FindError::Ambiguous { text: text.to_owned(), candidates })
            }
        }
    }

    /// A feed by its fingerprint, and what it calls itself.
    fn in_words(&self, feed: &FeedKey) -> Result<String, ReadError> {
        if !self.chat.runs() {
            return Ok(feed.fingerprint().to_string());
        }
        self.chat.ready()?;
        let nick = self.chat_nick(feed)?.map(|nick| format!(" ({})", visible_name(&nick)));
        Ok(format!("{}{}", feed.fingerprint(), nick.unwrap_or_default()))
    }
}
