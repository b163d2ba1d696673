//! The asking half: questions asked here, and what comes of them.

mod frames;
mod storage;

use crate::asked::{Asked, Phase, check};
use crate::error::{QueryError, SessionError};
use crate::event::{Ask, Event, Fetch, Have, QueryId};
use crate::feeds::Heard;
use crate::frame::{Frame, Query, Question};
use crate::inbox::Inbox;
use crate::ledger::Ledger;
use crate::outbox::Outbox;
use crate::session::Config;
use kappadb_core::limits::{HAVE_BYTES, RECEIVE_QUEUE};
use kappadb_core::limits::{MAX_CREDIT, MAX_FRAME, MAX_RANGES};
use kappadb_core::{FeedKey, codec};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
pub(crate) struct Asker {
    config: Config,
    ledger: Ledger,
    heard: Heard,
    inbox: Inbox,
    open: BTreeMap<u32, Asked>,
    next_query: u32,
    next_name: u64,
    /// What the ledger says may be wrong: the next query says `forget`.
    stale: bool,
    /// The query whose Accept will forget the ledger.
    forgetting: Option<u32>,
    /// How often the ledger was forgotten.
    epoch: u64,
    /// Evidence that came in this session.
    forks: usize,
    /// Feeds of which something that came was not kept, since what the ledger says was last forgotten: later proofs may
    /// build on it.
    torn: BTreeSet<FeedKey>,
}

impl Asker {
    pub fn new(config: Config) -> Self {
        let max_feeds = config.agreed.session_feeds;
        Asker {
            config: Config { credit: config.credit.clamp(1, MAX_CREDIT / 2), ..config },
            ledger: Ledger::new(max_feeds),
            heard: Heard::new(max_feeds),
            inbox: Inbox::default(),
            open: BTreeMap::new(),
            next_query: 0,
            next_name: 0,
            stale: false,
            forgetting: None,
            epoch: 0,
            forks: 0,
            torn: BTreeSet::new(),
        }
    }

    /// True while a question waits for its answer.
    pub fn has_questions(&self) -> bool {
        self.open.values().any(|asked| asked.wanted)
    }

    /// True while storage has work.
    pub fn is_storing(&self) -> bool {
        !self.inbox.is_idle()
    }

    /// True while there is fork evidence of the peer's that is not durable yet.
    pub fn owes_forks(&self) -> bool {
        self.inbox.owes_forks()
    }

    /// True if what came and is not stored yet takes too much memory.
    pub fn is_full(&self) -> bool {
        self.inbox.bytes() >= RECEIVE_QUEUE
    }

    /// A new name for a question.
    pub fn name(&mut self) -> QueryId {
        self.next_name += 1;
        QueryId(self.next_name)
    }

    pub fn ask(&mut self, name: QueryId, ask: Ask, now: u64, out: &mut Outbox) -> Result<(), SessionError> {
        let Ask { view, selector, inline, have, .. } = ask;
        let question = selector.encode().map_err(QueryError::from).map(|selector| Question::View {
            view,
            selector,
            inline,
            live: false,
            since: None,
        });
        self.question(name, question, have, now, out)
    }

    pub fn fetch(
        &mut self,
        name: QueryId,
        fetch: Fetch,
        now: u64,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let Fetch { feed, ranges, known } = fetch;
        self.question(name, Ok(Question::Blocks { feed, ranges }), vec![Have { feed, known }], now, out)
    }

    fn question(
        &mut self,
        name: QueryId,
        question: Result<Question, QueryError>,
        have: Vec<Have>,
        now: u64,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let room = self.open.len() < self.config.agreed.open_queries;
        let checked = question.and_then(|question| match check(&question) {
            Ok(()) if !room => Err(QueryError::Limit("MAX_OPEN_QUERIES")),
            checked => checked.map(|()| question),
        });
        match checked {
            Ok(question) => {
                let mut asked = Asked::new(name, question, self.config.credit, now);
                asked.have = self.declare(have);
                self.send(asked, out)
            }
            Err(error) => {
                out.event(Event::Failed { query: name, error });
                Ok(())
            }
        }
    }

    /// What of `have` is worth saying.
    fn declare(&self, have: Vec<Have>) -> Vec<Have> {
        let mut room = HAVE_BYTES;
        let mut declared = Vec::new();
        for mut have in have {
            if !self.stale && self.ledger.need_not_declare(&have.feed, &have.known) {
                continue;
            }
            if have.known.leaves.ranges().len() > MAX_RANGES {
                have.known.leaves = have.known.leaves.ranges().iter().take(MAX_RANGES).cloned().collect();
            }
            if let Some(rest) = room.checked_sub(codec::encode(&have).len()) {
                room = rest;
                declared.push(have);
            }
        }
        declared
    }

    /// Puts a question on the wire under the next number.
    fn send(&mut self, mut asked: Asked, out: &mut Outbox) -> Result<(), SessionError> {
        let id = self.next_query;
        let (have, question) = (asked.have.clone(), asked.question.clone());
        let query = Query { id, credit: self.config.credit, forget: self.stale, have, question };
        let frame = Frame::Query(query).encode();
        // Numbers end after four billion questions: the session must then be begun anew.
        let over = if frame.len() > MAX_FRAME {
            Some("MAX_FRAME")
        } else {
            (id == u32::MAX).then_some("query numbers")
        };
        if let Some(limit) = over {
            out.event(Event::Failed { query: asked.name, error: QueryError::Limit(limit) });
            return Ok(());
        }
        self.next_query += 1;
        asked.forget = std::mem::take(&mut self.stale);
        if asked.forget {
            self.forgetting = Some(id);
        }
        self.open.insert(id, asked);
        out.send_bytes(frame)
    }

    pub fn cancel(&mut self, name: QueryId, out: &mut Outbox) -> Result<(), SessionError> {
        let named = |(_, asked): &(&u32, &mut Asked)| asked.name == name && asked.wanted;
        let Some((&query, asked)) = self.open.iter_mut().find(named) else { return Ok(()) };
        asked.wanted = false;
        if asked.phase == Phase::Finished {
            self.open.remove(&query);
            return Ok(());
        }
        out.send(&Frame::Cancel { query })
    }

    /// Tells every question that is waited for why it failed.
    pub fn abandon(&mut self, reason: &SessionError, out: &mut Outbox) -> bool {
        for asked in std::mem::take(&mut self.open).into_values().filter(|asked| asked.wanted) {
            out.event(Event::Failed { query: asked.name, error: QueryError::Session(reason.clone()) });
        }
        self.inbox.abandon()
    }

    /// When the next question fails if nothing is heard of it.
    pub fn deadline(&self) -> Option<u64> {
        self.open.values().filter(|asked| asked.phase < Phase::Finished).map(Asked::deadline).min()
    }

    /// Fails the questions that the peer let wait too long.
    pub fn timeout(&mut self, now: u64, out: &mut Outbox) -> Result<(), SessionError> {
        let busy = self.is_storing();
        for (&query, asked) in &mut self.open {
            // What waits on this side (to store, to read) is not the peer's fault.
            if busy || !asked.credit.is_left() || asked.phase == Phase::Finished {
                asked.heard = now;
            }
            if now < asked.deadline() {
                continue;
            }
            if !asked.wanted {
                return Err(SessionError::Limit("ANSWER_MS"));
            }
            (asked.wanted, asked.heard) = (false, now);
            out.event(Event::Failed { query: asked.name, error: QueryError::TimedOut });
            out.send(&Frame::Cancel { query })?;
        }
        Ok(())
    }
}
