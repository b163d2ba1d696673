//! One side of a session: hands each thing that comes in to the part that it is for.

use crate::Introduction;
use crate::answerer::Answerer;
use crate::asker::Asker;
use crate::command::{Command, CommandId, Reply};
use crate::error::{QueryError, SessionError};
use crate::event::{Ask, Event, Fetch, QueryId};
use crate::frame::{Frame, short};
use crate::hello::Agreed;
use crate::outbox::Outbox;
use kappadb_core::limits::{ALIVE_MS, IDLE_MS, PATIENCE_MS, QUERY_CREDIT, QUESTION_BYTES};
use kappadb_core::{FeedKey, SecretKey};

/// How a session behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What the hellos amounted to.
    pub agreed: Agreed,
    /// Bytes of results that each question asked here may have in flight. Default: [`QUERY_CREDIT`].
    pub credit: u64,
    /// Milliseconds for which the peer may send nothing useful while it is asked. Default: [`PATIENCE_MS`].
    pub patience_ms: u64,
    /// Bytes of results that each question to a view may bring. Default: [`QUESTION_BYTES`].
    pub question_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            agreed: Agreed::default(),
            credit: QUERY_CREDIT,
            patience_ms: PATIENCE_MS,
            question_bytes: QUESTION_BYTES,
        }
    }
}

/// One side of a session. Times are milliseconds of any clock that does not go back.
///
/// After anything went in, poll [`Session::poll_transmit`], [`Session::poll_command`] and [`Session::poll_event`] until all
/// give `None`: taking from one may fill another. Then wait for input or for the time of [`Session::poll_timeout`].
///
/// Frames must be sent in the order in which they are given. Commands may be carried out side by side.
#[derive(Debug)]
pub struct Session {
    asker: Asker,
    answerer: Answerer,
    out: Outbox,
    /// When the peer was last heard, or this side last had a reason to wait for it.
    heard: u64,
    /// It was asked since whether it is there.
    asked_alive: bool,
    /// It is not to end although nothing is asked.
    kept: bool,
    closed: Option<SessionError>,
    /// It has ended, and what came before is still being stored.
    storing: bool,
}

impl Session {
    /// A session whose handshake ended at `now_ms`.
    pub fn new(config: Config, now_ms: u64) -> Self {
        let Agreed { open_queries, session_feeds, .. } = config.agreed;
        Session {
            asker: Asker::new(config, now_ms),
            answerer: Answerer::new(open_queries, session_feeds, now_ms),
            out: Outbox::default(),
            heard: now_ms,
            asked_alive: false,
            kept: false,
            closed: None,
            storing: false,
        }
    }

    /// Between these two: what this side states it signs, and what the peer signs is checked.
    #[must_use]
    pub fn between(mut self, me: SecretKey, peer: FeedKey) -> Self {
        self.answerer.shared.signer = Some(me);
        self.asker.hold_to(peer);
        self
    }

    /// Takes a frame: kind and body. An error ends the session; the frames that are left tell the peer.
    pub fn receive(&mut self, now_ms: u64, frame: &[u8]) -> Result<(), SessionError> {
        if let Some(reason) = &self.closed {
            return Err(reason.clone());
        }
        self.hear(now_ms);
        self.pass(now_ms);
        let taken = Frame::decode(frame).map_err(SessionError::from).and_then(|decoded| match decoded {
            Some(decoded) => self.dispatch(decoded, frame.len()),
            None => Ok(()),
        });
        self.guard(taken.clone());
        taken
    }

    fn dispatch(&mut self, frame: Frame, bytes: usize) -> Result<(), SessionError> {
        let Session { asker, answerer, out, .. } = self;
        if !matches!(frame, Frame::ForkProof(_) | Frame::Close { .. }) {
            asker.check_definitions()?;
        }
        match frame {
            Frame::Query(query) => {
                asker.settle_forks(out)?;
                answerer.hold(asker.owes_forks());
                answerer.query(query, out)
            }
            Frame::Credit { query, bytes } => answerer.credit(query, bytes, out),
            Frame::Cancel { query } => answerer.cancel(query, out),
            Frame::Update { query, .. } => answerer.update(query, out),
            Frame::Accept { query } => asker.accept(query),
            Frame::Feed(definition) => asker.define(definition, bytes),
            Frame::Blocks(blocks) => {
                let (feed, ranges) = asker.blocks(blocks, bytes, out)?;
                answerer.came(&feed, &ranges);
                Ok(())
            }
            Frame::Ranges(ranges) => asker.ranges(ranges, bytes, out),
            Frame::Statement(statement) => asker.statement(statement, bytes, out),
            Frame::Done { query } => asker.done(query, out),
            Frame::Error { query, code, text } => asker.error(query, code.into(), text, out),
            Frame::ForkProof(evidence) => {
                let news = answerer.told(&evidence);
                asker.fork(evidence, news, out)
            }
            Frame::Close { code, text } => Err(SessionError::Peer { code, text }),
            Frame::Held { query, statements } => answerer.confirm(query, statements, out),
            Frame::Alive { answer: true } => out.send(&Frame::Alive { answer: false }),
            Frame::Alive { answer: false } => Ok(()),
            Frame::Introduce(peers) => {
                out.event(Event::Introduced { peers });
                Ok(())
            }
        }
    }

    fn hear(&mut self, now_ms: u64) {
        (self.heard, self.asked_alive) = (now_ms, false);
    }

    fn pass(&mut self, now_ms: u64) {
        self.asker.pass(now_ms);
        self.answerer.pass(now_ms);
    }

    /// Takes the outcome of a command. A reply that nobody waits for any more is ignored.
    pub fn reply(&mut self, now_ms: u64, id: CommandId, reply: Reply) {
        if self.closed.is_some() {
            if self.storing && !self.asker.stored_last(id, reply, &mut self.out) {
                self.tell_end();
            }
            return;
        }
        self.pass(now_ms);
        let taken = match reply {
            Reply::Answer(answer) => self.answerer.answered(id, answer, &mut self.out),
            Reply::Read(bundle) => self.answerer.read_done(id, bundle, &mut self.out),
            other => self.asker.reply(id, other, &mut self.out).and_then(|()| self.release()),
        };
        self.guard(taken);
    }

    /// Looks up what the peer asked, once the evidence that it sent before is durable.
    fn release(&mut self) -> Result<(), SessionError> {
        if !self.answerer.is_held() || self.asker.owes_forks() {
            return Ok(());
        }
        self.answerer.hold(false);
        self.answerer.advance(&mut self.out)
    }

    /// The next frame, kind and body, to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        let frame = self.out.take_frame()?;
        if self.closed.is_none() {
            let made = self.answerer.advance(&mut self.out);
            self.guard(made);
        }
        Some(frame)
    }

    /// The next command to carry out.
    pub fn poll_command(&mut self) -> Option<(CommandId, Command)> {
        self.out.take_command()
    }

    /// The next thing that the caller should know.
    pub fn poll_event(&mut self) -> Option<Event> {
        let (event, taken) = self.out.take_event()?;
        if let (Some((query, bytes)), None) = (taken, &self.closed) {
            let granted = self.asker.taken(query, bytes, &mut self.out);
            self.guard(granted);
        }
        Some(event)
    }

    /// When to call [`Session::handle_timeout`] if nothing else happens; `None` when the session is over.
    pub fn poll_timeout(&self) -> Option<u64> {
        let asks = self.is_kept() && !self.asked_alive;
        let silent = self.heard.saturating_add(if asks { ALIVE_MS } else { IDLE_MS });
        self.closed.is_none().then(|| self.asker.deadline().map_or(silent, |deadline| deadline.min(silent)))
    }

    /// Keeps the session although nothing is asked: a peer that is silent is asked now and then whether it is there.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    fn is_kept(&self) -> bool {
        self.kept || self.asker.is_live() || self.answerer.is_live()
    }

    /// Tells the peer of others, [`MAX_INTRODUCED`](kappadb_core::limits::MAX_INTRODUCED) at most.
    pub fn introduce(&mut self, peers: Vec<Introduction>) {
        if self.closed.is_none() {
            let told = self.out.send(&Frame::Introduce(peers));
            self.guard(told);
        }
    }

    /// There may be something new for a live question of the peer's ([`Event::Stands`]).
    pub fn news(&mut self, now_ms: u64, query: u32) {
        if self.closed.is_some() {
            return;
        }
        self.pass(now_ms);
        let woken = self.answerer.news(query, &mut self.out);
        self.guard(woken);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.closed.is_some() {
            return;
        }
        self.pass(now_ms);
        let asked = self.asker.timeout(&mut self.out);
        self.guard(asked);
        if self.is_kept() && !self.asked_alive && now_ms >= self.heard.saturating_add(ALIVE_MS) {
            self.asked_alive = true;
            let asked = self.out.send(&Frame::Alive { answer: true });
            self.guard(asked);
        }
        let idle = now_ms >= self.heard.saturating_add(IDLE_MS);
        if idle && (self.asker.has_questions() || self.asker.is_storing() || self.answerer.is_working()) {
            self.hear(now_ms);
        } else if idle {
            self.end(SessionError::Idle);
        }
    }

    /// False while the driver should not read from the connection: what came is not stored or taken yet.
    pub fn wants_read(&self) -> bool {
        self.closed.is_none() && !self.asker.is_full() && !self.out.is_crowded()
    }

    /// Asks the peer's view. What comes of it is told by events, errors too.
    pub fn ask(&mut self, now_ms: u64, mut ask: Ask) -> QueryId {
        let name = self.asker.name();
        self.pass(now_ms);
        if self.closed.is_none() {
            let mut forks = std::mem::take(&mut ask.forks).into_iter();
            let told = forks.try_for_each(|fork| self.answerer.tell(fork, &mut self.out));
            self.guard(told);
        }
        self.question(name, |asker, out| asker.ask(name, ask, out));
        name
    }

    /// Asks for blocks by name. Their feed must have been heard of, or the peer must define it.
    pub fn fetch(&mut self, now_ms: u64, fetch: Fetch) -> QueryId {
        let name = self.asker.name();
        self.pass(now_ms);
        self.question(name, |asker, out| asker.fetch(name, fetch, out));
        name
    }

    fn question(
        &mut self,
        query: QueryId,
        ask: impl FnOnce(&mut Asker, &mut Outbox) -> Result<(), SessionError>,
    ) {
        if let Some(reason) = &self.closed {
            let error = QueryError::Session(reason.clone());
            return self.out.event(Event::Failed { query, error });
        }
        let asked = ask(&mut self.asker, &mut self.out);
        self.guard(asked);
    }

    /// Gives up a question: nothing more is said of it. Blocks that are on their way are still kept.
    pub fn cancel(&mut self, query: QueryId) {
        if self.closed.is_none() {
            let cancelled = self.asker.cancel(query, &mut self.out);
            self.guard(cancelled);
        }
    }

    /// True while there is work for a question of the peer's, or something to be sent.
    pub fn is_busy(&self) -> bool {
        self.answerer.is_working() || self.asker.is_storing() || self.out.has_frames()
    }

    /// Ranges in the records of what is known on both sides: what a long session takes in memory.
    pub fn records(&self) -> usize {
        self.asker.records() + self.answerer.records()
    }

    /// Ends the session, for there is no room for it, and says so to the peer.
    pub fn turn_away(&mut self, limit: &'static str) {
        self.end(SessionError::Limit(limit));
    }

    /// Ends the session and says so to the peer.
    pub fn close(&mut self) {
        self.end(SessionError::Finished);
    }

    /// The connection is gone: ends the session without a word.
    pub fn lost(&mut self) {
        self.end(SessionError::Lost);
    }

    /// No command is carried out any more: what is not stored by now never is.
    pub fn stop_storing(&mut self) {
        if self.storing {
            self.tell_end();
        }
    }

    /// Why the session ended, if it did. What came before may still have to be stored: [`Event::Closed`] comes after that.
    pub fn closed(&self) -> Option<&SessionError> {
        self.closed.as_ref()
    }

    fn guard(&mut self, result: Result<(), SessionError>) {
        if let Err(error) = result {
            self.end(error);
        }
    }

    fn end(&mut self, reason: SessionError) {
        if self.closed.is_some() {
            return;
        }
        let keeps = keeps_what_came(&reason);
        self.out.clear(keeps);
        if !matches!(reason, SessionError::Peer { .. } | SessionError::Lost) {
            let goodbye = Frame::Close { code: reason.code(), text: short(&reason.to_string()) };
            // The queue was just emptied, so there is room.
            let _ = self.out.send(&goodbye);
        }
        self.closed = Some(reason);
        self.storing = keeps && self.asker.store_last(&mut self.out);
        if !self.storing {
            self.tell_end();
        }
    }

    /// Questions fail, and the caller is told: all that is kept is stored by now.
    fn tell_end(&mut self) {
        self.storing = false;
        let Some(reason) = self.closed.clone() else { return };
        if self.asker.abandon(&reason, &mut self.out) {
            self.out.command(Command::Sync);
        }
        self.out.event(Event::Closed { reason });
    }
}

/// True for an end that takes nothing from what the peer sent before: each block of it proves itself.
fn keeps_what_came(reason: &SessionError) -> bool {
    matches!(reason, SessionError::Lost | SessionError::Peer { .. } | SessionError::Budget(_))
}
