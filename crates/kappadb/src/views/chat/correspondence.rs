//! Who writes privately to whom, as far as the secrets here can tell.

use super::lanes::{Lanes, Span};
use crate::error::ReadError;
use crate::views::chat::ChatParts;
use kappadb_chat::{Content, Lane, Pair};
use kappadb_core::FeedKey;
use std::collections::BTreeSet;

/// With whom there may be something.
#[derive(Debug, Clone, Copy)]
pub(super) enum Known {
    /// Whoever wrote privately, and was written to, as far as is held here.
    Here,
    /// Any feed that is known: what was written to it may be elsewhere.
    Anyhow,
}

/// What this writer, by one of its feeds, and another write to each other.
pub(super) struct Correspondence {
    own: FeedKey,
    pub other: FeedKey,
    pub pair: Pair,
}

impl Correspondence {
    /// Both directions: where, by whom, for whom.
    pub fn both(&self) -> impl Iterator<Item = (Lane, FeedKey, FeedKey)> + use<> {
        let out = (self.pair.outbox(), self.own, self.other);
        let back = (self.pair.inbox(), self.other, self.own);
        // Notes to oneself have one direction.
        [Some(out), (self.own != self.other).then_some(back)].into_iter().flatten()
    }
}

/// With one other feed, or with all. A key that is none is left out: nothing was ever shared with it.
pub(super) fn correspondences(
    parts: &ChatParts,
    with: Option<FeedKey>,
    known: Known,
) -> Result<Vec<Correspondence>, ReadError> {
    let mut all = Vec::new();
    for own in parts.me() {
        let others = match (with, known) {
            (Some(other), _) => BTreeSet::from([other]),
            (None, Known::Here) => parts
                .chat
                .read(|index| index.lane_writers())??
                .into_iter()
                .chain(recipients(parts, &own)?)
                .collect(),
            (None, Known::Anyhow) => {
                parts.feeds.list().iter().map(|info| info.feed).chain(recipients(parts, &own)?).collect()
            }
        };
        let shared = |other| Some(Correspondence { own, other, pair: parts.pair(&own, &other).ok()? });
        all.extend(others.into_iter().filter_map(shared));
    }
    Ok(all)
}

/// What the authors of an import wrote to each other, or to one of the two: whoever imported it could read it.
pub(super) fn imported_correspondences(
    parts: &ChatParts,
    with: Option<FeedKey>,
) -> Result<Vec<Correspondence>, ReadError> {
    let mut all = Vec::new();
    for own in parts.writers.imported() {
        let others = recipients(parts, &own)?.into_iter();
        let others = others.filter(|other| with.is_none_or(|with| with == own || with == *other));
        all.extend(
            others.filter_map(|other| {
                Some(Correspondence { own, other, pair: parts.pair(&own, &other).ok()? })
            }),
        );
    }
    Ok(all)
}

/// Whom an own feed wrote to: some of them may be known by nothing else here.
fn recipients(parts: &ChatParts, own: &FeedKey) -> Result<Vec<FeedKey>, ReadError> {
    let mut recipients = Vec::new();
    for channel in parts.chat.read(|index| index.lanes_of(own))?? {
        recipients.extend(recipient(parts, own, &channel)?);
    }
    Ok(recipients)
}

/// Whom an own feed wrote to in one lane: any of its messages says that, so long as it is held.
fn recipient(parts: &ChatParts, own: &FeedKey, channel: &str) -> Result<Option<FeedKey>, ReadError> {
    let span = Span { from: i64::MIN, to: i64::MAX, backwards: true, after: None };
    let mut reading = Lanes::new(parts, std::iter::once((channel.to_owned(), *own)), span);
    while let Some((_, place)) = reading.next()? {
        let Some(Content::Private(sealed)) = parts.chat_post(place.id)?.map(|post| post.content) else {
            continue;
        };
        let look = |secret: &_| kappadb_chat::recipient(secret, place.order, &sealed);
        let recipient = parts.feeds.with_secret(own, look).flatten();
        let written_here = |to: &FeedKey| parts.pair(own, to).is_ok_and(|p| p.outbox().channel() == channel);
        if let Some(recipient) = recipient.filter(written_here) {
            return Ok(Some(recipient));
        }
    }
    Ok(None)
}
