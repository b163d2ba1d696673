//! Messages as lines: JSON for programs, and what is safe on a terminal for people.

use kappadb::{Member, Message, Said, visible_name};
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

/// A message for people.
pub fn for_people(message: &Message) -> String {
    let author = who(message.nick.as_deref(), &message.author.to_string());
    let said = match &message.said {
        Said::Text(text) => format!("<{author}> {}", text),
        Said::Emote(text) => format!("* {author} {}", text),
        Said::Private { to, text } => {
            format!("<{author} to {:.8}> {}", to.to_string(), text)
        }
        other => format!("<{author}> ({})", other.kind()),
    };
    let hidden = message.hidden.as_ref().map(|h| format!(" (hidden by {:.8})", h.by.to_string()));
    format!("{} {said}{}", message.time, hidden.unwrap_or_default())
}

/// A member for people.
pub fn member(member: &Member) -> String {
    let feed = member.feed.to_string();
    match &member.nick {
        Some(nick) => format!("{feed} {}", visible_name(nick)),
        None => feed,
    }
}

/// A name that says who it is: nicknames are not unique.
fn who(nick: Option<&str>, feed: &str) -> String {
    match nick {
        Some(nick) => format!("{}/{feed:.4}", visible_name(nick)),
        None => format!("{feed:.8}"),
    }
}
