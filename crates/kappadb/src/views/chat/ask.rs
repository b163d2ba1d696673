//! Asking the known peers. After that the own answer is that over the union of what they and this replica hold.

use super::lanes::ask_lanes;
use super::read::{wanted_ahead, window};
use super::{Asking, Chat, ChatError, ReadOptions, edit, unread};
use crate::error::ReadError;
use crate::network::Neighbours;
use crate::network::ask::CHAT;
use crate::views::chat::ChatParts;
use kappadb_chat::{Channel, StateKey};
use kappadb_core::{EntryId, FeedKey, Lseq, Timestamp};
use kappadb_entry::{Moment, decode_block, space};
use kappadb_query::Selector;
use kappadb_view_chat::{Ask, Lately, PageQuery, Place};
use std::collections::{BTreeMap, BTreeSet};

/// Asks for what a selector needs.
pub(super) fn one(
    selector: Selector,
) -> impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send {
    move |_, neighbours| Box::pin(async move { Ok(neighbours.ask(CHAT, selector).await.map(drop)?) })
}

/// Asks for a page of a channel.
pub(super) fn page(
    channel: String,
    options: ReadOptions,
) -> impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send {
    move |chat, neighbours| {
        Box::pin(async move { ask_page(chat, neighbours, &Channel::new(&channel)?, &options).await })
    }
}

/// Asks for what is said of a message that is held here.
pub(super) fn message(id: EntryId) -> impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send {
    move |chat, neighbours| {
        Box::pin(async move {
            // What is not held here is not known by its name.
            let Ok((channel, Place { order, .. })) =
                look(chat, move |parts| edit::chat_found(parts, id)).await
            else {
                return Ok(());
            };
            let (from, to) = (order.0, order.0);
            let ask = Ask::Screen { channel, from, to, limit: 0, backwards: true, ahead: 0 };
            Ok(neighbours.ask(CHAT, ask.selector()).await.map(drop)?)
        })
    }
}

/// Asks for private messages.
pub(super) fn lanes(
    with: Option<FeedKey>,
    options: ReadOptions,
) -> impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send {
    move |chat, neighbours| Box::pin(async move { ask_lanes(chat, neighbours, with, &options).await })
}

/// Asks for all of a channel, or of all.
pub(super) fn searched(
    channel: Option<String>,
) -> impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send {
    move |chat, neighbours| {
        Box::pin(async move {
            let Some(channel) = channel else {
                return Ok(neighbours.ask(CHAT, Selector::Everything).await.map(drop)?);
            };
            ask_page(chat, neighbours, &Channel::new(&channel)?, &ReadOptions::default()).await
        })
    }
}

/// Asks for what came and was not read yet.
pub(super) fn unread() -> impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send {
    |chat, neighbours| Box::pin(ask_unread(chat, neighbours))
}

/// Asks which channels there are, and what they are about.
pub(super) fn channels() -> impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send {
    |chat, neighbours| Box::pin(ask_channels(chat, neighbours))
}

/// Asks for topic, archive, members and names of a channel.
pub(super) fn state(
    channel: String,
) -> impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send {
    move |chat, neighbours| Box::pin(async move { ask_state(chat, neighbours, &channel).await })
}

/// Asks for topic, archive, members and names of a channel.
pub(super) async fn ask_state(
    chat: &Chat,
    neighbours: &mut Neighbours,
    channel: &str,
) -> Result<(), ChatError> {
    let (folded, to) = (Channel::new(channel)?.folded, chat.parts.clock.now().0);
    let channel = folded.clone();
    let members = move |parts: &ChatParts| Ok(parts.chat_members(&channel)?);
    let before = shown_before(chat, neighbours, members.clone()).await?;
    neighbours.ask(CHAT, Ask::State { channel: folded, to }.selector()).await?;
    ask_names(chat, neighbours, before, members).await
}

/// Asks which channels there are, and what they are about.
pub(super) async fn ask_channels(chat: &Chat, neighbours: &mut Neighbours) -> Result<(), ChatError> {
    neighbours.ask(CHAT, Ask::Channels { to: chat.parts.clock.now().0 }.selector()).await?;
    // A peer sends the last message of each. If that is deleted, whether there are others is asked.
    let doubtful = look(chat, |parts| {
        let mut doubtful = Vec::new();
        for name in parts.chat.read(|index| index.channels())?? {
            let posted = parts.chat.read(|index| index.last_posted(&name, Timestamp(i64::MAX)))??.is_some();
            if posted && !parts.chat.read(|index| index.ends_live(&name))?? {
                doubtful.push(Channel { shown: name.clone(), folded: name });
            }
        }
        Ok(doubtful)
    })
    .await?;
    for channel in doubtful {
        let one = ReadOptions { hidden: true, ..ReadOptions::latest(1) };
        ask_page(chat, neighbours, &channel, &one).await?;
    }
    Ok(())
}

/// Asks for what [`Chat::unread`] counts: what came lately to the channels that this writer is in, some of the latest of each at most, and the
/// private messages to it. For the channels it is one question, whatever their number up to a hundred and however long they are.
pub(super) async fn ask_unread(chat: &Chat, neighbours: &mut Neighbours) -> Result<(), ChatError> {
    let (lately, to) = (look(chat, unread::chat_lately).await?, chat.parts.clock.now().0);
    let questions = move |late| {
        let some = lately.chunks(Ask::MAX_CHANNELS).map(|channels| {
            let channels = channels.iter().map(|wanted| Lately { late, ..wanted.clone() }).collect();
            Ask::Lately { channels, others: None, to }
        });
        Ok(some.collect())
    };
    ask_lately(chat, neighbours, questions).await?;
    ask_lanes(chat, neighbours, None, &ReadOptions::default()).await
}

/// Asks what came lately, by questions in which so many are wanted that came late; and for four times as many as long as all of these are
/// new here: there may be others before them. On a replica that holds a part some of the old history is new, too, so less must not do.
pub(super) async fn ask_lately(
    chat: &Chat,
    neighbours: &mut Neighbours,
    questions: impl Fn(u32) -> Result<Vec<Ask>, ChatError>,
) -> Result<(), ChatError> {
    let before = look(chat, |parts| Ok(parts.feeds.end())).await?;
    let mut late = LATE;
    loop {
        let asked = questions(late)?;
        for question in &asked {
            neighbours.ask(CHAT, question.selector()).await?;
        }
        if !neighbours.is_open() {
            return Ok(());
        }
        let new = look(chat, move |parts| came_late(parts, before, &asked)).await?;
        if new < late || late == u32::MAX {
            return Ok(());
        }
        late = late.saturating_mul(4);
    }
}

/// Asks for a page. Peers count by their own lights; so when what they sent leaves fewer messages to be shown here than
/// were wanted, they are asked for more, until there are as many or the channel is at its end. What a peer counted is held here then, so
/// it spoke of all up to the last of as many that are held here, deleted or not: only what is shown of these counts.
pub(super) async fn ask_page(
    chat: &Chat,
    neighbours: &mut Neighbours,
    channel: &Channel,
    options: &ReadOptions,
) -> Result<(), ChatError> {
    let Some((mut from, mut to)) = window(options, chat.parts.clock.now()) else { return Ok(()) };
    let backwards = !options.oldest_first;
    match (options.after, backwards) {
        (Some(after), true) => to = to.min(after.time.0),
        (Some(after), false) => from = from.max(after.time.0),
        (None, _) => {}
    }
    if options.limit == Some(0) || from > to {
        return Ok(());
    }
    let ahead = wanted_ahead(options, chat.parts.clock.now());
    let window = Window { from, to, backwards, ahead };
    let (named, wished) = (channel.clone(), options.clone());
    let authors = move |parts: &ChatParts| {
        let page = parts.chat_read(&named, &wished)?;
        Ok(page.messages.into_iter().map(|message| message.author).collect())
    };
    let before = shown_before(chat, neighbours, authors.clone()).await?;
    // One more tells that there are more.
    let wanted = ReadOptions { limit: options.limit.map(|limit| limit.saturating_add(1)), ..options.clone() };
    ask_until(chat, neighbours, channel, window, wanted.limit, {
        let (channel, options) = (channel.clone(), wanted);
        move |parts| {
            let page = parts.chat_read(&channel, &options)?;
            Ok(page.messages.iter().map(|message| Place { order: message.time, id: message.id }).collect())
        }
    })
    .await?;
    ask_names(chat, neighbours, before, authors).await
}

/// Looks at what is held here.
pub(super) async fn look<T: Send + 'static>(
    chat: &Chat,
    look: impl FnOnce(&ChatParts) -> Result<T, ChatError> + Send + 'static,
) -> Result<T, ChatError> {
    chat.run(move |parts| {
        parts.chat.ready()?;
        look(parts)
    })
    .await?
}

/// Who is shown before anything is asked, for [`Chat::ask_names`]. It is looked up only if there is anybody to ask.
async fn shown_before(
    chat: &Chat,
    neighbours: &Neighbours,
    shown: impl FnOnce(&ChatParts) -> Result<BTreeSet<FeedKey>, ChatError> + Send + 'static,
) -> Result<BTreeSet<FeedKey>, ChatError> {
    if neighbours.is_open() { look(chat, shown).await } else { Ok(BTreeSet::new()) }
}

/// Asks for the names of those who are shown. A peer has sent the names of those of whom it sent something: so nothing is asked if all are
/// new here, and one peer alone was asked.
async fn ask_names(
    chat: &Chat,
    neighbours: &mut Neighbours,
    before: BTreeSet<FeedKey>,
    shown: impl FnOnce(&ChatParts) -> Result<BTreeSet<FeedKey>, ChatError> + Send + 'static,
) -> Result<(), ChatError> {
    if !neighbours.is_open() {
        // Nobody can be asked, and what was asked before had the names with it.
        return Ok(());
    }
    let mut feeds = look(chat, shown).await?;
    if neighbours.count() == 1 {
        feeds.retain(|feed| before.contains(feed));
    }
    let nick = |feed| StateKey::Profile { feed, field: "nick" }.encode();
    let keys = feeds.into_iter().map(nick).collect();
    Ok(neighbours.ask_in_parts(CHAT, keys, Selector::Keys).await?)
}

/// Asks for messages of a window until as many as are wanted are `shown` here, of those that all peers have spoken of, or there are no more.
/// None wants all.
async fn ask_until(
    chat: &Chat,
    neighbours: &mut Neighbours,
    channel: &Channel,
    window: Window,
    wanted: Option<usize>,
    shown: impl Fn(&ChatParts) -> Result<Vec<Place>, ChatError> + Clone + Send + 'static,
) -> Result<(), ChatError> {
    let mut limit = wanted.map_or(0, |wanted| u32::try_from(wanted).unwrap_or(u32::MAX));
    let Window { from, to, backwards, mut ahead } = window;
    loop {
        let folded = channel.folded.clone();
        let ask = Ask::Screen { channel: folded.clone(), from, to, limit, backwards, ahead };
        ahead = 0;
        neighbours.ask(CHAT, ask.selector()).await?;
        let Some(wanted) = wanted.filter(|_| neighbours.is_open()) else { return Ok(()) };
        let (shown, most) = (shown.clone(), usize::try_from(limit).unwrap_or(usize::MAX));
        let (shown, there) = look(chat, move |parts| {
            let all = PageQuery::latest(&folded, Timestamp(to), most);
            let query = PageQuery { from, backwards, ..all };
            let there = parts.chat.read(|index| index.posted_page(&query))??;
            // What a peer counted is among these, so it sent all up to the last of them at least.
            let last = there.last().copied();
            let covered = |place: &Place| {
                last.is_none_or(|last| if backwards { *place >= last } else { *place <= last })
            };
            Ok((shown(parts)?.into_iter().filter(covered).count(), there.len()))
        })
        .await?;
        if shown >= wanted || there < most || limit == u32::MAX {
            return Ok(());
        }
        limit = limit.saturating_mul(2);
    }
}

/// Messages that are asked for of those that came late, and arrivals that are looked at at a time.
const LATE: u32 = 32;
const LOOK: usize = 1_024;

/// How many have arrived since of the channel that most came to, of what stands before what is asked for by time.
fn came_late(parts: &ChatParts, since: Lseq, asked: &[Ask]) -> Result<u32, ChatError> {
    let mut wanted: BTreeMap<&str, &Lately> = BTreeMap::new();
    let mut others = None;
    for ask in asked {
        if let Ask::Lately { channels, others: rest, .. } = ask {
            wanted.extend(channels.iter().map(|lately| (&lately.channel[..], lately)));
            others = others.or(rest.as_ref());
        }
    }
    let is_late = |moment: &Moment| {
        let channel = std::str::from_utf8(&moment.channel).unwrap_or_default();
        let lately = wanted.get(channel).copied().or(others);
        lately.is_some_and(|lately| lately.late > 0 && moment.from < lately.from)
    };
    let (mut from, end) = (since, parts.feeds.end());
    let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    while from < end {
        let arrivals = parts.feeds.arrivals(from, LOOK).map_err(ReadError::from)?;
        let Some(last) = arrivals.last() else { break };
        from = last.lseq + 1;
        let headers = arrivals.iter().filter_map(|arrival| Some(decode_block(&arrival.block).ok()?.header));
        let chat = headers.filter(|header| header.kind.space == space::CHAT);
        for moment in chat.filter_map(|header| header.places.moments.into_iter().next()).filter(is_late) {
            *counts.entry(moment.channel).or_default() += 1;
        }
    }
    Ok(counts.into_values().max().unwrap_or(0))
}

/// What part of a channel is asked for.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Milliseconds, included.
    from: i64,
    /// Milliseconds, included.
    to: i64,
    backwards: bool,
    /// How many messages after `to`, this machine's clock, are wanted too.
    ahead: u32,
}
