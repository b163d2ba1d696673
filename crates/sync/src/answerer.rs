//! The answering half: the other side's open queries, taking turns.

use crate::command::{Answer, AnswerError, Command, CommandId};
use crate::error::{Refusal, SessionError};
use crate::event::{Event, Fork, Outcome};
use crate::frame::{Frame, Lengths, Query, short};
use crate::outbox::Outbox;
use crate::served::{Ending, Served, Turn};
use crate::shared::Shared;
use kappadb_core::limits::{ANSWERS_AT_ONCE, MAX_FRAME, TARGET_FRAME};
use kappadb_core::{FeedKey, RangeSet};
use kappadb_entry::Bundle;
use kappadb_merkle::{ForkEvidence, Known};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The one proof being made.
#[derive(Debug)]
struct Reading {
    command: CommandId,
    query: u32,
    feed: FeedKey,
    ranges: RangeSet,
    known: Known,
}

#[derive(Debug)]
pub(crate) struct Answerer {
    pub shared: Shared,
    open: BTreeMap<u32, Served>,
    /// Queries that wait to be accepted, in order.
    fresh: VecDeque<u32>,
    /// Accepted queries that wait to be looked up, in order.
    waiting: VecDeque<u32>,
    /// Lookups under way. Those of queries that are gone count too: their work is being done.
    looking: BTreeMap<CommandId, u32>,
    /// Queries that have an answer to send, in the order of their turns.
    turns: VecDeque<u32>,
    reading: Option<Reading>,
    last: Option<u32>,
    max_open: usize,
    /// The time when something last happened.
    now: u64,
    /// Nothing is looked up: the peer has sent evidence of forks that is not durable yet.
    held: bool,
}

impl Answerer {
    pub fn new(max_open: usize, max_feeds: usize, now: u64) -> Self {
        let shared = Shared::new(max_feeds);
        Answerer {
            shared,
            open: BTreeMap::new(),
            fresh: VecDeque::new(),
            waiting: VecDeque::new(),
            looking: BTreeMap::new(),
            turns: VecDeque::new(),
            reading: None,
            last: None,
            max_open,
            now,
            held: false,
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, now: u64) {
        self.now = now.max(self.now);
    }

    /// Ranges in the records of what is known.
    pub fn records(&self) -> usize {
        self.shared.ranges()
    }

    /// The peer sent these blocks.
    pub fn came(&mut self, feed: &FeedKey, ranges: &RangeSet) {
        self.shared.theirs.entry(*feed).or_default().union_with(ranges);
    }

    /// True while a lookup or a proof is under way.
    pub fn is_working(&self) -> bool {
        !self.looking.is_empty() || self.reading.is_some()
    }

    pub fn query(&mut self, query: Query, out: &mut Outbox) -> Result<(), SessionError> {
        if self.last.is_some_and(|last| query.id <= last) {
            return Err(SessionError::QueryOrder(query.id));
        }
        self.last = Some(query.id);
        // Given up but not yet accepted ones wait for the proof being made; they are bounded too.
        let alive = self.open.values().filter(|served| served.ending.is_none()).count();
        if alive >= self.max_open || self.open.len() >= 2 * self.max_open {
            return Err(SessionError::Limit("MAX_OPEN_QUERIES"));
        }
        self.fresh.push_back(query.id);
        self.open.insert(query.id, Served::new(query, self.now));
        self.advance(out)
    }

    /// Looks nothing up while this is so.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// True while nothing is looked up.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Tells the peer of a fork, unless it knows.
    pub fn tell(&mut self, fork: Fork, out: &mut Outbox) -> Result<(), SessionError> {
        let Shared { forks, told, .. } = &mut self.shared;
        if !forks.tell(&fork.evidence) {
            return Ok(());
        }
        if told.define(&fork.definition.feed)? {
            out.send(&Frame::Feed(fork.definition))?;
        }
        out.send(&Frame::ForkProof(Box::new(fork.evidence)))
    }

    /// The peer told of a fork. False if it did so before, or was told.
    pub fn told(&mut self, evidence: &ForkEvidence) -> bool {
        self.shared.forks.share(evidence)
    }

    pub fn credit(&mut self, query: u32, bytes: u64, out: &mut Outbox) -> Result<(), SessionError> {
        match self.find("Credit", query)? {
            Some(served) => served.credit.grant(bytes)?,
            None => return Ok(()),
        }
        self.advance(out)
    }

    pub fn cancel(&mut self, query: u32, out: &mut Outbox) -> Result<(), SessionError> {
        if self.find("Cancel", query)?.is_some() {
            self.end(query, Ending::Cancelled, out)?;
        }
        self.advance(out)
    }

    /// There may be something new for a live query.
    pub fn news(&mut self, query: u32, out: &mut Outbox) -> Result<(), SessionError> {
        if let Some(served) = self.open.get_mut(&query) {
            served.note_news();
            self.wake(query, out);
        }
        self.advance(out)
    }

    /// Looks a live query up again, if it stands and there may be news.
    fn wake(&mut self, query: u32, out: &mut Outbox) {
        if self.open.get_mut(&query).is_some_and(Served::wakes) {
            self.waiting.push_back(query);
            self.look_up(out);
        }
    }

    /// The peer holds what was sent before so many statements to a live query.
    pub fn confirm(&mut self, query: u32, statements: u64, out: &mut Outbox) -> Result<(), SessionError> {
        let Some(served) = self.find("Held", query)? else { return Ok(()) };
        let blocks = served.confirm(statements).ok_or(SessionError::OutOfPlace { frame: "Held", query })?;
        if !blocks.is_empty() {
            out.event(Event::Reached { blocks });
        }
        Ok(())
    }

    /// True while a live query of the peer's is open.
    pub fn is_live(&self) -> bool {
        self.open.values().any(Served::is_live)
    }

    pub fn update(&mut self, query: u32, out: &mut Outbox) -> Result<(), SessionError> {
        if self.find("Update", query)?.is_some() {
            self.refuse(query, Refusal::Unsupported, "queries cannot be changed yet", out)?;
        }
        self.advance(out)
    }

    /// The open query of this number; `None` if it has ended, which the asker may not know yet.
    fn find(&mut self, frame: &'static str, query: u32) -> Result<Option<&mut Served>, SessionError> {
        if self.last.is_none_or(|last| query > last) {
            return Err(SessionError::UnknownQuery { frame, query });
        }
        Ok(self.open.get_mut(&query).filter(|served| served.ending.is_none()))
    }

    /// Ends a query with its last frame, at once or, if it waits to be accepted, then.
    fn end(&mut self, query: u32, ending: Ending, out: &mut Outbox) -> Result<(), SessionError> {
        if self.fresh.contains(&query) {
            if let Some(served) = self.open.get_mut(&query) {
                served.ending = Some(ending);
            }
            return Ok(());
        }
        let served = self.open.remove(&query);
        served.iter().for_each(|served| served.leave(&mut self.shared.sent_besides));
        self.turns.retain(|turn| *turn != query);
        self.waiting.retain(|waiting| *waiting != query);
        self.looking.retain(|command, of| *of != query || !out.withdraw(*command));
        let (last, outcome) = match ending {
            Ending::Cancelled => (Frame::Done { query }, Outcome::Cancelled),
            Ending::Refused(reason, text) => {
                let (code, text) = (reason.code(), short(&text));
                (Frame::Error { query, code, text: text.clone() }, Outcome::Refused { reason, text })
            }
        };
        out.send(&last)?;
        if served.as_ref().is_some_and(Served::is_live) {
            out.event(Event::Falls { query });
        }
        self.tell_of(served, outcome, out);
        Ok(())
    }

    fn tell_of(&self, served: Option<Served>, outcome: Outcome, out: &mut Outbox) {
        if let Some(served) = served {
            out.event(Event::Served(served.record(outcome, self.now)));
        }
    }

    fn refuse(&mut self, query: u32, why: Refusal, text: &str, out: &mut Outbox) -> Result<(), SessionError> {
        self.end(query, Ending::Refused(why, text.to_owned()), out)
    }

    /// Does all that can be done now.
    pub fn advance(&mut self, out: &mut Outbox) -> Result<(), SessionError> {
        self.accept(out)?;
        self.look_up(out);
        let mut blocked = 0;
        while self.reading.is_none() && out.has_room() && blocked < self.turns.len() {
            let Some(query) = self.turns.pop_front() else { break };
            let Some(served) = self.open.get_mut(&query) else { continue };
            let turn = served.turn(query, &mut self.shared, out)?;
            blocked = if matches!(turn, Turn::Blocked) { blocked + 1 } else { 0 };
            match turn {
                Turn::Stands => self.wake(query, out),
                Turn::Ended => {
                    let served = self.open.remove(&query);
                    self.tell_of(served, Outcome::Answered, out);
                }
                Turn::Went | Turn::Blocked => self.turns.push_back(query),
                Turn::Read(feed, ranges) => {
                    self.turns.push_back(query);
                    // The peer may hold another history of a feed that forked: proofs of it build on nothing.
                    let forked = self.shared.forks.contains(&feed);
                    let known = if forked { Known::default() } else { self.shared.ledger.known(&feed) };
                    self.read(query, feed, ranges, known, out);
                }
            }
        }
        Ok(())
    }

    /// Accepts what waits for it, unless a proof is being made: the ledger must not change under it.
    fn accept(&mut self, out: &mut Outbox) -> Result<(), SessionError> {
        while self.reading.is_none() {
            let Some(query) = self.fresh.pop_front() else { break };
            let Some(served) = self.open.get_mut(&query) else { continue };
            if served.forget {
                self.shared.forget();
            }
            served.numbered().for_each(|feed| self.shared.told.name(feed));
            self.shared.ledger.accept(served.forget, &std::mem::take(&mut served.have))?;
            out.send(&Frame::Accept { query })?;
            match (served.ending.take(), served.prepare()) {
                (Some(last), _) => self.end(query, last, out)?,
                (None, Err((why, text))) => self.refuse(query, why, &text, out)?,
                (None, Ok(())) => {
                    // Before it is looked up: nothing that comes meanwhile is overlooked.
                    if let Some((view, selector)) = served.stands() {
                        out.event(Event::Stands { query, view, selector });
                    }
                    self.waiting.push_back(query);
                }
            }
        }
        Ok(())
    }

    fn look_up(&mut self, out: &mut Outbox) {
        while !self.held && self.looking.len() < ANSWERS_AT_ONCE {
            let Some(query) = self.waiting.pop_front() else { break };
            let shared = &self.shared;
            if let Some(command) = self.open.get_mut(&query).and_then(|served| served.look_up(shared)) {
                self.looking.insert(out.command(command), query);
            }
        }
    }

    fn read(&mut self, query: u32, feed: FeedKey, ranges: RangeSet, known: Known, out: &mut Outbox) {
        let read =
            Command::Read { feed, ranges: ranges.clone(), known: known.clone(), max_bytes: TARGET_FRAME };
        let command = out.command(read);
        self.reading = Some(Reading { command, query, feed, ranges, known });
    }

    pub fn answered(
        &mut self,
        id: CommandId,
        answer: Result<Answer, AnswerError>,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let query = self.looking.remove(&id).filter(|query| self.open.contains_key(query));
        if let Some(query) = query {
            match answer {
                Ok(answer) => self.begin(query, answer, out)?,
                Err(error) => self.refuse(query, reason(&error), &error.to_string(), out)?,
            }
        }
        self.advance(out)
    }

    fn begin(&mut self, query: u32, answer: Answer, out: &mut Outbox) -> Result<(), SessionError> {
        let covered: BTreeSet<FeedKey> = answer.coverage.iter().map(|c| c.definition.feed).collect();
        if !answer.matches.iter().all(|(feed, _)| covered.contains(feed)) {
            return self.refuse(query, Refusal::Unavailable, "a feed without a definition", out);
        }
        let Some(served) = self.open.get_mut(&query) else { return Ok(()) };
        if !served.begin(answer, &self.shared) {
            return self.refuse(query, Refusal::Limit, "MAX_SESSION_FEEDS", out);
        }
        self.turns.push_back(query);
        Ok(())
    }

    pub fn read_done(
        &mut self,
        id: CommandId,
        read: Result<(Bundle, Lengths), String>,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let Some(reading) = self.reading.take_if(|reading| reading.command == id) else { return Ok(()) };
        // A query that ended meanwhile wants nothing more, and what was not sent is not counted as sent.
        if self.open.contains_key(&reading.query) {
            match read.and_then(|(bundle, lengths)| Ok((reading.check(bundle)?, lengths))) {
                Ok((bundle, lengths)) => self.send(&reading, bundle, lengths, out)?,
                // A sparse replica may lack what leads from the tree that the peer knows to its own.
                Err(_) if !reading.known.is_empty() => {
                    let Reading { query, feed, ranges, .. } = reading;
                    self.read(query, feed, ranges, Known::default(), out);
                    return Ok(());
                }
                Err(text) => self.refuse(reading.query, Refusal::Unavailable, &text, out)?,
            }
        }
        self.advance(out)
    }

    fn send(
        &mut self,
        reading: &Reading,
        bundle: Bundle,
        lengths: Lengths,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let lengths = self.shared.unsaid(lengths);
        let (feed, head, ranges) = (bundle.feed, bundle.head, bundle.ranges.clone());
        let (fresh, blocks) = (bundle.known.is_empty(), bundle.blocks.len() as u64);
        let number = self.shared.told.number(&feed).unwrap_or(u32::MAX);
        let same = self.shared.ledger.head(&feed) == Some(head);
        let frame = Served::blocks(reading.query, number, bundle, !same, lengths.clone()).encode();
        if frame.len() > MAX_FRAME {
            return self.refuse(reading.query, Refusal::Limit, "MAX_FRAME", out);
        }
        self.shared.ledger.record(&feed, &head, &ranges, fresh)?;
        self.shared.say(lengths);
        let is_noted = self.open.get_mut(&reading.query).is_some_and(|served| {
            served.spend(blocks, frame.len());
            served.note_sent(&feed, &ranges)
        });
        if !is_noted && self.is_live() {
            self.shared.sent_besides.entry(feed).or_default().union_with(&ranges);
        }
        out.send_bytes(frame)
    }
}

impl Reading {
    /// That the bundle is one which the other side will understand.
    fn check(&self, bundle: Bundle) -> Result<Bundle, String> {
        let length = bundle.head.head.length;
        let fits = bundle.feed == self.feed
            && !bundle.ranges.is_empty()
            && bundle.ranges.minus(&self.ranges).is_empty()
            && bundle.ranges.end() <= length
            && bundle.ranges.count() == bundle.blocks.len() as u64
            && (bundle.known == Known::default()
                || bundle.known == self.known && self.known.length <= length);
        if fits { Ok(bundle) } else { Err("storage gave something else than was read".to_owned()) }
    }
}

fn reason(error: &AnswerError) -> Refusal {
    match error {
        AnswerError::UnknownView(_) => Refusal::UnknownView,
        AnswerError::Selector(_) => Refusal::BadSelector,
        AnswerError::Limit(_) => Refusal::Limit,
        AnswerError::Stale => Refusal::Stale,
        AnswerError::Unavailable(_) => Refusal::Unavailable,
    }
}
