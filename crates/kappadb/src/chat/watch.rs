//! Watching channels: first the last page, then each message that comes, changes or goes.

use super::{Chat, ChatError, Message, ReadOptions};
use crate::database::{self, Parts};
use futures::future::{Either, select};
use futures::{Stream, StreamExt, stream};
use kappadb_chat::Channel;
use kappadb_core::{EntryId, Timestamp};
use kappadb_view::{Changes, Watcher};
use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The latest messages of a channel that a watcher keeps in mind: a change to one further back is not told.
const WINDOW: usize = 1_000;
/// How often it is looked whether the time of a message has come.
const DUE: Duration = Duration::from_secs(1);

/// What a watcher tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatChange {
    /// A message that is new, or shown otherwise than before.
    Shown(Message),
    /// A message that was told of is not shown any more: it was deleted, or is hidden.
    Gone {
        /// The message.
        id: EntryId,
        /// Its channel.
        channel: String,
    },
    /// More came at once than a watcher keeps in mind: read the channel.
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
    /// Watches some channels. First the latest `limit` messages of each come, the oldest of them first; then each that is new or
    /// changed among the latest thousand, be it posted here or fetched, or because its time has come, and each that goes.
    ///
    /// A watcher may be as slow as it likes: what changed meanwhile comes once, as it is then.
    ///
    /// # Errors
    /// [`ChatError::Model`] if one cannot be the name of a channel.
    pub fn watch<C: AsRef<str>>(&self, channels: &[C], limit: usize) -> Result<ChatWatcher, ChatError> {
        let channels = channels.iter().map(|channel| Channel::new(channel.as_ref()));
        let channels = channels.collect::<Result<Vec<_>, _>>()?;
        let watching = Watching {
            // Names and flags change how messages of any channel are shown.
            watcher: self.parts.chat.watch(),
            channels: channels.into_iter().map(|channel| Told { channel, limit, shown: None }).collect(),
            look: true,
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

/// A channel, and what was told of it.
#[derive(Clone)]
struct Told {
    channel: Channel,
    /// Messages to begin with.
    limit: usize,
    /// None before the first look.
    shown: Option<BTreeMap<(Timestamp, EntryId), Message>>,
}

/// The state of a watcher.
struct Watching {
    watcher: Watcher,
    channels: Vec<Told>,
    look: bool,
    ready: VecDeque<ChatChange>,
}

impl Watching {
    async fn next(&mut self, parts: &Arc<Parts>) -> Result<Option<ChatChange>, ChatError> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            if !self.look {
                match self.wait().await {
                    Some(look) => self.look = look,
                    None => return Ok(None),
                }
                continue;
            }
            self.look = false;
            let mut channels = std::mem::take(&mut self.channels);
            let (told, changes) = database::run(parts, move |parts| {
                parts.chat.ready()?;
                let mut changes = Vec::new();
                for told in &mut channels {
                    changes.extend(told.look(parts)?);
                }
                Ok::<_, ChatError>((channels, changes))
            })
            .await??;
            self.channels = told;
            self.ready.extend(changes);
        }
    }

    /// Waits until there may be something to tell, or something may have become due. None at the end.
    async fn wait(&mut self) -> Option<bool> {
        let changes = pin!(std::future::poll_fn(|context| self.watcher.poll_next(context)));
        match select(changes, pin!(tokio::time::sleep(DUE))).await {
            Either::Left((changes, _)) => {
                changes.map(|Changes { notices, lagged }| lagged || !notices.is_empty())
            }
            Either::Right(_) => Some(true),
        }
    }
}

impl Told {
    fn look(&mut self, parts: &Parts) -> Result<Vec<ChatChange>, ChatError> {
        let first = self.shown.is_none();
        let limit = if first { self.limit } else { WINDOW };
        let page = parts.chat_read_plainly(&self.channel, &ReadOptions::latest(limit))?;
        let full = page.messages.len() == limit;
        let now: BTreeMap<_, _> = page.messages.into_iter().map(|m| ((m.time, m.id), m)).collect();
        let before = self.shown.take().unwrap_or_default();
        let mut changes = Vec::new();
        // What lies before the first page was not asked for.
        let begin = if first { None } else { self.begin(&before, now.keys().next(), full, &mut changes) };
        let name = &self.channel.shown;
        for (place, message) in &before {
            if begin.is_none_or(|begin| *place >= begin) && !now.contains_key(place) {
                changes.push(ChatChange::Gone { id: message.id, channel: name.clone() });
            }
        }
        let shown: BTreeMap<_, _> =
            now.into_iter().filter(|(place, _)| begin.is_none_or(|begin| *place >= begin)).collect();
        for (place, message) in &shown {
            if before.get(place) != Some(message) {
                changes.push(ChatChange::Shown(message.clone()));
            }
        }
        self.shown = Some(shown);
        Ok(changes)
    }

    /// From where on changes are told: from the first message that was, and no further back than is looked.
    fn begin(
        &self,
        before: &BTreeMap<(Timestamp, EntryId), Message>,
        oldest: Option<&(Timestamp, EntryId)>,
        full: bool,
        changes: &mut Vec<ChatChange>,
    ) -> Option<(Timestamp, EntryId)> {
        let begin = before.keys().next().copied();
        match (oldest, before.keys().next_back()) {
            (Some(oldest), Some(last)) if full && oldest > last => {
                changes.push(ChatChange::Lagged { channel: self.channel.shown.clone() });
                Some(*oldest)
            }
            (Some(oldest), _) if full => begin.max(Some(*oldest)),
            _ => begin,
        }
    }
}
