//! Messages as lines: JSON for programs, and what is safe on a terminal for people.

use crate::console::Console;
use kappadb::{Chat, ChatEdition, ChatError, EntryId, FeedKey, Member, Message, Said, visible_name};
use serde_json::{Value, json};
use std::collections::BTreeSet;

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
pub fn for_people(console: &Console, message: &Message, alike: &Alike) -> String {
    let author = alike.shown(&message.author, message.nick.as_deref());
    let said = match &message.said {
        Said::Text(text) => format!("<{author}> {text}"),
        Said::Emote(text) => format!("* {author} {text}"),
        Said::Private { to, text } => format!("<{author} to {}> {text}", to.fingerprint()),
        other => format!("<{author}> ({})", other.kind()),
    };
    let hidden = message.hidden.as_ref().map(|h| format!(" ({} by {})", h.flag.name(), h.by.fingerprint()));
    let reply = message.reply_to.map(|id| format!(" (reply to {})", short(&id))).unwrap_or_default();
    let attached: String = message.attachments.iter().map(|id| format!(" [{}]", short(id))).collect();
    let edited = if message.edited.is_some() { " (edited)" } else { "" };
    let (time, id) = (console.time(message.time), short(&message.id));
    format!("{time} {id} {said}{reply}{attached}{edited}{}", hidden.unwrap_or_default())
}

/// An entry for people: the fingerprint of its feed, and its number.
fn short(EntryId { feed, seq }: &EntryId) -> String {
    format!("{}/{seq}", feed.fingerprint())
}

/// What a message said, for programs and for people.
pub fn edition(console: &Console, edition: &ChatEdition) -> (Value, String) {
    let attached: Vec<String> = edition.attachments.iter().map(EntryId::to_string).collect();
    let (id, text) = (edition.id.to_string(), edition.said.text());
    let line = json!({ "id": id, "timestamp": edition.time.0, "text": text, "attachments": attached });
    let attached: String = edition.attachments.iter().map(|id| format!(" [{}]", short(id))).collect();
    let said = text.map_or_else(|| format!("({})", edition.said.kind()), str::to_owned);
    (line, format!("{} {} {said}{attached}", console.time(edition.time), short(&edition.id)))
}

/// A feed for people, by what it calls itself.
pub fn who(nick: Option<&str>, feed: &FeedKey) -> String {
    match nick {
        Some(nick) => format!("{}/{:.9}", visible_name(nick), feed.fingerprint()),
        None => feed.fingerprint().to_string(),
    }
}

/// A member for people.
pub fn member(member: &Member, alike: &Alike) -> String {
    format!("{} {}", member.feed.fingerprint(), alike.shown(&member.feed, member.nick.as_deref()))
}
