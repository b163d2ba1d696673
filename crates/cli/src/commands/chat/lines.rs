//! Messages as lines: JSON for programs, and what is safe on a terminal for people.

use kappadb::{EntryId, Member, Message, Said, visible_name};
use serde_json::{Value, json};

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
        line.insert("hidden".to_owned(), json!({ "by": by, "reason": reason }));
    }
    line
}

/// A message for people: when, its id by the fingerprint of who wrote it (nicknames are not unique), and what it says.
pub fn for_people(message: &Message) -> String {
    let author = message.nick.as_deref().map_or_else(|| "-".to_owned(), visible_name);
    let said = match &message.said {
        Said::Text(text) => format!("<{author}> {text}"),
        Said::Emote(text) => format!("* {author} {text}"),
        Said::Private { to, text } => format!("<{author} to {}> {text}", to.fingerprint()),
        other => format!("<{author}> ({})", other.kind()),
    };
    let hidden = message.hidden.as_ref().map(|h| format!(" (hidden by {})", h.by.fingerprint()));
    let EntryId { feed, seq } = message.id;
    format!("{} {}/{seq} {said}{}", message.time, feed.fingerprint(), hidden.unwrap_or_default())
}

/// A member for people.
pub fn member(member: &Member) -> String {
    let nick = member.nick.as_deref().map(visible_name).unwrap_or_default();
    format!("{} {nick}", member.feed.fingerprint()).trim_end().to_owned()
}
