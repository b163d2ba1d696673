//! What is asked live of peers about chat.

use crate::database::Parts;
use crate::error::ReadError;
use crate::network::ask::CHAT;
use crate::network::follow::{Follow, Wanted};
use kappadb_chat::Channel;
use kappadb_query::Selector;
use kappadb_view_chat::Ask;
use std::sync::Arc;

/// What a channel is followed by.
pub(crate) fn channel(channel: &Channel) -> Follow {
    let channel = channel.folded.clone().into_bytes();
    Follow::matching(CHAT, Selector::Window { channel, from: i64::MIN, to: i64::MAX })
}

/// What is known of channels and people: names, topics, members, flags. Who says something, and whether it is shown.
pub(crate) fn state() -> Follow {
    Follow::matching(CHAT, Selector::Prefix(Vec::new()))
}

/// Private messages to and from this replica's writers.
pub(crate) fn private() -> [Follow; 2] {
    let who = Ask::Correspondents { from: i64::MIN, to: i64::MAX }.selector();
    [Follow::matching(CHAT, who), Follow::new(CHAT, Wanted::Changing(Arc::new(lanes)))]
}

/// The lanes in which they lie, as far as the feeds of others are known.
fn lanes(parts: &Parts) -> Result<Selector, ReadError> {
    let lanes = parts.private_lanes()?.into_iter().take(Ask::MAX_LANES).collect();
    Ok(Ask::Private { lanes, from: i64::MIN, to: i64::MAX }.selector())
}

/// What a watcher of these channels, or of all, tells of from now on.
pub(super) fn watched(channels: Option<&[Channel]>, with_private: bool) -> Vec<Follow> {
    let private = if with_private { private().to_vec() } else { Vec::new() };
    let open = match channels {
        Some(channels) => channels.iter().map(channel).chain([state()]).map(Follow::from_now).collect(),
        None => vec![Follow::matching(CHAT, Selector::Everything).from_now()],
    };
    [open, private].concat()
}
