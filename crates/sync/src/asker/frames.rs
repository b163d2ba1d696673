//! What the peer says of questions asked here: checked against what it may say now, and handed on to storage.

use super::Asker;
use crate::asked::{Asked, Phase};
use crate::error::{QueryError, Refusal, SessionError};
use crate::event::Event;
use crate::frame::{Blocks, Frame, Last, Question, Ranges, Statement};
use crate::inbox::{Put, Settle, Work};
use crate::outbox::Outbox;
use crate::signed::{About, RULES, SignedStatement, claimed};
use crate::words::Words;
use kappadb_core::limits::MAX_FORKS_TOLD;
use kappadb_core::{FeedDefinition, FeedKey, RangeSet, Signature, SignedHead};
use kappadb_entry::Bundle;
use kappadb_merkle::{ForkEvidence, Known};

impl Asker {
    fn find(&mut self, frame: &'static str, query: u32) -> Result<&mut Asked, SessionError> {
        let asked = self.open.get_mut(&query).filter(|asked| asked.phase < Phase::Finished);
        asked.ok_or(SessionError::UnknownQuery { frame, query })
    }

    pub fn accept(&mut self, query: u32) -> Result<(), SessionError> {
        let asked = self.find("Accept", query)?;
        if asked.phase != Phase::Sent {
            return Err(SessionError::OutOfPlace { frame: "Accept", query });
        }
        asked.phase = Phase::Accepted;
        let (forget, have) = (asked.forget, std::mem::take(&mut asked.have));
        let mut numbered = std::mem::take(&mut asked.declared);
        numbered.extend(&asked.named);
        numbered.iter().for_each(|definition| self.heard.number(definition));
        self.patience.refill();
        if self.forgetting == Some(query) {
            self.forgetting = None;
            self.epoch += 1;
            self.torn.clear();
        }
        self.ledger.accept(forget, &have)
    }

    pub fn define(&mut self, definition: FeedDefinition, bytes: usize) -> Result<(), SessionError> {
        self.heard.define(definition)?;
        self.patience.earn(bytes);
        // With no question open there is nothing that it could belong to but a fork that the peer tells of before it asks.
        self.due_fork = (!self.is_answered()).then_some(definition.feed);
        Ok(())
    }

    /// True while the peer may be sending an answer.
    fn is_answered(&self) -> bool {
        self.open.values().any(|asked| asked.phase == Phase::Accepted)
    }

    /// Before any other frame than evidence of a fork: a definition that only that could follow is out of place.
    pub fn check_definitions(&self) -> Result<(), SessionError> {
        match self.due_fork {
            Some(feed) => Err(SessionError::IdleDefinition(feed)),
            None => Ok(()),
        }
    }

    /// At the end of an answer, if nothing else is being answered: whatever was defined belonged to something.
    fn check_idle(&mut self) -> Result<(), SessionError> {
        if self.is_answered() {
            return Ok(());
        }
        self.heard.idle().map_or(Ok(()), |feed| Err(SessionError::IdleDefinition(feed)))
    }

    pub fn fork(
        &mut self,
        evidence: Box<ForkEvidence>,
        news: bool,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        self.forks += 1;
        if self.forks > MAX_FORKS_TOLD {
            return Err(SessionError::Limit("MAX_FORKS_TOLD"));
        }
        let feed = evidence.feed;
        if !self.heard.mention(&feed) || self.due_fork.is_some_and(|due| due != feed) {
            return Err(SessionError::BadFork(format!("feed {feed} was not defined before it")));
        }
        self.due_fork = None;
        if !news {
            return Ok(());
        }
        // Who asks nothing gets no blocks.
        if !self.open.is_empty() {
            self.heard.keep(evidence.clone());
        }
        self.work(Work::Fork(evidence), out)
    }

    /// The peer asks: the evidence that it sent before is to be durable when it is answered.
    pub fn settle_forks(&mut self, out: &mut Outbox) -> Result<(), SessionError> {
        if self.owes_forks() { self.work(Work::Settle(None), out) } else { Ok(()) }
    }

    /// Takes blocks in. Which of which feed came.
    pub fn blocks(
        &mut self,
        frame: Blocks,
        bytes: usize,
        out: &mut Outbox,
    ) -> Result<(FeedKey, RangeSet), SessionError> {
        let query = frame.top.query;
        let feed = self.heard.feed(frame.top.feed);
        let asked = self.find("Blocks", query)?;
        asked.spend(query, true, bytes)?;
        let feed = feed?;
        let wanted = asked.wants(&feed, &frame.top.ranges, &frame.blocks);
        asked.stats.blocks_received += frame.blocks.len() as u64;
        let head = frame.top.head.or(self.ledger.head(&feed)).ok_or(SessionError::NoHead(feed))?;
        if let Some(why) = self.fault(&feed, &frame, &head).or((!wanted).then_some("were not asked for")) {
            return Err(SessionError::Blocks { feed, why });
        }
        if let Some((definition, fork)) = self.heard.store(&feed) {
            self.work(Work::Define(definition), out)?;
            fork.map_or(Ok(()), |evidence| self.work(Work::Fork(evidence), out))?;
        }
        let Blocks { top, blocks } = frame;
        let known = if top.fresh { Known::default() } else { self.ledger.known(&feed) };
        self.ledger.record(&feed, &head, &top.ranges, top.fresh)?;
        let put = Put { query, feed, blocks: blocks.len() as u64, bytes, epoch: self.epoch };
        let came = (feed, top.ranges.clone());
        let bundle = Bundle { feed, head, ranges: top.ranges, blocks, known, proof: top.proof };
        self.work(Work::Put(put, bundle, top.lengths), out)?;
        Ok(came)
    }

    /// What is wrong with blocks before anything is hashed.
    fn fault(&self, feed: &FeedKey, frame: &Blocks, head: &SignedHead) -> Option<&'static str> {
        let ranges: &RangeSet = &frame.top.ranges;
        if ranges.is_empty() {
            Some("are none")
        } else if ranges.end() > head.head.length {
            Some("lie above their head")
        } else if ranges.count() != frame.blocks.len() as u64 {
            Some("are not as many as their ranges say")
        } else if !frame.top.fresh && !(1..=head.head.length).contains(&self.ledger.known(feed).length) {
            Some("build on another tree than their head's")
        } else if self.ledger.has_sent_any(feed, ranges) {
            Some("were sent or held before")
        } else {
            None
        }
    }

    pub fn ranges(&mut self, frame: Ranges, bytes: usize, out: &mut Outbox) -> Result<(), SessionError> {
        let Ranges { query, feed, ranges } = frame;
        let feed = self.heard.feed(feed);
        let asked = self.find("Ranges", query)?;
        asked.spend(query, false, bytes)?;
        let feed = feed?;
        asked.list(feed, &ranges)?;
        let event = Event::Ranges { query: asked.name, feed, ranges };
        if asked.is_wanted() {
            out.results(event, query, bytes);
        }
        self.patience.earn(bytes);
        Ok(())
    }

    pub fn statement(
        &mut self,
        frame: Statement,
        bytes: usize,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let Statement { query, changes, rest, token, last } = frame;
        let max_feeds = self.config.agreed.session_feeds;
        let asked = self.find("Statement", query)?;
        if asked.phase < Phase::Accepted || !asked.has_statement() {
            return Err(SessionError::OutOfPlace { frame: "Statement", query });
        }
        (asked.phase, asked.rest) = (Phase::Stated, rest);
        let (is_last, stood) = (last != Last::No, asked.stands);
        let signature = match last {
            Last::Signed { rules: RULES, signature } if !asked.is_live() => Some(signature),
            _ => None,
        };
        asked.words = match last {
            Last::OnWord(words) => words,
            _ => Words::default(),
        };
        if stood {
            // It names each feed once.
            if asked.news.len() + changes.len() > max_feeds {
                return Err(SessionError::Limit("MAX_SESSION_FEEDS"));
            }
            asked.news.extend(&changes);
        }
        // That of a live query says its last word again and again.
        let news = (is_last && asked.is_live()).then(|| (asked.stand(), std::mem::take(&mut asked.words)));
        self.patience.earn(bytes);
        if news.is_some() {
            // What was stored while the statement came is granted now.
            self.taken(query, 0, out)?;
        }
        match stood {
            false => changes.iter().try_for_each(|change| self.heard.state(change))?,
            true => self.heard.mention_all(&changes)?,
        }
        if let Some(signature) = signature {
            self.check(query, signature)?;
        }
        let Some((news, words)) = news else { return Ok(()) };
        let stated = if stood { news } else { self.heard.stated() };
        self.work(Work::Settle(Some(Settle { query, stated, words, token })), out)
    }

    /// Keeps a statement that is all there, if its signature holds.
    fn check(&mut self, query: u32, signature: Signature) -> Result<(), SessionError> {
        let (Some(peer), Some(asked)) = (self.peer, self.open.get_mut(&query)) else { return Ok(()) };
        let Some(about) = About::of(&asked.question) else { return Ok(()) };
        let feeds = claimed(self.heard.by_feed(), &self.ledger, &asked.lists);
        let signed = SignedStatement { about, feeds, signature };
        signed.verify(&peer).map_err(|error| SessionError::BadStatement(error.to_string()))?;
        asked.signed = Some(Box::new(signed));
        Ok(())
    }

    pub fn done(&mut self, query: u32, out: &mut Outbox) -> Result<(), SessionError> {
        let asked = self.find("Done", query)?;
        let due = if asked.is_wanted() && asked.has_statement() { Phase::Stated } else { Phase::Accepted };
        if asked.phase < due {
            return Err(SessionError::OutOfPlace { frame: "Done", query });
        }
        if !asked.is_wanted() {
            self.open.remove(&query);
            self.heard.excuse();
            return self.work(Work::Settle(None), out);
        }
        asked.phase = Phase::Finished;
        let words = std::mem::take(&mut asked.words);
        let fetched = match &asked.question {
            Question::View { .. } => None,
            Question::Blocks { feed, .. } => Some(*feed),
        };
        let stated = match fetched {
            None => self.heard.stated(),
            Some(feed) => {
                // There may have been nothing of it to send.
                self.heard.mention(&feed);
                Vec::new()
            }
        };
        self.check_idle()?;
        self.work(Work::Settle(Some(Settle { query, stated, words, token: None })), out)
    }

    pub fn error(
        &mut self,
        query: u32,
        reason: Refusal,
        text: String,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let asked = self.find("Error", query)?;
        if asked.phase == Phase::Sent {
            return Err(SessionError::OutOfPlace { frame: "Error", query });
        }
        if asked.is_wanted() {
            out.event(Event::Failed { query: asked.name, error: QueryError::Refused { reason, text } });
        }
        self.open.remove(&query);
        self.heard.excuse();
        self.work(Work::Settle(None), out)
    }

    /// The caller has taken results of this length.
    pub fn taken(&mut self, query: u32, bytes: usize, out: &mut Outbox) -> Result<(), SessionError> {
        let most = if self.now < self.sparing_until { self.sparing() } else { self.config.credit };
        let Some(asked) = self.open.get_mut(&query) else { return Ok(()) };
        let Some(bytes) = asked.grant(bytes, most) else { return Ok(()) };
        asked.credit.grant(bytes)?;
        out.send(&Frame::Credit { query, bytes })
    }
}
