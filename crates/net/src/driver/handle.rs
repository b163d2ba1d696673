//! What the holder of a session can do with it.

use super::Peer;
use super::updates::{Inbox, Updates, updates};
use crate::error::{AskError, SessionEnd};
use crate::{Signal, Traffic};
use kappadb_core::{FeedKey, RangeSet, Timestamp};
use kappadb_sync::{Ask, Coverage, Fetch, Introduction, Rest, SessionError, SignedStatement, Stats, Words};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::mpsc::UnboundedSender;

/// A session with a peer, to ask it. Cheap to clone; the session ends when all clones and questions are dropped.
#[derive(Debug, Clone)]
pub struct PeerHandle {
    shared: Arc<Shared>,
    requests: UnboundedSender<Request>,
}

/// What is known of a session outside its task.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) traffic: Arc<Traffic>,
    pub(super) end: OnceLock<SessionEnd>,
    pub(super) peer: Peer,
    next_tag: AtomicU64,
    /// It has ended.
    pub(super) over: Signal,
}

impl Shared {
    pub(super) fn new(traffic: Arc<Traffic>, peer: Peer) -> Self {
        Shared { traffic, end: OnceLock::new(), peer, next_tag: AtomicU64::new(0), over: Signal::default() }
    }

    /// Why the session is over; asked only when its task is gone.
    fn end(&self) -> SessionEnd {
        self.end.get().cloned().unwrap_or(SessionEnd::Session(SessionError::Lost))
    }
}

/// What a connection has cost so far, handshake included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeerStats {
    /// Bytes received, as on the wire.
    pub bytes_received: u64,
    /// Bytes sent, as on the wire.
    pub bytes_sent: u64,
    /// How often this side waited for the peer: TCP connect, handshake, and each flight of questions.
    pub round_trips: u64,
}

impl PeerStats {
    /// What it has cost since it had cost `before`.
    pub fn since(&self, before: &PeerStats) -> PeerStats {
        PeerStats {
            bytes_received: self.bytes_received.saturating_sub(before.bytes_received),
            bytes_sent: self.bytes_sent.saturating_sub(before.bytes_sent),
            round_trips: self.round_trips.saturating_sub(before.round_trips),
        }
    }

    pub(crate) fn of(traffic: &Traffic) -> PeerStats {
        PeerStats {
            bytes_received: traffic.bytes_received(),
            bytes_sent: traffic.bytes_sent(),
            round_trips: traffic.round_trips(),
        }
    }
}

/// A question answered: what came is stored, durable and visible.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answered {
    /// What matches, if the question was not inline.
    pub ranges: Vec<(FeedKey, RangeSet)>,
    /// What the answer rests on: every feed that the peer spoke of. Empty for a fetch.
    pub statement: Vec<Coverage>,
    /// What it did not speak of.
    pub rest: Rest,
    /// On whose word the peer's claims rest beside its own.
    pub words: Words,
    /// The same as the peer signed it, if it did.
    pub signed: Option<Box<SignedStatement>>,
    /// What it took.
    pub stats: Stats,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Update {
    /// Blocks that match a question that is not inline.
    Ranges {
        /// The feed.
        feed: FeedKey,
        /// The blocks.
        ranges: RangeSet,
    },
    /// The present answer to a live question, or what came later, and of several that were not taken all that they say; it is stored, durable and
    /// visible. More may come.
    Stated {
        /// The first time every feed that the peer spoke of, later those of which something came.
        statement: Vec<Coverage>,
        /// What it did not speak of.
        rest: Rest,
        /// On whose word the peer's claims rest beside its own.
        words: Words,
        /// What came since the statement before.
        stats: Stats,
        /// Where to go on, in this session or another.
        token: Option<Vec<u8>>,
    },
    /// The end of the answer.
    Done {
        /// What the answer rests on.
        statement: Vec<Coverage>,
        /// What it did not speak of.
        rest: Rest,
        /// On whose word the peer's claims rest beside its own.
        words: Words,
        /// The same as it was signed, if it was.
        signed: Option<Box<SignedStatement>>,
        /// What it took.
        stats: Stats,
    },
}

/// What a handle wants of the session's task. `tag` names a question between the two.
#[derive(Debug)]
pub(super) enum Request {
    Ask { tag: u64, ask: Ask, updates: Updates },
    Fetch { tag: u64, fetch: Fetch, updates: Updates },
    Cancel { tag: u64 },
    Keep,
    Introduce { peers: Vec<Introduction> },
    Close,
}

impl PeerHandle {
    pub(super) fn new(shared: Arc<Shared>, requests: UnboundedSender<Request>) -> Self {
        PeerHandle { shared, requests }
    }

    /// The peer. Nothing it sends is looked at before it has proved to be this one.
    pub fn peer(&self) -> FeedKey {
        self.shared.peer.key
    }

    /// Which opening of the peer's folder it is, at random: copies of a folder have one identity, and differ in this. 0 if it did not say.
    pub fn instance(&self) -> u64 {
        self.shared.peer.instance
    }

    /// What the peer's clock showed in the handshake, if it said so.
    pub fn clock(&self) -> Option<Timestamp> {
        self.shared.peer.clock
    }

    /// What the connection has cost so far.
    pub fn stats(&self) -> PeerStats {
        PeerStats::of(&self.shared.traffic)
    }

    /// Asks the peer's view and waits for the whole answer. Dropping the future cancels the question.
    pub async fn ask(&self, ask: Ask) -> Result<Answered, AskError> {
        self.question(ask).all().await
    }

    /// Asks for blocks by name and waits until they are stored. Dropping the future cancels it.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Answered, AskError> {
        self.open(|tag, updates| Request::Fetch { tag, fetch, updates }).all().await
    }

    /// Asks the peer's view; parts of the answer can be taken as they come. One that is [`live`](Ask::live) goes on until it is dropped, or the
    /// session ends.
    pub fn question(&self, ask: Ask) -> Question {
        self.open(|tag, updates| Request::Ask { tag, ask, updates })
    }

    fn open(&self, request: impl FnOnce(u64, Updates) -> Request) -> Question {
        let tag = self.shared.next_tag.fetch_add(1, Ordering::Relaxed);
        let (updates, inbox) = updates();
        // If the session is over, `updates` is dropped here and the question says so when it is read.
        let _ = self.requests.send(request(tag, updates));
        Question { tag, updates: inbox, over: false, session: self.clone() }
    }

    /// Keeps the session although nothing is asked: a peer that is silent for long is asked whether it is there.
    pub fn keep(&self) {
        let _ = self.requests.send(Request::Keep);
    }

    /// Tells the peer of others, [`MAX_INTRODUCED`](kappadb_core::limits::MAX_INTRODUCED) at most.
    pub fn introduce(&self, peers: Vec<Introduction>) {
        let _ = self.requests.send(Request::Introduce { peers });
    }

    /// True if both are handles of one session.
    pub fn is(&self, other: &PeerHandle) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Waits until the session is over, and says why. What this returns does not keep the session.
    pub fn end(&self) -> impl Future<Output = SessionEnd> + Send + 'static {
        let shared = self.shared.clone();
        async move {
            shared.over.raised().await;
            shared.end()
        }
    }

    /// Why the session ended, if it did.
    pub fn ended(&self) -> Option<SessionEnd> {
        let gone = || self.requests.is_closed().then(|| self.shared.end());
        self.shared.end.get().cloned().or_else(gone)
    }

    /// Ends the session for all handles, whoever began it. Does not wait.
    pub fn hang_up(&self) {
        let _ = self.requests.send(Request::Close);
    }

    /// Ends the session for all handles and waits until the peer was told, or could not be.
    pub async fn close(&self) {
        let _ = self.requests.send(Request::Close);
        self.requests.closed().await;
    }
}

/// A question that is being answered. Dropping it cancels it at the peer.
#[derive(Debug)]
pub struct Question {
    tag: u64,
    updates: Inbox,
    over: bool,
    session: PeerHandle,
}

impl Question {
    /// The next part of the answer; `None` after [`Update::Done`] or an error.
    pub async fn next(&mut self) -> Option<Result<Update, AskError>> {
        if self.over {
            return None;
        }
        let update = self.updates.next().await;
        let update = update.unwrap_or_else(|| Err(AskError::Ended(self.session.shared.end())));
        self.over = !matches!(update, Ok(Update::Ranges { .. } | Update::Stated { .. }));
        Some(update)
    }

    /// The rest of the answer at once, of a live question the present one; ranges of one feed that came in parts are one.
    pub async fn all(mut self) -> Result<Answered, AskError> {
        let mut answered = Answered::default();
        while let Some(update) = self.next().await {
            match update? {
                Update::Ranges { feed, ranges } => merge(&mut answered.ranges, feed, ranges),
                Update::Done { statement, rest, words, signed, stats } => {
                    answered = Answered { statement, rest, words, signed, stats, ..answered };
                    break;
                }
                Update::Stated { statement, rest, words, stats, .. } => {
                    answered = Answered { statement, rest, words, stats, ..answered };
                    break;
                }
            }
        }
        Ok(answered)
    }
}

/// Parts of one feed come one after the other, so only the last can be continued.
fn merge(all: &mut Vec<(FeedKey, RangeSet)>, feed: FeedKey, ranges: RangeSet) {
    match all.last_mut() {
        Some((last, so_far)) if *last == feed => so_far.union_with(&ranges),
        _ => all.push((feed, ranges)),
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.session.requests.send(Request::Cancel { tag: self.tag });
        }
    }
}
