//! The task that owns a session.

use super::handle::{Request, Shared, Update};
use super::updates::Updates;
use super::wire::{Incoming, Wire};
use super::{Backend, Guest};
use crate::error::{AskError, ChannelError, SessionEnd};
use crate::{Allowance, Connection, Signal};
use kappadb_query::Selector;
use kappadb_sync::{Command, CommandId, Event, QueryError, QueryId, Reply, Session, SessionError};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes of frames that go to the writer at once: they share encrypted messages and one flush.
const BATCH: usize = 256 << 10;

/// The kind of a frame that asks something (`design/protocol.md`).
const QUERY: u8 = 1;

type Requests = mpsc::UnboundedReceiver<Request>;

pub(super) struct Driver {
    session: Session,
    started: Instant,
    wire: Wire,
    /// Frames for the writer's next turn.
    batch: Vec<Vec<u8>>,
    batch_bytes: usize,
    backend: Arc<dyn Backend>,
    commands: JoinSet<Done>,
    questions: BTreeMap<QueryId, Asker>,
    shared: Arc<Shared>,
    shutdown: Arc<Signal>,
    farewell: Duration,
    /// What broke, where the session itself can only say that the connection was lost.
    broken: Option<SessionEnd>,
    /// Set when nothing can be written any more: what the peer said last is still read until then.
    deaf_at: Option<Instant>,
    /// Who called, if it was not this side.
    guest: Option<Guest>,
    /// Live questions of the peer's that the backend watches.
    standing: BTreeMap<u32, Standing>,
    /// Of which of them there may be news.
    news: mpsc::UnboundedReceiver<u32>,
    noted: mpsc::UnboundedSender<u32>,
}

/// A live question of the peer's.
struct Standing {
    /// Its name is among the news already.
    is_noted: Arc<AtomicBool>,
    /// What the backend keeps of it.
    _watched: Box<dyn Any + Send>,
}

struct Asker {
    tag: u64,
    updates: Updates,
}

/// A command that was carried out; an error if that did not come to its end.
type Done = Result<(CommandId, Reply), RecvError>;

/// What happened next.
enum Step {
    Request(Option<Request>),
    Incoming(Option<Incoming>),
    Replied(CommandId, Reply),
    /// A command did not come to its end.
    Unanswered,
    /// No command is under way.
    AllReplied,
    Sent,
    WriterEnded(Option<ChannelError>),
    Time,
    Shutdown,
    /// Another caller needs the place.
    CalledBack,
    /// There may be something new for a live question.
    News(Option<u32>),
}

impl Driver {
    pub(super) fn new(
        connection: Connection,
        session: Session,
        backend: Arc<dyn Backend>,
        shared: Arc<Shared>,
        allowance: &Allowance,
        shutdown: Arc<Signal>,
    ) -> Driver {
        let (reader, writer) = connection.split();
        let (noted, news) = mpsc::unbounded_channel();
        Driver {
            session,
            started: Instant::now(),
            wire: Wire::spawn(reader, writer),
            batch: Vec::new(),
            batch_bytes: 0,
            backend,
            commands: JoinSet::new(),
            questions: BTreeMap::new(),
            shared,
            shutdown,
            farewell: allowance.farewell,
            broken: None,
            deaf_at: None,
            guest: None,
            standing: BTreeMap::new(),
            news,
            noted,
        }
    }

    /// Answers one who called; says so and no more if there is no place for it.
    pub(super) fn with_guest(mut self, guest: Guest) -> Driver {
        if let Err(limit) = &guest.place {
            self.session.turn_away(limit);
        }
        Driver { guest: Some(guest), ..self }
    }

    /// Runs the session to its end. Nobody who called is sent away because nothing is asked of it.
    pub(super) async fn run(mut self, mut requests: Option<Requests>) -> SessionEnd {
        let end = loop {
            if let Some(end) = self.pump() {
                break end;
            }
            if self.guest.is_some() && requests.as_ref().is_some_and(Requests::is_closed) {
                requests = None;
            }
            let step = match self.session.closed() {
                // What came before its end is stored before anybody is told that no more comes.
                Some(_) => replied(self.commands.join_next().await),
                None => self.wait(&mut requests).await,
            };
            self.take(step);
        };
        let _ = self.shared.end.set(end.clone());
        self.shared.over.raise();
        self.questions.clear();
        self.standing.clear();
        self.finish(requests).await;
        end
    }

    /// Milliseconds of the session's clock.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Moves everything that the session has to give, except frames beyond one batch. The session's end, if it came.
    fn pump(&mut self) -> Option<SessionEnd> {
        let mut end = None;
        loop {
            let mut quiet = true;
            // First: a live question stands before it is looked up, so nothing that comes meanwhile is overlooked.
            while let Some(event) = self.session.poll_event() {
                end = self.dispatch(event).or(end);
                quiet = false;
            }
            while let Some((id, command)) = self.session.poll_command() {
                self.start(id, command);
                quiet = false;
            }
            if self.fill_batch() {
                quiet = false;
            }
            if quiet && (end.is_some() || self.may_stay()) {
                return end;
            }
        }
    }

    /// Says what a caller's place is used for. False if that is more than it may be: it has been turned away.
    fn may_stay(&mut self) -> bool {
        let place = self.guest.as_ref().map(|guest| &guest.place).filter(|_| self.session.closed().is_none());
        let Some(Ok(place)) = place else { return true };
        place.set_busy(self.session.is_busy() || !self.batch.is_empty());
        let stays = place.keep_records(self.session.records());
        if !stays {
            self.session.turn_away("ALL_SESSION_RANGES");
        }
        stays
    }

    /// True if a frame was taken.
    fn fill_batch(&mut self) -> bool {
        let before = self.batch.len();
        while self.batch_bytes < BATCH
            && let Some(frame) = self.session.poll_transmit()
        {
            self.batch_bytes += frame.len();
            self.batch.push(frame);
        }
        self.batch.len() > before
    }

    /// Where it may block: never on the executor.
    fn start(&mut self, id: CommandId, command: Command) {
        let backend = self.backend.clone();
        let (tell, told) = oneshot::channel();
        let work = move || drop(tell.send(backend.run(command)));
        self.backend.start(Box::new(work));
        self.commands.spawn(async move { Ok((id, told.await?)) });
    }

    async fn wait(&mut self, requests: &mut Option<Requests>) -> Step {
        let deadline = self.session.poll_timeout().map(|ms| self.started + Duration::from_millis(ms));
        let deadline = deadline.into_iter().chain(self.deaf_at).min();
        let Wire { incoming, outgoing, writer, .. } = &mut self.wire;
        let can_write = self.deaf_at.is_none();
        // In this order, so that a history can be told again: what is rare first, and what the peer can send at will last.
        tokio::select! {
            biased;
            () = self.shutdown.raised() => Step::Shutdown,
            () = called_back(self.guest.as_ref()) => Step::CalledBack,
            () = sleep_until(deadline.unwrap_or(self.started)), if deadline.is_some() => Step::Time,
            ended = writer, if can_write => Step::WriterEnded(ended.ok().and_then(Result::err)),
            Some(done) = self.commands.join_next() => replied(Some(done)),
            Some(permit) = reserve(outgoing), if can_write && !self.batch.is_empty() => {
                // Questions that leave together wait together.
                if self.batch.iter().any(|frame| frame.first() == Some(&QUERY)) {
                    self.shared.traffic.add_round_trips(1);
                }
                permit.send(std::mem::take(&mut self.batch));
                self.batch_bytes = 0;
                Step::Sent
            }
            request = next_request(requests) => Step::Request(request),
            query = self.news.recv() => Step::News(query),
            found = incoming.recv(), if self.session.wants_read() => Step::Incoming(found),
        }
    }

    fn take(&mut self, step: Step) {
        let now = self.now();
        match step {
            Step::Request(Some(request)) => self.request(now, request),
            Step::Request(None) if self.guest.is_some() => {}
            Step::Request(None) | Step::Shutdown => self.session.close(),
            Step::News(query) => {
                if let Some(standing) = query.and_then(|query| self.standing.get(&query)) {
                    standing.is_noted.store(false, Ordering::Release);
                }
                query.into_iter().for_each(|query| self.session.news(now, query));
            }
            Step::CalledBack => self.session.turn_away("MAX_SESSIONS"),
            // An error is in the session's `Closed` event too.
            Step::Incoming(Some(Incoming::Frame(frame))) => drop(self.session.receive(now, &frame)),
            Step::Incoming(Some(Incoming::End(Err(error)))) => {
                self.lose(SessionEnd::Channel(Arc::new(error)))
            }
            Step::Incoming(Some(Incoming::End(Ok(()))) | None) => self.session.lost(),
            Step::Replied(id, reply) => self.session.reply(now, id, reply),
            Step::Unanswered => {
                self.lose(SessionEnd::Panicked);
                self.session.stop_storing();
            }
            Step::AllReplied => self.session.stop_storing(),
            Step::Sent => {}
            Step::WriterEnded(error) => self.writer_ended(error),
            Step::Time if self.deaf_at.is_some_and(|at| at <= Instant::now()) => self.session.lost(),
            Step::Time => self.session.handle_timeout(now),
        }
    }

    fn request(&mut self, now: u64, request: Request) {
        match request {
            Request::Ask { tag, ask, updates } => {
                let query = self.session.ask(now, ask);
                self.questions.insert(query, Asker { tag, updates });
            }
            Request::Fetch { tag, fetch, updates } => {
                let query = self.session.fetch(now, fetch);
                self.questions.insert(query, Asker { tag, updates });
            }
            Request::Cancel { tag } => {
                let query =
                    self.questions.iter().find(|(_, asker)| asker.tag == tag).map(|(query, _)| *query);
                if let Some(query) = query {
                    self.questions.remove(&query);
                    self.session.cancel(query);
                }
            }
            Request::Keep => self.session.keep(),
            Request::Introduce { peers } => self.session.introduce(peers),
            Request::Close => self.session.close(),
        }
    }

    /// Has the backend say when there is something new for a live question.
    fn stand(&mut self, query: u32, view: &str, selector: &Selector) {
        let (is_noted, noted) = (Arc::new(AtomicBool::new(false)), self.noted.clone());
        let tells = is_noted.clone();
        let news = Box::new(move || {
            if !tells.swap(true, Ordering::AcqRel) {
                let _ = noted.send(query);
            }
        });
        let watched = self.backend.stand(self.shared.peer.key, view, selector, news);
        self.standing.insert(query, Standing { is_noted, _watched: watched });
    }

    /// Gives an event to whom it is for. The reason, if it was the last.
    fn dispatch(&mut self, event: Event) -> Option<SessionEnd> {
        match event {
            Event::Ranges { query, feed, ranges } => {
                if let Some(asker) = self.questions.get(&query) {
                    asker.updates.send(Ok(Update::Ranges { feed, ranges }));
                }
            }
            Event::Done { query, statement, rest, words, signed, stats } => {
                self.settle(query, Ok(Update::Done { statement, rest, words, signed, stats }))
            }
            Event::Stated { query, statement, rest, words, stats, token } => {
                if let Some(asker) = self.questions.get(&query) {
                    asker.updates.send(Ok(Update::Stated { statement, rest, words, stats, token }));
                }
            }
            Event::Stands { query, view, selector } => self.stand(query, &view, &selector),
            Event::Introduced { peers } => self.backend.introduced(self.shared.peer.key, peers),
            Event::Reached { blocks } => self.backend.reached(self.shared.peer.key, blocks),
            Event::Falls { query } => drop(self.standing.remove(&query)),
            Event::Failed { query, error: QueryError::Session(reason) } => {
                let end = self.explain(reason);
                // Whoever learns that it gets no answer finds the session over.
                let _ = self.shared.end.set(end.clone());
                self.settle(query, Err(AskError::Ended(end)));
            }
            Event::Failed { query, error } => self.settle(query, Err(AskError::Query(error))),
            Event::Served(served) => {
                if let Some(guest) = &self.guest {
                    (guest.told)(&served);
                }
            }
            Event::Closed { reason } => return Some(self.explain(reason)),
            _ => {}
        }
        None
    }

    fn settle(&mut self, query: QueryId, outcome: Result<Update, AskError>) {
        if let Some(asker) = self.questions.remove(&query) {
            asker.updates.send(outcome);
        }
    }

    /// What the session calls a lost connection may have a better name.
    fn explain(&self, reason: SessionError) -> SessionEnd {
        match (&self.broken, reason) {
            (Some(end), SessionError::Lost) => end.clone(),
            (_, reason) => SessionEnd::Session(reason),
        }
    }

    fn lose(&mut self, why: SessionEnd) {
        self.broken.get_or_insert(why);
        self.session.lost();
    }

    /// A peer that ends a session says why and hangs up; what we were writing then fails first. So read on for a
    /// moment.
    fn writer_ended(&mut self, error: Option<ChannelError>) {
        self.deaf_at = Some(Instant::now() + self.farewell);
        match error {
            Some(stalled @ ChannelError::Stalled(_)) => self.lose(SessionEnd::Channel(Arc::new(stalled))),
            Some(error) => self.broken = Some(SessionEnd::Channel(Arc::new(error))),
            None => {}
        }
    }

    /// Says the last words, waits for what storage is doing, and hangs up.
    async fn finish(mut self, requests: Option<Requests>) {
        if self.deaf_at.is_none() {
            let _ = timeout(self.farewell, self.last_words()).await;
        }
        self.wire.outgoing = None;
        // Whoever waits for the end of the session may close its storage next.
        while self.commands.join_next().await.is_some() {}
        drop(requests);
        // Closing a socket with something unread in it would destroy our last words on their way.
        let _ = timeout(self.farewell, async {
            while let Some(Incoming::Frame(_)) = self.wire.incoming.recv().await {}
        })
        .await;
    }

    async fn last_words(&mut self) -> Option<()> {
        while !self.batch.is_empty() {
            let permit = reserve(&self.wire.outgoing).await?;
            permit.send(std::mem::take(&mut self.batch));
            self.batch_bytes = 0;
            self.fill_batch();
        }
        self.wire.outgoing = None;
        let _ = (&mut self.wire.writer).await;
        Some(())
    }
}

/// What became of a command, if one was under way.
fn replied(done: Option<Result<Done, JoinError>>) -> Step {
    match done {
        Some(Ok(Ok((id, reply)))) => Step::Replied(id, reply),
        Some(_) => Step::Unanswered,
        None => Step::AllReplied,
    }
}

/// Never, for a session that only answers.
async fn next_request(requests: &mut Option<Requests>) -> Option<Request> {
    match requests {
        Some(requests) => requests.recv().await,
        None => std::future::pending().await,
    }
}

/// Never, for a session that this side asked for.
async fn called_back(guest: Option<&Guest>) {
    match guest.map(|guest| &guest.place) {
        Some(Ok(place)) => place.called_back().await,
        _ => std::future::pending().await,
    }
}

/// Room for one batch, once the writer has taken the one before; `None` if the writer is gone.
async fn reserve(outgoing: &Option<mpsc::Sender<Vec<Vec<u8>>>>) -> Option<mpsc::Permit<'_, Vec<Vec<u8>>>> {
    outgoing.as_ref()?.reserve().await.ok()
}
