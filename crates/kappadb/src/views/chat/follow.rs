//! What is asked live of peers about chat.

use super::ChatParts;
use super::correspondence::{Correspondence, Known, correspondences};
use crate::error::ReadError;
use crate::network::Follow;
use crate::network::ask::CHAT;
use kappadb_chat::Channel;
use kappadb_query::Selector;
use kappadb_view_chat::Ask;
use std::sync::Arc;

/// What a channel is followed by.
pub(super) fn channel(channel: &Channel) -> Follow {
    let channel = channel.folded.clone().into_bytes();
    Follow::matching(CHAT, Selector::Window { channel, from: i64::MIN, to: i64::MAX })
}

/// What is known of channels and people: names, topics, members, flags. Who says something, and whether it is shown.
pub(super) fn state() -> Follow {
    Follow::matching(CHAT, Selector::Prefix(Vec::new()))
}

/// Private messages to and from this replica's writers.
pub(super) fn private(parts: &Arc<ChatParts>) -> [Follow; 2] {
    let who = Ask::Correspondents { from: i64::MIN, to: i64::MAX }.selector();
    // What is followed does not keep the database open.
    let parts = Arc::downgrade(parts);
    let lanes = move || lanes(&*parts.upgrade().ok_or(ReadError::Closed)?);
    [Follow::matching(CHAT, who), Follow::changing(CHAT, lanes)]
}

/// The lanes in which they lie, as far as the feeds of others are known.
fn lanes(parts: &ChatParts) -> Result<Selector, ReadError> {
    let lanes = correspondences(parts, None, Known::Anyhow)?;
    let lanes = lanes.iter().flat_map(Correspondence::both).map(|(lane, ..)| lane);
    let lanes = lanes.take(Ask::MAX_LANES).collect();
    Ok(Ask::Private { lanes, from: i64::MIN, to: i64::MAX }.selector())
}

/// What a watcher of these channels, or of all, tells of from now on.
pub(super) fn watched(
    parts: &Arc<ChatParts>,
    channels: Option<&[Channel]>,
    with_private: bool,
) -> Vec<Follow> {
    let private = if with_private { private(parts).to_vec() } else { Vec::new() };
    let open = match channels {
        Some(channels) => channels.iter().map(channel).chain([state()]).map(Follow::news_only).collect(),
        None => vec![Follow::matching(CHAT, Selector::Everything).news_only()],
    };
    [open, private].concat()
}
