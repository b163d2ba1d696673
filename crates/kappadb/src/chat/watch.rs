//! Watching channels: first the last page, then each message that comes, changes or goes, as the view's notices name it.

use super::read::Shower;
use super::{Chat, ChatError, Message, ReadOptions};
use crate::database::{self, Parts};
use futures::future::{Either, select};
use futures::{Stream, StreamExt, stream};
use kappadb_chat::{Channel, FLAGS, PROFILES};
use kappadb_core::{EntryId, Timestamp};
use kappadb_view::{Changes, Notice, Watcher};
use kappadb_view_chat::{PageQuery, Place, channel_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The latest messages of a channel that a watcher keeps in mind: only these are told again when their author's name or the moderation
/// of them changes.
const WINDOW: usize = 1_000;
/// Messages looked at at a time.
const CHUNK: usize = 64;
/// Messages of a channel whose time has not come that a watcher waits for, the first of them.
const WAITING: usize = 1_000;
/// The clock is looked at this often while it waits for one: it may be set.
const CLOCK: Duration = Duration::from_secs(30);

/// What a watcher tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatChange {
    /// A message that is new, or shown otherwise than before.
    Shown(Message),
    /// A message is not shown any more: it was deleted, or is hidden.
    Gone {
        /// The message.
        id: EntryId,
        /// Its channel.
        channel: String,
    },
    /// More came than waits for a slow watcher, or the view was made anew: messages may have come that are not told. Read the channel.
    Lagged {
        /// The channel.
        channel: String,
    },
}

/// Tells of channels: a stream of [`ChatChange`]. It keeps the database open, and ends when that is closed, or with the first
/// error; dropping it ends it and nothing else.
pub struct ChatWatcher {
    changes: Pin<Box<dyn Stream<Item = Result<ChatChange, ChatError>> + Send>>,
}

impl ChatWatcher {
    /// Waits for the next change; none once the database is closed. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<ChatChange, ChatError>> {
        self.changes.next().await
    }
}

impl Stream for ChatWatcher {
    type Item = Result<ChatChange, ChatError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.as_mut().poll_next(context)
    }
}

impl Chat {
    /// Watches some channels. First the latest `limit` messages of each come, the oldest of them first; then each that comes, be it
    /// posted here or fetched, late or not, or because its time has come; each that goes; and each of the thousand latest that is shown
    /// otherwise than before. What comes is what comes after this returns: it waits until all that is held is indexed. Nothing is left
    /// out without a [`ChatChange::Lagged`]. It costs nothing while nothing happens.
    ///
    /// # Errors
    /// [`ChatError::Model`] if one cannot be the name of a channel.
    pub async fn watch<C: AsRef<str>>(&self, channels: &[C], limit: usize) -> Result<ChatWatcher, ChatError> {
        let channels = channels.iter().map(|channel| Channel::new(channel.as_ref()));
        let channels = channels.collect::<Result<Vec<_>, _>>()?;
        self.run(|parts| parts.chat.ready()).await??;
        let watching = Watching {
            // Names and flags change how messages of any channel are shown.
            watcher: self.parts.chat.watch(),
            look: channels
                .iter()
                .map(|channel| Look { channel: channel.folded.clone(), what: What::Latest(limit) })
                .collect(),
            channels: channels
                .into_iter()
                .map(|channel| (channel.folded.clone(), Told::new(channel)))
                .collect(),
            ready: VecDeque::new(),
        };
        let changes = stream::unfold(Some((self.parts.clone(), watching)), |state| async move {
            let (parts, mut watching) = state?;
            match watching.next(&parts).await.transpose()? {
                Ok(change) => Some((Ok(change), Some((parts, watching)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(ChatWatcher { changes: Box::pin(changes) })
    }
}

/// Something to look at.
struct Look {
    /// The channel, by folded name.
    channel: String,
    what: What,
}

enum What {
    /// So many of the latest messages, and those whose time has not come.
    Latest(usize),
    /// Messages that came, or whose time came.
    Came(Vec<EntryId>),
    /// Messages that were deleted or withdrawn.
    Went(Vec<EntryId>),
    /// All that is kept in mind.
    Again,
}

/// The state of a watcher.
struct Watching {
    watcher: Watcher,
    /// By folded name.
    channels: BTreeMap<String, Told>,
    look: VecDeque<Look>,
    ready: VecDeque<ChatChange>,
}

impl Watching {
    async fn next(&mut self, parts: &Arc<Parts>) -> Result<Option<ChatChange>, ChatError> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            let Some(Look { channel, what }) = self.look.pop_front() else {
                match self.wait(parts).await {
                    true => continue,
                    false => return Ok(None),
                }
            };
            let Some(mut told) = self.channels.remove(&channel) else { continue };
            let (told, changes) = database::run(parts, move |parts| {
                let changes = told.look(parts, what)?;
                Ok::<_, ChatError>((told, changes))
            })
            .await??;
            self.channels.insert(channel, told);
            self.ready.extend(changes);
        }
    }

    /// Waits until there may be something to tell, or something may have become due. False at the end.
    async fn wait(&mut self, parts: &Parts) -> bool {
        let now = parts.clock.now();
        let due = self.channels.values().filter_map(|told| told.due.first()).map(|place| place.order).min();
        let changes = pin!(std::future::poll_fn(|context| self.watcher.poll_next(context)));
        let changes = match due {
            None => changes.await,
            Some(due) => {
                let millis = due.0.saturating_sub(now.0).max(0).unsigned_abs().saturating_add(1);
                let sleep = pin!(tokio::time::sleep(Duration::from_millis(millis).min(CLOCK)));
                match select(changes, sleep).await {
                    Either::Left((changes, _)) => changes,
                    Either::Right(_) => Some(Changes::default()),
                }
            }
        };
        let Some(Changes { notices, lagged }) = changes else { return false };
        notices.into_iter().for_each(|notice| self.note(notice));
        if lagged {
            self.start_over();
        }
        let now = parts.clock.now();
        for (channel, told) in &mut self.channels {
            let came = told.due_until(now);
            self.look.extend(looks(channel, came, What::Came));
        }
        true
    }

    fn note(&mut self, notice: Notice) {
        if let Some(channel) = channel_of(&notice.key) {
            if self.channels.contains_key(channel) {
                self.look.extend(looks(channel, notice.heads, What::Came));
                self.look.extend(looks(channel, notice.gone, What::Went));
            }
        } else if [PROFILES, FLAGS].iter().any(|prefix| notice.key.starts_with(prefix)) {
            let all = self.channels.keys().cloned();
            self.look.extend(all.map(|channel| Look { channel, what: What::Again }));
        }
    }

    /// After notices were lost.
    fn start_over(&mut self) {
        self.look.clear();
        for (channel, told) in &self.channels {
            self.ready.push_back(ChatChange::Lagged { channel: told.channel.shown.clone() });
            let both = [What::Again, What::Latest(WINDOW)];
            self.look.extend(both.into_iter().map(|what| Look { channel: channel.clone(), what }));
        }
    }
}

fn looks(channel: &str, ids: Vec<EntryId>, what: fn(Vec<EntryId>) -> What) -> Vec<Look> {
    let look = |ids: &[EntryId]| Look { channel: channel.to_owned(), what: what(ids.to_vec()) };
    ids.chunks(CHUNK).map(look).collect()
}

/// A channel, and what was told of it.
struct Told {
    channel: Channel,
    /// The latest messages told of; none for one that is not shown at present.
    told: BTreeMap<Place, Option<Message>>,
    /// Messages whose time has not come.
    due: BTreeSet<Place>,
    /// There were too many of them, and it was said.
    overflown: bool,
}

impl Told {
    fn new(channel: Channel) -> Told {
        Told { channel, told: BTreeMap::new(), due: BTreeSet::new(), overflown: false }
    }

    fn look(&mut self, parts: &Parts, what: What) -> Result<Vec<ChatChange>, ChatError> {
        let mut changes = Vec::new();
        match what {
            What::Latest(limit) => {
                parts.chat.ready()?;
                let page = parts.chat_read(&self.channel, &ReadOptions::latest(limit))?;
                for message in page.messages.into_iter().rev() {
                    let place = Place { order: message.time, id: message.id };
                    changes.extend(self.see(place, Some(message)));
                }
                let from = parts.clock.now().0.saturating_add(1);
                let latest = PageQuery::latest(&self.channel.folded, Timestamp(i64::MAX), WAITING);
                let later = PageQuery { from, backwards: false, ..latest };
                self.due.extend(parts.chat.read(|index| index.page(&later))??);
            }
            What::Came(ids) => {
                let mut shower = Shower::new(parts)?;
                for id in ids {
                    let Some(entry) = parts.entry(id)? else { continue };
                    let found = parts.chat.read(|index| index.message(&entry.header, id))??;
                    let Some((_, place)) = found.filter(|(channel, _)| *channel == self.channel.folded)
                    else {
                        continue;
                    };
                    if place.order > parts.clock.now() {
                        changes.extend(self.wait_for(place));
                    } else {
                        let message = shower.message(&self.channel.folded, place)?;
                        changes.extend(self.see(place, Some(message)));
                    }
                }
            }
            What::Went(ids) => changes.extend(ids.into_iter().filter_map(|id| self.lose(id))),
            What::Again => {
                let mut shower = Shower::new(parts)?;
                for place in self.told.keys().copied().collect::<Vec<_>>() {
                    let there = parts.chat.read(|index| index.is_there(&self.channel.folded, &place))??;
                    let message = there.then(|| shower.message(&self.channel.folded, place)).transpose()?;
                    changes.extend(self.see(place, message));
                }
            }
        }
        Ok(changes)
    }

    /// A message as it is now; none if it is not there any more.
    fn see(&mut self, place: Place, message: Option<Message>) -> Option<ChatChange> {
        let message = message.filter(|message| message.hidden.is_none());
        let before = self.told.insert(place, message.clone()).flatten();
        if self.told.len() > WINDOW {
            self.told.pop_first();
        }
        match message {
            Some(message) if before.as_ref() != Some(&message) => Some(ChatChange::Shown(message)),
            None if before.is_some() => Some(self.gone(place.id)),
            _ => None,
        }
    }

    /// A message was deleted: it may also be one that was there before anything was told.
    fn lose(&mut self, id: EntryId) -> Option<ChatChange> {
        self.due.retain(|place| place.id != id);
        match self.told.iter_mut().find(|(place, _)| place.id == id) {
            Some((_, message)) => message.take().map(|_| self.gone(id)),
            None => Some(self.gone(id)),
        }
    }

    fn gone(&self, id: EntryId) -> ChatChange {
        ChatChange::Gone { id, channel: self.channel.shown.clone() }
    }

    /// Remembers a message whose time has not come. Beyond a bound the last one is given up, which is told.
    fn wait_for(&mut self, place: Place) -> Option<ChatChange> {
        self.due.insert(place);
        if self.due.len() <= WAITING {
            return None;
        }
        self.due.pop_last();
        let told = std::mem::replace(&mut self.overflown, true);
        (!told).then(|| ChatChange::Lagged { channel: self.channel.shown.clone() })
    }

    /// Those whose time has come.
    fn due_until(&mut self, now: Timestamp) -> Vec<EntryId> {
        let mut came = Vec::new();
        while self.due.first().is_some_and(|place| place.order <= now) {
            came.extend(self.due.pop_first().map(|place| place.id));
            self.overflown = false;
        }
        came
    }
}
