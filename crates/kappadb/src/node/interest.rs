//! What can be followed.

use crate::network::Follow;
use crate::network::ask::{BLOBS, CHAT, FEEDS, KV, MAP};
use crate::views::Parts;
#[cfg(feature = "chat")]
use kappadb_chat::Channel;
use kappadb_core::Extent;
use kappadb_query::Selector;
use std::fmt;
use std::str::FromStr;

/// What a replica wants to have, now and whenever there is more of it.
///
/// It has a form as text, in files and on command lines: `everything`, `key NAME`, `prefix TEXT`, `box WEST,SOUTH,EAST,NORTH`, `map`,
/// `channel NAME`, `chat`, `private`, `blobs`.
///
/// ```
/// use kappadb::Interest;
///
/// let interest: Interest = "box 13.3,52.4,13.5,52.6".parse().expect("a part of the map");
/// assert!(matches!(interest, Interest::Area(_)));
/// assert_eq!("prefix fruit/".parse(), Ok(Interest::Prefix("fruit/".to_owned())));
/// assert!("fruit".parse::<Interest>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Interest {
    /// All that there is, also what no view here understands: a full copy.
    Everything,
    /// A key of the key-value view.
    Key(String),
    /// All keys that begin so.
    Prefix(String),
    /// What touches a part of the map.
    Area(Extent),
    /// All of the map.
    Map,
    /// A channel, with the names of all who are known.
    Channel(String),
    /// All channels, and private messages of whomever.
    Chat,
    /// Private messages to this replica's writers, and from them.
    Private,
    /// Which blobs there are, but not what they hold.
    Blobs,
}

/// A text names nothing that can be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names nothing that can be followed; it is `everything`, `key NAME`, `prefix TEXT`, `box WEST,SOUTH,EAST,NORTH`, `map`, \
     `channel NAME`, `chat`, `private` or `blobs`{}", .why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
)]
pub struct InterestError {
    text: String,
    why: Option<String>,
}

impl Interest {
    /// The questions that it comes to.
    pub(crate) fn questions(&self, parts: &Parts) -> Vec<Follow> {
        let one = |view: &str, selector| vec![Follow::matching(view, selector)];
        // Whoever asks for what is of a view that is not there is told so.
        let (chat, no_chat) = (parts.of_view(CHAT), || one(CHAT, Selector::Everything));
        match self {
            Interest::Everything => one(FEEDS, Selector::Everything),
            Interest::Key(key) => one(KV, Selector::keys([key.as_bytes()])),
            Interest::Prefix(prefix) => one(KV, Selector::Prefix(prefix.clone().into_bytes())),
            Interest::Area(extent) => one(MAP, Selector::from(extent)),
            Interest::Map => one(MAP, Selector::Everything),
            Interest::Chat => one(CHAT, Selector::Everything),
            Interest::Blobs => one(BLOBS, Selector::Everything),
            Interest::Channel(name) => chat.map_or_else(no_chat, |chat| chat.channel(name)),
            Interest::Private => chat.map_or_else(no_chat, |chat| chat.clone().private()),
        }
    }

    /// The same text names the same interest.
    fn check(self) -> Result<Interest, String> {
        match &self {
            // Without chat nobody knows more of a name than that it is one.
            Interest::Channel(name) if name.is_empty() || name.contains(char::is_control) => {
                return Err("that is no name of a channel".to_owned());
            }
            #[cfg(feature = "chat")]
            Interest::Channel(name) => Channel::new(name).map(drop).map_err(|error| error.to_string())?,
            Interest::Key(key) => {
                kappadb_view_kv::check_key(key.as_bytes()).map_err(|error| error.to_string())?
            }
            _ => {}
        }
        Ok(self)
    }
}

impl FromStr for Interest {
    type Err = InterestError;

    fn from_str(text: &str) -> Result<Interest, InterestError> {
        let wrong = |why| InterestError { text: text.to_owned(), why };
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let interest = match (word, rest) {
            ("everything", "") => Interest::Everything,
            ("map", "") => Interest::Map,
            ("chat", "") => Interest::Chat,
            ("private", "") => Interest::Private,
            ("blobs", "") => Interest::Blobs,
            ("key", key) => Interest::Key(key.to_owned()),
            ("prefix", prefix) if !prefix.is_empty() => Interest::Prefix(prefix.to_owned()),
            ("channel", name) => Interest::Channel(name.to_owned()),
            ("box", extent) => Interest::Area(
                extent.parse().map_err(|error: kappadb_core::GeoError| wrong(Some(error.to_string())))?,
            ),
            _ => return Err(wrong(None)),
        };
        interest.check().map_err(|why| wrong(Some(why)))
    }
}

impl fmt::Display for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interest::Everything => f.write_str("everything"),
            Interest::Key(key) => write!(f, "key {key}"),
            Interest::Prefix(prefix) => write!(f, "prefix {prefix}"),
            Interest::Area(extent) => write!(f, "box {extent}"),
            Interest::Map => f.write_str("map"),
            Interest::Channel(name) => write!(f, "channel {name}"),
            Interest::Chat => f.write_str("chat"),
            Interest::Private => f.write_str("private"),
            Interest::Blobs => f.write_str("blobs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interest_has_one_text_and_comes_back_from_it() {
        for text in [
            "everything",
            "key a b",
            "prefix fruit/",
            "box 13.3,52.4,13.5,52.6",
            "box 179,-10,-179,10",
            "map",
            "channel Café",
            "chat",
            "private",
            "blobs",
        ] {
            let interest: Interest = text.parse().unwrap();
            assert_eq!(interest.to_string().parse(), Ok(interest.clone()), "{text}");
        }
        for text in [
            "",
            "all",
            "everything x",
            "key",
            "prefix ",
            "channel",
            "channel a\u{7}",
            "box 1,2,3",
            "box 1,2,3,x",
        ] {
            let error = text.parse::<Interest>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{text:?} names nothing")), "{error}");
        }
    }
}
