//! Asking the known peers. After that the own answer is that over the union of what they and this replica hold.

use super::read::{wanted_ahead, window};
use super::{Chat, ChatError, ReadOptions, SearchOptions};
use crate::ask::{self, Asked, CHAT, Neighbours};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_chat::{Channel, PROFILES, StateKey};
use kappadb_core::{FeedKey, Lseq, Timestamp};
use kappadb_entry::{Moment, decode_block, space};
use kappadb_query::Selector;
use kappadb_view_chat::{Ask, Lately, PageQuery, Place};
use std::collections::{BTreeMap, BTreeSet};

/// Names, topic and flags come with whatever is asked: what a page of messages cannot be shown without.
impl Chat {
    /// Asks for what [`Chat::read`] with the same words needs: with a limit, no more than the peers take to be within it, and
    /// what it takes to be sure of that.
    pub async fn ask(&self, channel: &str, options: &ReadOptions) -> Result<Asked, ChatError> {
        let channel = Channel::new(channel)?;
        let mut neighbours = Neighbours::dial(&self.parts).await;
        self.ask_page(&mut neighbours, &channel, options).await?;
        Ok(neighbours.finish().await?)
    }

    /// Asks for the latest `limit` messages of a channel, as [`Chat::ask`].
    pub async fn ask_latest(&self, channel: &str, limit: usize) -> Result<Asked, ChatError> {
        self.ask(channel, &ReadOptions::latest(limit)).await
    }

    /// Asks for the messages of a channel from `since` on and before `until`.
    pub async fn ask_window(
        &self,
        channel: &str,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Result<Asked, ChatError> {
        self.ask(channel, &ReadOptions { since, until, ..ReadOptions::default() }).await
    }

    /// Asks for topic, archive, members and names of a channel.
    pub async fn ask_state(&self, channel: &str) -> Result<Asked, ChatError> {
        let (folded, to) = (Channel::new(channel)?.folded, self.parts.clock.now().0);
        let mut neighbours = Neighbours::dial(&self.parts).await;
        let channel = folded.clone();
        let members = move |parts: &Parts| Ok(parts.chat_members(&channel)?);
        let before = self.look(members.clone()).await?;
        neighbours.ask(CHAT, Ask::State { channel: folded, to }.selector()).await?;
        self.ask_names(&mut neighbours, before, members).await?;
        Ok(neighbours.finish().await?)
    }

    /// Asks which channels there are, and what they are about.
    pub async fn ask_channels(&self) -> Result<Asked, ChatError> {
        let mut neighbours = Neighbours::dial(&self.parts).await;
        neighbours.ask(CHAT, Ask::Channels { to: self.parts.clock.now().0 }.selector()).await?;
        // A peer sends the last message of each. If that is deleted, whether there are others is asked.
        let doubtful = self
            .look(|parts| {
                let mut doubtful = Vec::new();
                for name in parts.chat.read(|index| index.channels())?? {
                    let posted =
                        parts.chat.read(|index| index.last_posted(&name, Timestamp(i64::MAX)))??.is_some();
                    if posted && !parts.chat.read(|index| index.ends_live(&name))?? {
                        doubtful.push(Channel { shown: name.clone(), folded: name });
                    }
                }
                Ok(doubtful)
            })
            .await?;
        for channel in doubtful {
            let one = ReadOptions { hidden: true, ..ReadOptions::latest(1) };
            self.ask_page(&mut neighbours, &channel, &one).await?;
        }
        Ok(neighbours.finish().await?)
    }

    /// Asks for all that a writer posted.
    pub async fn ask_author(&self, author: FeedKey) -> Result<Asked, ChatError> {
        self.ask_for(Ask::Author(author)).await
    }

    /// Asks for what a writer says of itself.
    pub async fn ask_profile(&self, feed: FeedKey) -> Result<Asked, ChatError> {
        self.ask_for(Ask::Profile(feed)).await
    }

    /// Asks for what all writers say of themselves: who is called what.
    pub async fn ask_profiles(&self) -> Result<Asked, ChatError> {
        Ok(ask::ask(&self.parts, CHAT, Selector::Prefix(PROFILES.to_vec())).await?)
    }

    /// Asks for all flags.
    pub async fn ask_flags(&self) -> Result<Asked, ChatError> {
        self.ask_for(Ask::Flags).await
    }

    /// Asks for everything that belongs to chat.
    pub async fn ask_everything(&self) -> Result<Asked, ChatError> {
        Ok(ask::ask(&self.parts, CHAT, Selector::Everything).await?)
    }

    /// Asks for what [`Chat::unread`] counts: what came lately to the channels that this writer is in, some of the latest of each at most, and the
    /// private messages to it. For the channels it is one question, whatever their number up to a hundred and however long they are.
    pub async fn ask_unread(&self) -> Result<Asked, ChatError> {
        let mut neighbours = Neighbours::dial(&self.parts).await;
        let (lately, to) = (self.look(|parts| parts.chat_lately()).await?, self.parts.clock.now().0);
        let questions = move |late| {
            let some = lately.chunks(Ask::MAX_CHANNELS).map(|channels| {
                let channels = channels.iter().map(|wanted| Lately { late, ..wanted.clone() }).collect();
                Ask::Lately { channels, others: None, to }
            });
            Ok(some.collect())
        };
        self.ask_lately(&mut neighbours, questions).await?;
        self.ask_lanes(&mut neighbours, None, &ReadOptions::default()).await?;
        Ok(neighbours.finish().await?)
    }

    /// Asks for what [`Chat::search`] looks through: all of a channel, or of all.
    pub async fn ask_search(&self, options: &SearchOptions) -> Result<Asked, ChatError> {
        match &options.channel {
            Some(channel) => self.ask_window(channel, None, None).await,
            None => self.ask_everything().await,
        }
    }

    async fn ask_for(&self, ask: Ask) -> Result<Asked, ChatError> {
        Ok(ask::ask(&self.parts, CHAT, ask.selector()).await?)
    }

    /// Asks what came lately, by questions in which so many are wanted that came late; and for four times as many as long as all of these are
    /// new here: there may be others before them. On a replica that holds a part some of the old history is new, too, so less must not do.
    pub(super) async fn ask_lately(
        &self,
        neighbours: &mut Neighbours,
        questions: impl Fn(u32) -> Result<Vec<Ask>, ChatError>,
    ) -> Result<(), ChatError> {
        let before = self.look(|parts| Ok(parts.feeds.end())).await?;
        let mut late = LATE;
        loop {
            let asked = questions(late)?;
            for question in &asked {
                neighbours.ask(CHAT, question.selector()).await?;
            }
            if !neighbours.is_open() {
                return Ok(());
            }
            let new = self.look(move |parts| parts.came_late(before, &asked)).await?;
            if new < late || late == u32::MAX {
                return Ok(());
            }
            late = late.saturating_mul(4);
        }
    }

    /// Asks for a page. Peers count by their own lights; so when what they sent leaves fewer messages to be shown here than
    /// were wanted, they are asked for more, until there are as many or the channel is at its end. What a peer counted is held here then, so
    /// it spoke of all up to the last of as many that are held here, deleted or not: only what is shown of these counts.
    async fn ask_page(
        &self,
        neighbours: &mut Neighbours,
        channel: &Channel,
        options: &ReadOptions,
    ) -> Result<(), ChatError> {
        let Some((mut from, mut to)) = window(options, self.parts.clock.now()) else { return Ok(()) };
        let backwards = !options.oldest_first;
        match (options.after, backwards) {
            (Some(after), true) => to = to.min(after.time.0),
            (Some(after), false) => from = from.max(after.time.0),
            (None, _) => {}
        }
        if options.limit == Some(0) || from > to {
            return Ok(());
        }
        let ahead = wanted_ahead(options, self.parts.clock.now());
        let window = Window { from, to, backwards, ahead };
        let (named, wished) = (channel.clone(), options.clone());
        let authors = move |parts: &Parts| {
            let page = parts.chat_read(&named, &wished)?;
            Ok(page.messages.into_iter().map(|message| message.author).collect())
        };
        let before = self.look(authors.clone()).await?;
        // One more tells that there are more.
        let wanted =
            ReadOptions { limit: options.limit.map(|limit| limit.saturating_add(1)), ..options.clone() };
        self.ask_until(neighbours, channel, window, wanted.limit, {
            let (channel, options) = (channel.clone(), wanted);
            move |parts| {
                let page = parts.chat_read(&channel, &options)?;
                Ok(page
                    .messages
                    .iter()
                    .map(|message| Place { order: message.time, id: message.id })
                    .collect())
            }
        })
        .await?;
        self.ask_names(neighbours, before, authors).await
    }

    /// Looks at what is held here.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Parts) -> Result<T, ChatError> + Send + 'static,
    ) -> Result<T, ChatError> {
        self.run(move |parts| {
            parts.chat.ready()?;
            look(parts)
        })
        .await?
    }

    /// Asks for the names of those who are shown. A peer has sent the names of those of whom it sent something: so nothing is asked if all are
    /// new here, and one peer alone was asked.
    async fn ask_names(
        &self,
        neighbours: &mut Neighbours,
        before: BTreeSet<FeedKey>,
        shown: impl FnOnce(&Parts) -> Result<BTreeSet<FeedKey>, ChatError> + Send + 'static,
    ) -> Result<(), ChatError> {
        if !neighbours.is_open() {
            // Nobody can be asked, and what was asked before had the names with it.
            return Ok(());
        }
        let mut feeds = self.look(shown).await?;
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
        &self,
        neighbours: &mut Neighbours,
        channel: &Channel,
        window: Window,
        wanted: Option<usize>,
        shown: impl Fn(&Parts) -> Result<Vec<Place>, ChatError> + Clone + Send + 'static,
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
            let (shown, there) = self
                .look(move |parts| {
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
}

/// Messages that are asked for of those that came late, and arrivals that are looked at at a time.
const LATE: u32 = 32;
const LOOK: usize = 1_024;

impl Parts {
    /// How many have arrived since of the channel that most came to, of what stands before what is asked for by time.
    fn came_late(&self, since: Lseq, asked: &[Ask]) -> Result<u32, ChatError> {
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
        let (mut from, end) = (since, self.feeds.end());
        let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        while from < end {
            let arrivals = self.feeds.arrivals(from, LOOK).map_err(ReadError::from)?;
            let Some(last) = arrivals.last() else { break };
            from = last.lseq + 1;
            let headers =
                arrivals.iter().filter_map(|arrival| Some(decode_block(&arrival.block).ok()?.header));
            let chat = headers.filter(|header| header.kind.space == space::CHAT);
            for moment in chat.filter_map(|header| header.places.moments.into_iter().next()).filter(is_late) {
                *counts.entry(moment.channel).or_default() += 1;
            }
        }
        Ok(counts.into_values().max().unwrap_or(0))
    }
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
