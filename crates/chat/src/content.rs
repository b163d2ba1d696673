//! Contents, and what entries they become.

use crate::name::{Channel, SayError, bytes, points, within};
use crate::private::{check_sealed, is_private};
use crate::seen::check_nick;
use crate::{Flag, StateKey};
use bincode::{Decode, Encode};
use kappadb_core::{EntryId, FeedKey, Timestamp, codec};
use kappadb_entry::{Context, Header, Kind, Moment, Places, space};

/// Codes of kinds.
pub mod code {
    /// A text.
    pub const TEXT: u8 = 1;
    /// An action.
    pub const EMOTE: u8 = 2;
    /// What a channel is about.
    pub const TOPIC: u8 = 3;
    /// What a writer says of itself.
    pub const PROFILE: u8 = 4;
    /// Its writer joins.
    pub const JOIN: u8 = 5;
    /// Its writer leaves.
    pub const LEAVE: u8 = 6;
    /// The channel is archived.
    pub const ARCHIVE: u8 = 7;
    /// It is not.
    pub const UNARCHIVE: u8 = 8;
    /// An entry of the same writer is taken back.
    pub const DELETE: u8 = 9;
    /// The flags that its writer sets on another.
    pub const FLAGS: u8 = 10;
    /// A private message.
    pub const PRIVATE: u8 = 11;
    /// A message of the same writer says something else now.
    pub const EDIT: u8 = 12;
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A text.
    Text(String),
    /// An action: "anna waves".
    Emote(String),
    /// What a channel is about; empty clears it.
    Topic(String),
    /// What its writer says of itself.
    Profile {
        /// Of which part: `nick`, or any other.
        field: String,
        /// What of it.
        value: String,
    },
    /// Its writer joins the channel.
    Join,
    /// Its writer leaves the channel.
    Leave,
    /// The channel is archived.
    Archive {
        /// Why; may be empty.
        reason: String,
    },
    /// The channel is used again.
    Unarchive {
        /// Why; may be empty.
        reason: String,
    },
    /// An entry of the same writer is taken back.
    Delete {
        /// Which.
        target: EntryId,
        /// Its key, if it has one.
        key: Option<Vec<u8>>,
        /// Its order time.
        order: Timestamp,
    },
    /// A message of the same writer says this now.
    Edit {
        /// Which.
        target: EntryId,
        /// What it says now.
        text: String,
    },
    /// The flags that its writer sets on another: these and no others.
    Flags {
        /// Where; none is everywhere.
        scope: Option<Channel>,
        /// On whom.
        target: FeedKey,
        /// Which.
        flags: Vec<Flag>,
        /// Why; may be empty.
        reason: String,
    },
    /// A private message, or what one says now, as it was sealed: [`crate::Pair::open`].
    Private(Vec<u8>),
    /// Something that this release does not know.
    Unknown {
        /// The code of its kind.
        code: u8,
    },
    /// Something whose payload is not held.
    Cleared {
        /// The code of its kind.
        code: u8,
    },
}

/// An entry to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// What sort of entry.
    pub kind: Kind,
    /// What it is about.
    pub key: Option<Vec<u8>>,
    /// The entries that it names.
    pub context: Context,
    /// Where it is.
    pub places: Places,
    /// What it says.
    pub payload: Vec<u8>,
}

/// An entry understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The channel as the entry spells it; empty if that is as it is compared, or it says nothing of that.
    pub channel: String,
    /// What it says.
    pub content: Content,
    /// Where it stands in its channel.
    pub order: Timestamp,
    /// What a message has beside its text.
    pub extras: Extras,
}

/// What a message may have beside its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Extras {
    /// The message that it answers.
    pub reply_to: Option<EntryId>,
    /// The blobs that belong to it; at most [`Extras::MAX_BLOBS`].
    pub blobs: Vec<EntryId>,
}

impl Extras {
    /// Blobs of one message.
    pub const MAX_BLOBS: usize = 16;

    fn check(&self) -> Result<(), SayError> {
        within("a message", self.blobs.len(), "attachments", 0, Extras::MAX_BLOBS)
    }
}

/// The payload of all kinds but deletes, which have none, and private messages.
#[derive(Default, Encode, Decode)]
struct Body {
    /// The channel as it is spelled; empty if that is as it is compared.
    spelling: String,
    text: String,
    extras: Extras,
    /// A bit for each flag.
    flags: u8,
}

const MAX_BODY: usize = 16 << 10;

/// The entry that says this.
pub fn prepare(
    author: &FeedKey,
    content: &Content,
    channel: Option<&Channel>,
    order: Timestamp,
) -> Result<Prepared, SayError> {
    prepare_with(author, content, &Extras::default(), channel, order)
}

/// The same of a message that has more than its text.
pub fn prepare_with(
    author: &FeedKey,
    content: &Content,
    extras: &Extras,
    channel: Option<&Channel>,
    order: Timestamp,
) -> Result<Prepared, SayError> {
    extras.check()?;
    let folded = channel.map(|c| c.folded.clone()).unwrap_or_default();
    let here = || at(&folded, order);
    let mut context = Context::NOTHING;
    let spelling = |channel: Option<&Channel>| {
        channel.filter(|c| c.shown != c.folded).map(|c| c.shown.clone()).unwrap_or_default()
    };
    let mut body = Body { spelling: spelling(channel), extras: extras.clone(), ..Body::default() };
    let (code, key, places) = match content {
        Content::Text(text) | Content::Emote(text) => {
            bytes("a text", text, 1, 4096)?;
            body.text.clone_from(text);
            let code = if matches!(content, Content::Text(_)) { code::TEXT } else { code::EMOTE };
            (code, None, here())
        }
        Content::Edit { target, text } => {
            bytes("a text", text, 1, 4096)?;
            body.text.clone_from(text);
            context.ids.push(*target);
            (code::EDIT, None, here())
        }
        Content::Topic(text) => {
            points("a topic", text, 0, 512)?;
            body.text.clone_from(text);
            (code::TOPIC, Some(StateKey::Topic(&folded).encode()), Places::NOWHERE)
        }
        Content::Profile { field, value } => {
            points("a field's name", field, 1, 32)?;
            check_profile(field, value)?;
            if field == "nick" {
                check_nick(value)?;
            }
            body.text.clone_from(value);
            (code::PROFILE, Some(StateKey::Profile { feed: *author, field }.encode()), Places::NOWHERE)
        }
        Content::Join | Content::Leave => {
            let code = if *content == Content::Join { code::JOIN } else { code::LEAVE };
            (code, Some(StateKey::Member { channel: &folded, feed: *author }.encode()), Places::NOWHERE)
        }
        Content::Archive { reason } | Content::Unarchive { reason } => {
            self::reason(reason)?;
            body.text.clone_from(reason);
            let code =
                if matches!(content, Content::Archive { .. }) { code::ARCHIVE } else { code::UNARCHIVE };
            (code, Some(StateKey::Archive(&folded).encode()), Places::NOWHERE)
        }
        Content::Delete { target, key, order } => {
            context.ids.push(*target);
            let places = if key.is_none() { at(&folded, *order) } else { Places::NOWHERE };
            let (kind, key) = (kind(code::DELETE), key.clone());
            return Ok(Prepared { kind, key, context, places, payload: Vec::new() });
        }
        Content::Flags { scope, target, flags, reason } => {
            self::reason(reason)?;
            body.text.clone_from(reason);
            body.spelling = spelling(scope.as_ref());
            body.flags = flags.iter().fold(0, |bits, flag| bits | flag.bit());
            let scope = scope.as_ref().map(|c| c.folded.clone()).unwrap_or_default();
            let key = StateKey::Flags { scope: &scope, target: *target, by: *author };
            (code::FLAGS, Some(key.encode()), Places::NOWHERE)
        }
        Content::Private(_) | Content::Unknown { .. } | Content::Cleared { .. } => {
            return Err(SayError::Malformed);
        }
    };
    Ok(Prepared { kind: kind(code), key, context, places, payload: codec::encode(&body) })
}

fn check_profile(field: &str, value: &str) -> Result<(), SayError> {
    match field {
        "nick" => points("a nickname", value, 1, 32),
        _ => bytes("a profile field", value, 0, 1024),
    }
}

pub(crate) fn kind(code: u8) -> Kind {
    Kind { space: space::CHAT, code }
}

/// A moment of a channel, by its folded name.
pub(crate) fn at(folded: &str, order: Timestamp) -> Places {
    Places::new(Vec::new(), vec![Moment { channel: folded.as_bytes().to_vec(), from: order.0, to: order.0 }])
}

pub(crate) fn check_text(text: &str) -> Result<(), SayError> {
    bytes("a text", text, 1, 4096)
}

/// What an entry says; `payload` is none if it was cleared.
pub fn decode(header: &Header, payload: Option<&[u8]>) -> Result<Post, SayError> {
    let order = Timestamp(header.places.moments.first().map_or(header.time.0, |m| m.from));
    let code = header.kind.code;
    let bare = |content| Post { channel: String::new(), content, order, extras: Extras::default() };
    if !(code::TEXT..=code::EDIT).contains(&code) {
        return Ok(bare(Content::Unknown { code }));
    }
    if code == code::DELETE {
        // All of it is in the header: it means the same once it was cleared.
        let target = deleted(header).ok_or(SayError::Malformed)?;
        let content = Content::Delete { target, key: header.key.clone(), order };
        return Ok(bare(content));
    }
    let Some(payload) = payload else {
        return Ok(bare(Content::Cleared { code }));
    };
    if code == code::PRIVATE || (code == code::EDIT && is_private(header)) {
        check_sealed(payload)?;
        return Ok(bare(Content::Private(payload.to_vec())));
    }
    let key = header.key.as_deref().and_then(StateKey::decode);
    let body: Body = codec::decode::<Body, MAX_BODY>("chat", payload).map_err(|_| SayError::Malformed)?;
    let content = match code {
        code::TEXT => bytes("a text", &body.text, 1, 4096).map(|()| Content::Text(body.text))?,
        code::EMOTE => bytes("a text", &body.text, 1, 4096).map(|()| Content::Emote(body.text))?,
        code::EDIT => {
            bytes("a text", &body.text, 1, 4096)?;
            let target = edited(header).ok_or(SayError::Malformed)?;
            Content::Edit { target, text: body.text }
        }
        code::TOPIC => points("a topic", &body.text, 0, 512).map(|()| Content::Topic(body.text))?,
        code::PROFILE => match key {
            Some(StateKey::Profile { field, .. }) => {
                check_profile(field, &body.text)?;
                Content::Profile { field: field.to_owned(), value: body.text }
            }
            _ => return Err(SayError::Malformed),
        },
        code::JOIN => Content::Join,
        code::LEAVE => Content::Leave,
        code::ARCHIVE => reason(&body.text).map(|()| Content::Archive { reason: body.text })?,
        code::UNARCHIVE => reason(&body.text).map(|()| Content::Unarchive { reason: body.text })?,
        _ => {
            let Some(StateKey::Flags { scope, target, .. }) = key else { return Err(SayError::Malformed) };
            reason(&body.text)?;
            let scope = (!scope.is_empty()).then(|| Channel::new(scope)).transpose()?;
            let flags = Flag::ALL.into_iter().filter(|flag| body.flags & flag.bit() != 0).collect();
            Content::Flags { scope, target, flags, reason: body.text }
        }
    };
    body.extras.check()?;
    Ok(Post { channel: body.spelling, content, order, extras: body.extras })
}

fn reason(text: &str) -> Result<(), SayError> {
    points("a reason", text, 0, 512)
}

/// What a delete takes back. Its header names it, and where it is: whose it is is not checked here.
pub fn deleted(header: &Header) -> Option<EntryId> {
    match (header.kind.code, &header.context.ids[..]) {
        (code::DELETE, [target]) => Some(*target),
        _ => None,
    }
}

/// The message that an edit is of. Its header names it, and where it is: whose it is is not checked here.
pub fn edited(header: &Header) -> Option<EntryId> {
    match (header.kind.code, &header.context.ids[..]) {
        (code::EDIT, [target]) => Some(*target),
        _ => None,
    }
}

/// After the clock and all that is known, and at most a week ahead of the clock.
pub fn order_time(clock: Timestamp, latest: Option<Timestamp>) -> Timestamp {
    const WEEK: i64 = 7 * 24 * 3_600_000;
    let after = latest.map_or(clock.0, |latest| latest.0.saturating_add(1));
    Timestamp(clock.0.max(after).min(clock.0.saturating_add(WEEK)))
}
