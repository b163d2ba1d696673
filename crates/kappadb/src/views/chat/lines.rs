//! What a line of an import says: one that `chat export` wrote, or one of the few fields that anybody can write.

use crate::error::WriterError;
use crate::lines::{LineError, Object};
use kappadb_chat::{Channel, Content, Extras, Flag, SayError};
use kappadb_core::{DatabaseId, EntryId, FeedKey, Timestamp, codec};
use std::ops::Range;
use std::str::FromStr;

/// Its fields.
pub(super) const FIELDS: &[&str] = &[
    "attachments",
    "author",
    "channel",
    "database",
    "field",
    "flags",
    "id",
    "kind",
    "replaces",
    "reply_to",
    "target",
    "text",
    "timestamp",
    "to",
    "written",
];

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The first one of an export: of which database it is.
    Export(DatabaseId),
    /// What an author said.
    Said(Box<SaidLine>),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct SaidLine {
    /// The entry that it was, if it was one.
    pub id: Option<EntryId>,
    pub author: LineAuthor,
    pub channel: Option<Channel>,
    /// Where it stands in its channel.
    pub order: Timestamp,
    /// When it was written, by its author's clock.
    pub written: Timestamp,
    pub says: Says,
    /// What a message has beside its text, by what that was.
    pub extras: Extras,
    /// What it stands for instead of, by what that was.
    pub replaces: Vec<EntryId>,
}

/// Who said it.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub(super) enum LineAuthor {
    /// The feed that it was.
    Feed(FeedKey),
    /// Somebody of this name.
    Name(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Anything that says it by itself.
    Plain(Content),
    /// The flags that its author sets on who was this feed.
    Flags { target: FeedKey, flags: Vec<Flag>, reason: String },
    /// That what was this entry is taken back.
    Delete(EntryId),
    /// That what was this message says something else; `to` is for whom it is private.
    Edit { target: EntryId, text: String, to: Option<FeedKey> },
    /// A text for who was this feed alone.
    Private { to: FeedKey, text: String },
}

impl TryFrom<Object> for Line {
    type Error = BadLine;

    fn try_from(mut object: Object) -> Result<Line, BadLine> {
        let kind = object.text_if_any("kind")?.unwrap_or_else(|| "text".to_owned());
        if kind == "export" {
            return Ok(Line::Export(name_in(&mut object, "database", "a database id")?));
        }
        let id: Option<EntryId> = names_in(&mut object, "id", "an id: FEED/SEQ")?;
        let author = object.text("author")?;
        let author = match author.parse() {
            Ok(feed) => LineAuthor::Feed(feed),
            Err(_) => LineAuthor::Name(author.trim().to_owned()),
        };
        if let (Some(id), LineAuthor::Feed(feed)) = (&id, &author)
            && id.feed != *feed
        {
            let wanted = "an entry of its author";
            return Err(LineError::Other { name: "id", wanted, found: "one of another" }.into());
        }
        let order = Timestamp(object.whole_number("timestamp", "a whole number of ms since 1970")?);
        // Of what an export says the times are what they were.
        if id.is_none() {
            check_time(order)?;
        }
        let written = object.whole_number_if_any("written", "a whole number of ms since 1970")?;
        let channel = object.text_if_any("channel")?.map(|channel| Channel::new(&channel)).transpose()?;
        let says = Says::of(&kind, &mut object)?;
        if channel.is_none() && says.is_of_a_channel() {
            return Err(LineError::Missing("channel").into());
        }
        let replaces = ids_in(&mut object, "replaces")?;
        let reply_to = names_in(&mut object, "reply_to", "an id: FEED/SEQ")?;
        let extras = Extras { reply_to, blobs: ids_in(&mut object, "attachments")? };
        let written = written.map_or(order, Timestamp);
        Ok(Line::Said(Box::new(SaidLine { id, author, channel, order, written, says, extras, replaces })))
    }
}

impl Says {
    fn of(kind: &str, object: &mut Object) -> Result<Says, BadLine> {
        let reason =
            |object: &mut Object| Ok::<_, LineError>(object.text_if_any("text")?.unwrap_or_default());
        Ok(match kind {
            "text" => Says::Plain(Content::Text(object.text("text")?)),
            "emote" => Says::Plain(Content::Emote(object.text("text")?)),
            "topic" => Says::Plain(Content::Topic(reason(object)?)),
            "profile" => {
                Says::Plain(Content::Profile { field: object.text("field")?, value: reason(object)? })
            }
            "join" => Says::Plain(Content::Join),
            "leave" => Says::Plain(Content::Leave),
            "archive" => Says::Plain(Content::Archive { reason: reason(object)? }),
            "unarchive" => Says::Plain(Content::Unarchive { reason: reason(object)? }),
            "delete" => Says::Delete(name_in(object, "target", "an id: FEED/SEQ")?),
            "edit" => Says::Edit {
                target: name_in(object, "target", "an id: FEED/SEQ")?,
                text: object.text("text")?,
                to: names_in(object, "to", "a feed")?,
            },
            "private" => Says::Private { to: name_in(object, "to", "a feed")?, text: object.text("text")? },
            "flags" => {
                let flags = object.texts_if_any("flags")?.ok_or(LineError::Missing("flags"))?;
                let flags = flags.iter().map(|flag| parsed(flag, "flags", "hide, mute, block, mod or admin"));
                let (flags, target) =
                    (flags.collect::<Result<_, _>>()?, name_in(object, "target", "a feed")?);
                Says::Flags { target, flags, reason: reason(object)? }
            }
            other => return Err(BadLine::Kind(other.to_owned())),
        })
    }

    /// All that it says, in one way only.
    pub fn words(&self) -> Vec<u8> {
        let (kind, words): (&str, Vec<String>) = match self {
            Says::Plain(content) => match content {
                Content::Text(text) => ("text", vec![text.clone()]),
                Content::Emote(text) => ("emote", vec![text.clone()]),
                Content::Topic(text) => ("topic", vec![text.clone()]),
                Content::Profile { field, value } => ("profile", vec![field.clone(), value.clone()]),
                Content::Join => ("join", Vec::new()),
                Content::Leave => ("leave", Vec::new()),
                Content::Archive { reason } => ("archive", vec![reason.clone()]),
                Content::Unarchive { reason } => ("unarchive", vec![reason.clone()]),
                _ => ("", Vec::new()),
            },
            Says::Flags { target, flags, reason } => {
                let flags = flags.iter().map(|flag| flag.name().to_owned());
                ("flags", flags.chain([target.to_string(), reason.clone()]).collect())
            }
            Says::Delete(id) => ("delete", vec![id.to_string()]),
            Says::Edit { target, text, .. } => ("edit", vec![target.to_string(), text.clone()]),
            Says::Private { to, text } => ("private", vec![to.to_string(), text.clone()]),
        };
        codec::encode(&(kind, words))
    }

    fn is_of_a_channel(&self) -> bool {
        match self {
            Says::Plain(content) => !matches!(content, Content::Profile { .. }),
            Says::Edit { to, .. } => to.is_none(),
            Says::Flags { .. } | Says::Delete(_) | Says::Private { .. } => false,
        }
    }
}

fn parsed<T: FromStr>(text: &str, name: &'static str, wanted: &'static str) -> Result<T, BadLine> {
    text.parse().map_err(|_| LineError::Other { name, wanted, found: "another text" }.into())
}

fn name_in<T: FromStr>(object: &mut Object, name: &'static str, wanted: &'static str) -> Result<T, BadLine> {
    parsed(&object.text(name)?, name, wanted)
}

fn names_in<T: FromStr>(
    object: &mut Object,
    name: &'static str,
    wanted: &'static str,
) -> Result<Option<T>, BadLine> {
    object.text_if_any(name)?.map(|text| parsed(&text, name, wanted)).transpose()
}

fn ids_in(object: &mut Object, name: &'static str) -> Result<Vec<EntryId>, BadLine> {
    let ids = object.texts_if_any(name)?.unwrap_or_default();
    ids.iter().map(|id| parsed(id, name, "ids: FEED/SEQ")).collect()
}

/// Why a line was left out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadLine {
    /// It is no object with these fields.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It says something of a kind that cannot be imported.
    #[error("\"kind\" is {0:?}, of which nothing is known here")]
    Kind(String),
    /// It takes back, or changes, what another said.
    #[error("it takes back or changes {0}, which another wrote")]
    NotTheirs(EntryId),
    /// The author's name cannot be that of a writer here.
    #[error(transparent)]
    Author(WriterError),
    /// Its time is one in seconds, most likely.
    #[error("the timestamp {0} must be in milliseconds; in seconds it is {then}, so write {0}000", then = Timestamp(.0.saturating_mul(1_000)))]
    Seconds(i64),
    /// Its time is before there were computers, or in a year that has more than four digits.
    #[error(
        "the timestamp {0} is in no year that can be: it must be milliseconds since 1970, and before the year 10000"
    )]
    Year(i64),
    /// The message breaks a limit.
    #[error(transparent)]
    Message(#[from] SayError),
    /// The private message cannot be sealed.
    #[error(transparent)]
    Private(#[from] kappadb_chat::PrivateError),
}

/// What a number in milliseconds can hardly be, but one in seconds is, from 1973 to 2286.
const SECONDS: Range<i64> = 100_000_000..10_000_000_000;
/// The first millisecond of the year 10000.
const END: i64 = 253_402_300_800_000;

/// Refuses times that are no milliseconds since 1970.
fn check_time(time: Timestamp) -> Result<(), BadLine> {
    match time.0 {
        millis if SECONDS.contains(&millis) => Err(BadLine::Seconds(millis)),
        millis if !(0..END).contains(&millis) => Err(BadLine::Year(millis)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_seconds_and_years_that_cannot_be_are_refused() {
        for fits in [0, 5, 99_999_999, 10_000_000_000, 1_795_399_821_000, END - 1] {
            assert!(check_time(Timestamp(fits)).is_ok(), "{fits}");
        }
        // Seconds; microseconds, and what is not since 1970 at all.
        assert!(matches!(check_time(Timestamp(1_795_399_821)), Err(BadLine::Seconds(_))));
        for bad in [1_795_399_821_000_000, -1, i64::MIN, i64::MAX, END] {
            assert!(matches!(check_time(Timestamp(bad)), Err(BadLine::Year(_))), "{bad}");
        }
        let told = check_time(Timestamp(1_795_399_821)).unwrap_err().to_string();
        assert!(told.contains("2026-11-23T02:10:21Z") && told.contains("1795399821000"), "{told}");
    }
}
