//! One query of the other side: what is left to be sent, and the next piece of it.

use crate::command::{Answer, Command, Coverage};
use crate::credit::Credit;
use crate::error::{Refusal, SessionError};
use crate::event::{Outcome, Rest, Served as Record};
use crate::frame::{Blocks, BlocksTop, Declared, Frame, Lengths, Query, Question, Ranges};
use crate::live::{Live, add};
use crate::outbox::Outbox;
use crate::shared::Shared;
use crate::signed::About;
use crate::stating::{pick, sign, state};
use crate::words::Words;
use kappadb_core::limits::{DEFINITIONS_PART, RANGES_PART};
use kappadb_core::{FeedKey, RangeSet};
use kappadb_entry::Bundle;
use kappadb_merkle::ForkEvidence;
use kappadb_query::Selector;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Debug)]
pub(crate) struct Served {
    pub credit: Credit,
    pub forget: bool,
    /// Until it is accepted: what it declared.
    pub have: Vec<Declared>,
    /// Feeds that its statement must speak of.
    named: Vec<FeedKey>,
    /// Set if it ended before it was accepted: how.
    pub ending: Option<Ending>,
    pub stage: Stage,
    /// Blocks are sent, not ranges.
    inline: bool,
    /// Ends with a statement.
    states: bool,
    /// What it asks of a view, once it is accepted.
    about: Option<About>,
    /// What was listed for it.
    listed: BTreeMap<FeedKey, RangeSet>,
    /// What is looked up again and again; none if it ends with its first answer.
    live: Option<Live>,
    /// What is told of it when it has ended.
    record: Record,
    since: u64,
}

#[derive(Debug)]
pub(crate) enum Stage {
    /// As it came.
    New(Question),
    /// To be looked up so.
    Ready(Box<Command>),
    /// Being looked up.
    Looking,
    /// Being sent.
    Sending(Sending),
    /// Answered for now.
    Standing,
}

/// How it ends before it is answered.
#[derive(Debug)]
pub(crate) enum Ending {
    Cancelled,
    Refused(Refusal, String),
}

/// What is left of an answer.
#[derive(Debug)]
pub(crate) struct Sending {
    /// How many of `coverage` are defined.
    defined: usize,
    coverage: Vec<Coverage>,
    rest: Rest,
    words: Words,
    forks: Vec<ForkEvidence>,
    matches: VecDeque<(FeedKey, RangeSet)>,
    token: Option<Vec<u8>>,
    /// There is something to say.
    tells: bool,
}

/// What came of a turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Something was sent.
    Went,
    /// There is no credit.
    Blocked,
    /// These blocks are to be read.
    Read(FeedKey, RangeSet),
    /// All is sent.
    Ended,
    /// All is sent for now.
    Stands,
}

impl Served {
    pub fn new(query: Query, now: u64) -> Self {
        let Query { credit, forget, have, named, question, .. } = query;
        let (inline, states, asked) = match &question {
            Question::View { inline, view, .. } => (*inline, true, format!("{view:?}")),
            Question::Blocks { ranges, .. } => (true, false, format!("{} blocks by name", ranges.count())),
        };
        let record = Record { asked, blocks: 0, bytes: 0, ms: 0, outcome: Outcome::Answered };
        let (credit, stage) = (Credit::new(credit), Stage::New(question));
        Served {
            credit,
            forget,
            have,
            named,
            ending: None,
            stage,
            inline,
            states,
            about: None,
            listed: BTreeMap::new(),
            live: None,
            record,
            since: now,
        }
    }

    /// The feeds that get numbers when it is accepted, in order.
    pub fn numbered(&self) -> impl Iterator<Item = &FeedKey> {
        let declared = self.have.iter().map(|have| &have.feed);
        declared.chain(&self.named).filter(|_| self.states)
    }

    /// Takes what is to be sent. False if the session has no room for the feeds in it.
    pub fn begin(&mut self, answer: Answer, shared: &Shared) -> bool {
        let Answer { matches, mut coverage, whole, words, mut forks, token } = answer;
        let matching: BTreeSet<FeedKey> = matches.iter().map(|(feed, _)| *feed).collect();
        let due = |feed: &FeedKey| matching.contains(feed) || shared.has_spoken_of(feed);
        let is_news = self.live.as_ref().is_some_and(|live| live.stated);
        if is_news {
            coverage.retain(|c| due(&c.definition.feed));
        }
        let due: BTreeSet<FeedKey> = coverage.iter().map(|c| c.definition.feed).filter(due).collect();
        let new = due.iter().filter(|feed| shared.told.number(feed).is_none()).count();
        let Some(room) = shared.told.room().checked_sub(new) else { return false };
        let (coverage, lacking) = pick(coverage, &due, room);
        let rest = Rest { whole, lacking };
        let spoken_of: BTreeSet<FeedKey> = coverage.iter().map(|c| c.definition.feed).collect();
        forks.retain(|evidence| spoken_of.contains(&evidence.feed));
        let tells = !is_news || !matches.is_empty();
        let matches = matches.into();
        self.stage =
            Stage::Sending(Sending { defined: 0, coverage, rest, words, forks, matches, token, tells });
        true
    }

    /// A frame with so many blocks goes out.
    pub fn spend(&mut self, blocks: u64, bytes: usize) {
        self.credit.spend(bytes);
        self.record.blocks += blocks;
        self.record.bytes += bytes as u64;
    }

    /// These blocks went out. False if nobody confirms what was sent for it: it is not live.
    pub fn note_sent(&mut self, feed: &FeedKey, ranges: &RangeSet) -> bool {
        let Some(live) = &mut self.live else { return false };
        live.sent.entry(*feed).or_default().union_with(ranges);
        true
    }

    /// It is over: what it sent and the peer has not confirmed is still to be.
    pub fn leave(&self, besides: &mut BTreeMap<FeedKey, RangeSet>) {
        let Some(live) = &self.live else { return };
        for sent in live.unconfirmed.iter().map(|(_, sent)| sent).chain([&live.sent]) {
            add(besides, sent.clone());
        }
    }

    /// The peer holds all that came before so many statements: what of it was not confirmed before. None if there were not so many.
    pub fn confirm(&mut self, statements: u64) -> Option<Vec<(FeedKey, RangeSet)>> {
        let live = self.live.as_mut().filter(|live| statements <= live.statements)?;
        let mut held = Vec::new();
        while live.unconfirmed.front().is_some_and(|(at, _)| *at <= statements) {
            held.extend(live.unconfirmed.pop_front().into_iter().flat_map(|(_, sent)| sent));
        }
        Some(held)
    }

    /// What is to be told of it, now that it has ended.
    pub fn record(self, outcome: Outcome, now: u64) -> Record {
        Record { outcome, ms: now.saturating_sub(self.since), ..self.record }
    }

    /// Once accepted: makes of the question what storage is asked, or says what is wrong with it.
    pub fn prepare(&mut self) -> Result<(), (Refusal, String)> {
        let unsupported = |what: &str| Err((Refusal::Unsupported, what.to_owned()));
        if let Stage::New(question) = &self.stage {
            self.about = About::of(question);
        }
        let command = match std::mem::replace(&mut self.stage, Stage::Looking) {
            Stage::New(Question::View { since: Some(_), live: false, .. }) => {
                return unsupported("a token without a live query");
            }
            Stage::New(Question::View { view, selector, direct, without, live, since, .. }) => {
                let selector =
                    Selector::decode(&selector).map_err(|e| (Refusal::BadSelector, e.to_string()))?;
                self.record.asked = format!("{view}: {}", selector.in_words());
                let (declared, named) = (BTreeMap::new(), BTreeSet::new());
                let strict = since.as_ref().is_some_and(|token| !token.is_empty());
                let news = false;
                let question =
                    Command::Answer { view, selector, direct, without, declared, named, since, strict, news };
                self.live = live.then(|| Live::new(question.clone()));
                question
            }
            Stage::New(Question::Blocks { feed, ranges }) => Command::Locate { feed, ranges },
            other => {
                self.stage = other;
                return Ok(());
            }
        };
        self.stage = Stage::Ready(Box::new(command));
        Ok(())
    }

    /// What stands from now on, if it is live: the view and the selector.
    pub fn stands(&self) -> Option<(String, Selector)> {
        match &self.live.as_ref()?.question {
            Command::Answer { view, selector, .. } => Some((view.clone(), selector.clone())),
            _ => None,
        }
    }

    /// True if it is live.
    pub fn is_live(&self) -> bool {
        self.live.is_some()
    }

    /// There may be something new for it.
    pub fn note_news(&mut self) {
        if let Some(live) = &mut self.live {
            live.due = true;
        }
    }

    /// True if it is to be looked up again now.
    pub fn wakes(&mut self) -> bool {
        let Some(live) = self.live.as_mut().filter(|live| live.due) else { return false };
        let Stage::Standing = self.stage else { return false };
        let mut command = live.question.clone();
        if let Command::Answer { since, news, .. } = &mut command {
            (*since, *news) = (live.token.clone(), true);
        }
        self.stage = Stage::Ready(Box::new(command));
        true
    }

    /// What storage is to be asked, once.
    pub fn look_up(&mut self, shared: &Shared) -> Option<Command> {
        match std::mem::replace(&mut self.stage, Stage::Looking) {
            Stage::Ready(mut command) => {
                // What comes from now on is not in what is looked up.
                self.live.iter_mut().for_each(|live| live.due = false);
                if let Command::Answer { declared, named, .. } = &mut *command {
                    *declared = shared.ledger.lengths();
                    // Among them those that the query named, if there was room for them.
                    *named = shared.told.feeds().chain(&self.named).copied().collect();
                }
                Some(*command)
            }
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Sends one piece, or says what is needed for it.
    pub fn turn(&mut self, query: u32, shared: &mut Shared, out: &mut Outbox) -> Result<Turn, SessionError> {
        let Stage::Sending(sending) = &mut self.stage else { return Ok(Turn::Blocked) };
        if sending.define(shared, out)? || sending.prove_fork(shared, out)? {
            return Ok(Turn::Went);
        }
        let is_news = self.live.as_ref().is_some_and(|live| live.stated);
        while let Some((feed, ranges)) = sending.matches.front_mut() {
            *ranges = shared.ledger.unsent(feed, ranges);
            if let Some(theirs) = shared.theirs.get(feed).filter(|_| is_news) {
                *ranges = ranges.minus(theirs);
            }
            if ranges.is_empty() {
                sending.matches.pop_front();
                continue;
            }
            if !self.credit.is_left() {
                return Ok(Turn::Blocked);
            }
            if self.inline {
                return Ok(Turn::Read(*feed, ranges.clone()));
            }
            let number = shared.told.number(feed).unwrap_or(u32::MAX);
            let part: RangeSet = ranges.ranges().iter().take(RANGES_PART).cloned().collect();
            *ranges = ranges.minus(&part);
            self.listed.entry(*feed).or_default().union_with(&part);
            let frame = Frame::Ranges(Ranges { query, feed: number, ranges: part }).encode();
            self.spend(0, frame.len());
            out.send_bytes(frame)?;
            return Ok(Turn::Went);
        }
        let Some(live) = &mut self.live else {
            if self.states {
                let changes = shared.told.restate(&sending.coverage);
                let signed = sign(&sending.words, self.about.take(), shared, &self.listed);
                state(query, &changes, sending.rest, None, &sending.words, signed, out)?;
            }
            out.send(&Frame::Done { query })?;
            return Ok(Turn::Ended);
        };
        live.token = sending.token.take();
        if sending.tells {
            let changes = match live.stated {
                false => shared.told.restate(&sending.coverage),
                true => shared.told.changes(&sending.coverage),
            };
            state(query, &changes, sending.rest, live.token.clone(), &sending.words, None, out)?;
            live.state(std::mem::take(&mut shared.sent_besides));
        }
        live.stated = true;
        self.stage = Stage::Standing;
        Ok(Turn::Stands)
    }

    /// The frame of a bundle.
    pub fn blocks(query: u32, feed: u32, bundle: Bundle, with_head: bool, lengths: Lengths) -> Frame {
        let Bundle { head, ranges, blocks, known, proof, .. } = bundle;
        let top = BlocksTop {
            query,
            feed,
            head: with_head.then_some(head),
            fresh: known.is_empty(),
            ranges,
            proof,
            lengths,
        };
        Frame::Blocks(Blocks { top, blocks })
    }
}

impl Sending {
    /// Sends some of the definitions that the session lacks. False if it lacks none.
    fn define(&mut self, shared: &mut Shared, out: &mut Outbox) -> Result<bool, SessionError> {
        let mut sent = 0;
        for coverage in self.coverage.iter().skip(self.defined) {
            if sent == DEFINITIONS_PART {
                break;
            }
            self.defined += 1;
            if shared.told.define(&coverage.definition.feed)? {
                out.send(&Frame::Feed(coverage.definition))?;
                sent += 1;
            }
        }
        Ok(sent > 0)
    }

    /// Sends one piece of evidence that the session lacks. False if it lacks none.
    fn prove_fork(&mut self, shared: &mut Shared, out: &mut Outbox) -> Result<bool, SessionError> {
        while let Some(evidence) = self.forks.pop() {
            if shared.forks.tell(&evidence) {
                out.send(&Frame::ForkProof(Box::new(evidence)))?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}
