//! Feeds and entries as people name them. Which ones are meant is known only once the database is open: [`FeedText::find`].

use kappadb::FeedKey;
use kappadb::{Database, EntryId, FindError};
use std::str::FromStr;

/// A feed: its key in hex, or the beginning of that or of its fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedText(String);

/// An entry: a feed, `/`, and a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryText(String);

impl FeedText {
    /// The feed, if only one that is known here begins so.
    pub async fn find(&self, database: &Database) -> Result<FeedKey, FindError> {
        database.find_feed(&self.0).await
    }
}

impl EntryText {
    /// The entry, if only one feed that is known here begins so.
    pub async fn find(&self, database: &Database) -> Result<EntryId, FindError> {
        database.find_entry(&self.0).await
    }
}

impl FromStr for FeedText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<FeedText, &'static str> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let is_feed = (1..=64).contains(&text.len()) && text.chars().all(fits);
        if is_feed {
            Ok(FeedText(text.to_owned()))
        } else {
            Err("expected a feed: its key or fingerprint, or the beginning")
        }
    }
}

impl FromStr for EntryText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<EntryText, &'static str> {
        let parts = text.split_once('/').filter(|(_, seq)| seq.parse::<u64>().is_ok());
        match parts.map(|(feed, _)| FeedText::from_str(feed)) {
            Some(Ok(_)) => Ok(EntryText(text.to_owned())),
            _ => Err("expected an id: FEED/SEQ, or the beginning of the feed for FEED"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_name_is_refused_before_anything_is_opened() {
        for text in ["a", "mzxw-6ytb-ojtg-633c", &"0f".repeat(32)] {
            assert!(text.parse::<FeedText>().is_ok(), "{text}");
            assert!(format!("{text}/7").parse::<EntryText>().is_ok(), "{text}");
        }
        for text in ["", "a b", "a/b", "größe", &"0".repeat(65)] {
            assert!(text.parse::<FeedText>().is_err(), "{text}");
            assert!(format!("{text}/7").parse::<EntryText>().is_err(), "{text}");
        }
        for text in ["a", "a/", "a/x", "a/-1", "/1", "a/1/2"] {
            assert!(text.parse::<EntryText>().is_err(), "{text}");
        }
    }
}
