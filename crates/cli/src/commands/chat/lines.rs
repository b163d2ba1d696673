//! Messages as lines: JSON for programs, and what is safe on a terminal for people.

use kappadb::{Chat, ChatError, EntryId, FeedKey, Member, Message, Said, visible_name};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A message for programs. `text` is null where there is none to show, `channel` where there is none: then it is private, and `to` says
/// for whom.
pub fn message(message: &Message) -> Value {
    let mut line = json!({
        "id": message.id.to_string(),
        "author": message.author.to_string(),
        "nick": message.nick,
        "channel": Some(&message.channel).filter(|channel| !channel.is_empty()),
        "timestamp": message.time.0,
        "kind": message.said.kind(),
        "text": message.said.text(),
    });
    if let (Said::Private { to, .. }, Some(line)) = (&message.said, line.as_object_mut()) {
        line.insert("to".to_owned(), json!(to.to_string()));
    }
    if let (Some(hidden), Some(line)) = (&message.hidden, line.as_object_mut()) {
        let (by, reason) = (hidden.by.to_string(), &hidden.reason);
        line.insert("hidden".to_owned(), json!({ "flag": hidden.flag.name(), "by": by, "reason": reason }));
    }
    line
}

/// Those whose names do not tell who they are.
pub struct Alike(BTreeSet<FeedKey>);

impl Alike {
    /// Among the authors of these.
    pub async fn authors(chat: &Chat, messages: &[Message]) -> Result<Alike, ChatError> {
        let named = messages.iter().filter_map(|message| Some((message.author, message.nick.clone()?)));
        Ok(Alike(chat.alike(named.collect()).await?))
    }

    /// Among these.
    pub async fn members(chat: &Chat, members: &[Member]) -> Result<Alike, ChatError> {
        let named = members.iter().filter_map(|member| Some((member.feed, member.nick.clone()?)));
        Ok(Alike(chat.alike(named.collect()).await?))
    }

    /// A name, with the beginning of the fingerprint where it could be another's.
    fn shown(&self, feed: &FeedKey, nick: Option<&str>) -> String {
        match nick.map(visible_name) {
            Some(nick) if self.0.contains(feed) => format!("{nick}/{:.9}", feed.fingerprint()),
            Some(nick) => nick,
            None => "-".to_owned(),
        }
    }
}

/// A message for people: when, its id by the fingerprint of who wrote it (nicknames are not unique), and what it says.
pub fn for_people(message: &Message, alike: &Alike) -> String {
    let author = alike.shown(&message.author, message.nick.as_deref());
    let said = match &message.said {
        Said::Text(text) => format!("<{author}> {text}"),
        Said::Emote(text) => format!("* {author} {text}"),
        Said::Private { to, text } => format!("<{author} to {}> {text}", to.fingerprint()),
        other => format!("<{author}> ({})", other.kind()),
    };
    let hidden = message.hidden.as_ref().map(|h| format!(" ({} by {})", h.flag.name(), h.by.fingerprint()));
    let EntryId { feed, seq } = message.id;
    format!("{} {}/{seq} {said}{}", message.time, feed.fingerprint(), hidden.unwrap_or_default())
}

/// A member for people.
pub fn member(member: &Member, alike: &Alike) -> String {
    format!("{} {}", member.feed.fingerprint(), alike.shown(&member.feed, member.nick.as_deref()))
}
