//! Watching channels and private messages: first the last page, then each message that comes, changes or goes, as the view's notices name it.

mod asker;
mod told;

pub use asker::ChatAsker;

use super::{ChatError, Message};
use crate::engine;
use crate::network::Live;
use crate::views::boxed::Boxed;
use crate::views::chat::follow;
use crate::views::chat::{Chat, ChatParts};
use futures::future::{Either, select};
use futures::{Stream, stream};
use kappadb_chat::{Channel, FLAGS, Lane, PROFILES};
use kappadb_core::EntryId;
use kappadb_view::{Changes, Notice, Watcher};
use kappadb_view_chat::channel_of;
use std::collections::{BTreeMap, VecDeque};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use told::{Source, Told};

/// The latest messages of a channel that a watcher keeps in mind: only these are told again when their author's name or the moderation
/// of them changes.
const WINDOW: usize = 1_000;
/// Messages looked at at a time.
const CHUNK: usize = 64;
/// The clock is looked at this often while it waits for one: it may be set.
const CLOCK: Duration = Duration::from_secs(30);

/// What a watcher tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatChange {
    /// A message that is new, or shown otherwise than before.
    Shown(Box<Message>),
    /// A message is not shown any more: it was deleted, or is hidden.
    Gone {
        /// The message.
        id: EntryId,
        /// Its channel; empty for a private one.
        channel: String,
    },
    /// More came than waits for a slow watcher, or the view was made anew: messages may have come that are not told. Read the channel.
    Lagged {
        /// The channel; empty for private messages.
        channel: String,
    },
}

/// What to watch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// These channels; none is all, also those that are new.
    pub channels: Option<Vec<String>>,
    /// Private messages to and from this writer.
    pub private: bool,
    /// So many of the latest messages of each channel, and of the private ones, are told first.
    pub past: usize,
}

impl WatchOptions {
    /// Some channels, beginning with so many of the latest messages of each.
    pub fn channels<C: Into<String>>(channels: impl IntoIterator<Item = C>, past: usize) -> WatchOptions {
        let channels = Some(channels.into_iter().map(Into::into).collect());
        WatchOptions { channels, private: false, past }
    }

    /// All channels and all private messages, from now on.
    pub fn everything() -> WatchOptions {
        WatchOptions { channels: None, private: true, past: 0 }
    }

    pub(super) fn named(&self) -> Result<Option<Vec<Channel>>, ChatError> {
        let channels = self.channels.as_ref().map(|all| all.iter().map(|name| Channel::new(name)));
        Ok(channels.map(Iterator::collect).transpose()?)
    }
}

/// Tells of channels: a stream of [`ChatChange`]. It keeps the database open, and ends when that is closed, or with the first
/// error; dropping it ends it and nothing else.
#[derive(Debug)]
pub struct ChatWatcher {
    changes: Boxed<Result<ChatChange, ChatError>>,
    live: Live,
}

impl ChatWatcher {
    /// Follows what it watches: every peer is asked live, as long as the watcher is there, for what comes from now on, however it is dated, so that what is
    /// said elsewhere is told within moments. What peers have already is asked for with [`Chat::asker`], once a peer tells of news
    /// ([`PeerEvent::Follows`](crate::PeerEvent::Follows)): then nothing is between.
    pub fn live(mut self) -> ChatWatcher {
        self.live.begin();
        self
    }

    /// Waits for the next change; none once the database is closed. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<ChatChange, ChatError>> {
        self.changes.next().await
    }
}

impl Stream for ChatWatcher {
    type Item = Result<ChatChange, ChatError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.changes.poll(context)
    }
}

/// Begins to watch: [`Chat::watch`].
pub(super) async fn begin(chat: &Chat, options: &WatchOptions) -> Result<ChatWatcher, ChatError> {
    let (named, private, past) = (options.named()?, options.private, options.past);
    let live = Live::of(&chat.parts, follow::watched(&chat.parts, named.as_deref(), private));
    // Names and flags change how messages of any channel are shown. Begun before what is there is looked at, so that nothing is between.
    chat.run(|parts| parts.chat.ready()).await??;
    let watcher = chat.parts.chat.watch();
    let all = named.is_none();
    let channels = match named {
        Some(named) => named,
        None => chat.run(ChatParts::chat_all).await??,
    };
    let mut sources: Vec<Source> = channels.into_iter().map(Source::Channel).collect();
    sources.extend(private.then_some(Source::Private));
    let told: BTreeMap<_, _> =
        sources.into_iter().map(|source| (source.key().to_owned(), Told::new(source))).collect();
    let look = told.keys().map(|key| Look { of: key.clone(), what: What::Latest(past) }).collect();
    let watching = Watching { watcher, all, look, told, ready: VecDeque::new() };
    let changes = stream::unfold(Some((chat.parts.clone(), watching)), |state| async move {
        let (parts, mut watching) = state?;
        match watching.next(&parts).await.transpose()? {
            Ok(change) => Some((Ok(change), Some((parts, watching)))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(ChatWatcher { changes: Boxed::new(changes), live })
}

/// Something to look at.
struct Look {
    /// What is watched: [`Source::key`].
    of: String,
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
    /// Channels that are new are watched, too.
    all: bool,
    /// By [`Source::key`].
    told: BTreeMap<String, Told>,
    look: VecDeque<Look>,
    ready: VecDeque<ChatChange>,
}

impl Watching {
    async fn next(&mut self, parts: &Arc<ChatParts>) -> Result<Option<ChatChange>, ChatError> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Ok(Some(change));
            }
            let Some(Look { of, what }) = self.look.pop_front() else {
                match self.wait(parts).await {
                    true => continue,
                    false => return Ok(None),
                }
            };
            let Some(mut told) = self.told.remove(&of) else { continue };
            let (told, changes) = engine::run(parts, move |parts| {
                let changes = told.look(parts, what)?;
                Ok::<_, ChatError>((told, changes))
            })
            .await??;
            self.told.insert(of, told);
            self.ready.extend(changes);
        }
    }

    /// Waits until there may be something to tell, or something may have become due. False at the end.
    async fn wait(&mut self, parts: &ChatParts) -> bool {
        let now = parts.clock.now();
        let due = self.told.values().filter_map(Told::next_due).min();
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
        for (of, told) in &mut self.told {
            let came = told.due_until(now);
            self.look.extend(looks(of, came, What::Came));
        }
        true
    }

    fn note(&mut self, notice: Notice) {
        if let Some(channel) = channel_of(&notice.key) {
            if let Some(of) = self.watched(channel) {
                self.look.extend(looks(&of, notice.heads, What::Came));
                self.look.extend(looks(&of, notice.gone, What::Went));
            }
        } else if [PROFILES, FLAGS].iter().any(|prefix| notice.key.starts_with(prefix)) {
            let all = self.told.keys().cloned();
            self.look.extend(all.map(|of| Look { of, what: What::Again }));
        }
    }

    /// What is watched of a channel or lane; a channel that is new is from now on, if all are.
    fn watched(&mut self, channel: &str) -> Option<String> {
        let key = if channel.starts_with(Lane::MARK) { Lane::MARK } else { channel };
        if !self.told.contains_key(key) && self.all && Channel::is_folded(channel) {
            let named = Channel { shown: channel.to_owned(), folded: channel.to_owned() };
            self.told.insert(key.to_owned(), Told::new(Source::Channel(named)));
        }
        self.told.contains_key(key).then(|| key.to_owned())
    }

    /// After notices were lost. Channels that came meanwhile are looked for.
    fn start_over(&mut self) {
        self.look.clear();
        for (of, told) in &self.told {
            self.ready.push_back(ChatChange::Lagged { channel: told.name() });
            let both = [What::Again, What::Latest(WINDOW)];
            self.look.extend(both.into_iter().map(|what| Look { of: of.clone(), what }));
        }
    }
}

fn looks(of: &str, ids: Vec<EntryId>, what: fn(Vec<EntryId>) -> What) -> Vec<Look> {
    let look = |ids: &[EntryId]| Look { of: of.to_owned(), what: what(ids.to_vec()) };
    ids.chunks(CHUNK).map(look).collect()
}
