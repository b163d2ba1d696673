//! Several lanes of private messages, read along in reading order.

use super::correspondence::{self, Correspondence, Known};
use super::{Chat, ChatError, ReadOptions, read};
use crate::error::ReadError;
use crate::network::Neighbours;
use crate::network::ask::CHAT;
use crate::views::chat::ChatParts;
use kappadb_core::{FeedKey, Timestamp};
use kappadb_view_chat::{Ask, PageQuery, Place};
use std::collections::VecDeque;

/// Messages looked up at a time: few at first, for there may be many lanes of which little is wanted.
const FIRST: usize = 8;
const CHUNK: usize = 64;

/// A window, and from which end it is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Milliseconds, included.
    pub from: i64,
    /// Milliseconds, included.
    pub to: i64,
    /// True to begin with the latest.
    pub backwards: bool,
    /// Go on after this place.
    pub after: Option<Place>,
}

/// A lane with what was looked up of it and not yet read.
struct Reading {
    channel: String,
    author: FeedKey,
    after: Option<Place>,
    limit: usize,
    ready: VecDeque<Place>,
    over: bool,
}

/// Lanes read along. What they hold in memory is some places for each lane.
pub(super) struct Lanes<'a> {
    parts: &'a ChatParts,
    span: Span,
    lanes: Vec<Reading>,
}

impl<'a> Lanes<'a> {
    /// Lanes by their channels, with whose they are.
    pub fn new(parts: &'a ChatParts, lanes: impl Iterator<Item = (String, FeedKey)>, span: Span) -> Self {
        let reading = |(channel, author)| Reading {
            channel,
            author,
            after: span.after,
            limit: FIRST,
            ready: VecDeque::new(),
            over: false,
        };
        Lanes { parts, span, lanes: lanes.map(reading).collect() }
    }

    /// The next message of any of them: the number of its lane, and where it stands. None at the end.
    pub fn next(&mut self) -> Result<Option<(usize, Place)>, ReadError> {
        for lane in &mut self.lanes {
            lane.fill(self.parts, &self.span)?;
        }
        let first = |(_, lane): &(usize, &mut Reading)| lane.ready.front().copied();
        let waiting = self.lanes.iter_mut().enumerate().filter(|(_, lane)| !lane.ready.is_empty());
        let next = match self.span.backwards {
            true => waiting.max_by_key(first),
            false => waiting.min_by_key(first),
        };
        Ok(next.and_then(|(number, lane)| Some((number, lane.ready.pop_front()?))))
    }
}

impl Reading {
    /// Looks more up if nothing waits. Only what its author wrote counts: whoever has seen the number of a lane can post there.
    fn fill(&mut self, parts: &ChatParts, span: &Span) -> Result<(), ReadError> {
        while self.ready.is_empty() && !self.over {
            let all = PageQuery::latest(&self.channel, Timestamp(span.to), self.limit);
            let query = PageQuery { from: span.from, backwards: span.backwards, after: self.after, ..all };
            let places = parts.chat.read(|index| index.page(&query))??;
            self.over = places.len() < self.limit;
            self.after = places.last().copied().or(self.after);
            self.limit = (self.limit * 2).min(CHUNK);
            self.ready.extend(places.into_iter().filter(|place| place.id.feed == self.author));
        }
        Ok(())
    }
}

/// Asks for what [`Chat::private`] with the same words needs.
pub(super) async fn ask_lanes(
    chat: &Chat,
    neighbours: &mut Neighbours,
    with: Option<FeedKey>,
    options: &ReadOptions,
) -> Result<(), ChatError> {
    // What is not due is asked for, too: it is not shown, but tells that a clock is wrong.
    if let Some((from, to)) = read::wished(options) {
        // Lanes are worked out from the keys of thousands of feeds: not for nothing.
        if chat.parts.has_all() {
            return Ok(());
        }
        if with.is_none() {
            // Who wrote private messages at all: lanes are worked out from their keys.
            neighbours.ask(CHAT, Ask::Correspondents { from, to }.selector()).await?;
        }
        if neighbours.incomplete() > 0 && !neighbours.is_open() {
            // Nothing comes, and the answer is partial as it is.
            return Ok(());
        }
        let lanes = chat
            .run(move |parts| {
                parts.chat.ready()?;
                let lanes = correspondence::correspondences(parts, with, Known::Anyhow)?;
                Ok::<_, ReadError>(lanes.iter().flat_map(Correspondence::both).collect::<Vec<_>>())
            })
            .await??;
        for lanes in lanes.chunks(Ask::MAX_LANES) {
            let lanes = lanes.iter().map(|(lane, ..)| *lane).collect();
            neighbours.ask(CHAT, Ask::Private { lanes, from, to }.selector()).await?;
        }
    }
    Ok(())
}
