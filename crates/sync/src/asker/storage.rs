//! What this side's storage says of what the peer sent.

use super::Asker;
use crate::asked::{Asked, Phase};
use crate::command::{CommandId, PutRefusal, Reply, Stored};
use crate::error::SessionError;
use crate::event::Event;
use crate::frame::{Frame, Question};
use crate::inbox::{Doing, Put, Settle, Work};
use crate::outbox::Outbox;

impl Asker {
    pub(super) fn work(&mut self, work: Work, out: &mut Outbox) -> Result<(), SessionError> {
        self.inbox.push(work);
        self.start(out);
        Ok(())
    }

    fn start(&mut self, out: &mut Outbox) {
        while let Some(settled) = self.inbox.start(out) {
            self.settled(&settled, out);
        }
    }

    /// A query is answered, and all that it rests on is durable.
    fn settled(&mut self, settle: &Settle, out: &mut Outbox) {
        if self.open.get(&settle.query).is_some_and(Asked::is_live) {
            return self.stated(settle, out);
        }
        let Some(mut asked) = self.open.remove(&settle.query).filter(Asked::is_wanted) else { return };
        if let Question::Blocks { feed, ranges } = &asked.question {
            asked.stats.missing = self.ledger.unsent(feed, ranges).count();
        }
        let statement = self.heard.coverage(&settle.stated);
        let (words, Asked { name: query, rest, stats, signed, .. }) = (settle.words.clone(), asked);
        out.event(Event::Done { query, statement, rest, words, signed, stats });
    }

    /// What a live query was answered by now is durable.
    fn stated(&mut self, settle: &Settle, out: &mut Outbox) {
        let Some(asked) = self.open.get_mut(&settle.query).filter(|asked| asked.is_wanted()) else { return };
        asked.held += 1;
        // What does not fit in the queue is said with the next.
        let _ = out.send(&Frame::Held { query: settle.query, statements: asked.held });
        let (query, rest, words) = (asked.name, asked.rest, settle.words.clone());
        let stats = std::mem::take(&mut asked.stats);
        let statement = self.heard.coverage(&settle.stated);
        out.event(Event::Stated { query, statement, rest, words, stats, token: settle.token.clone() });
    }

    pub fn reply(&mut self, id: CommandId, reply: Reply, out: &mut Outbox) -> Result<(), SessionError> {
        let Some(doing) = self.inbox.finish(id) else { return Ok(()) };
        match (doing, reply) {
            (Doing::Define, Reply::Defined(result)) => {
                result.map_err(|e| blame(e, SessionError::BadDefinition))?
            }
            (Doing::Fork, Reply::Forked(result)) => result.map_err(|e| blame(e, SessionError::BadFork))?,
            (Doing::Put(put), Reply::Put(result)) => self.put(put, result, out)?,
            (Doing::Sync(settle), Reply::Synced(result)) => {
                result.map_err(SessionError::Local)?;
                settle.iter().for_each(|settle| self.settled(settle, out));
            }
            _ => return Err(SessionError::Local("a reply that is not to its command".to_owned())),
        }
        self.start(out);
        Ok(())
    }

    /// After the session's end: stores what came before it, and makes it durable. False if there is nothing to wait for.
    pub fn store_last(&mut self, out: &mut Outbox) -> bool {
        self.inbox.push(Work::Settle(None));
        self.start(out);
        !self.inbox.is_idle()
    }

    /// What storage says meanwhile. False once all is stored, or the rest cannot be.
    pub fn stored_last(&mut self, id: CommandId, reply: Reply, out: &mut Outbox) -> bool {
        let well = match (self.inbox.finish(id), reply) {
            (None, _) => return !self.inbox.is_idle(),
            (Some(Doing::Put(put)), Reply::Put(Ok(stored))) => {
                self.count(&put, &stored);
                true
            }
            (Some(Doing::Sync(settle)), Reply::Synced(Ok(()))) => {
                settle.iter().for_each(|settle| self.settled(settle, out));
                true
            }
            (Some(Doing::Define), Reply::Defined(Ok(()))) | (Some(Doing::Fork), Reply::Forked(Ok(()))) => {
                true
            }
            _ => false,
        };
        if well {
            self.start(out);
        }
        well && !self.inbox.is_idle()
    }

    fn count(&mut self, put: &Put, stored: &Stored) {
        if let Some(asked) = self.open.get_mut(&put.query) {
            asked.stats.blocks_stored += stored.blocks;
            asked.stats.bytes_stored += stored.bytes;
            asked.stats.contradicted += stored.contradicted;
            asked.stats.beyond += stored.beyond;
        }
    }

    fn put(
        &mut self,
        put: Put,
        result: Result<Stored, PutRefusal>,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        match result {
            Ok(stored) => self.stored(put, &stored, out),
            Err(PutRefusal::KnownMismatch) if self.is_torn(&put) => {
                let lost = Stored { contradicted: put.blocks, ..Stored::default() };
                self.stored(put, &lost, out)
            }
            Err(PutRefusal::KnownMismatch) => {
                let built = || SessionError::BadProof("it builds on what was never sent".to_owned());
                self.ask_again(&put, built, out)
            }
            Err(PutRefusal::Forgotten) => {
                self.heard.forget_stored();
                let failed = || SessionError::Local(PutRefusal::Forgotten.to_string());
                self.ask_again(&put, failed, out)
            }
            Err(refusal) => Err(blame(refusal, SessionError::BadProof)),
        }
    }

    fn stored(&mut self, put: Put, stored: &Stored, out: &mut Outbox) -> Result<(), SessionError> {
        self.count(&put, stored);
        // Verified, and never twice in a session: it is something new, of one of the feeds.
        self.patience.earn(put.bytes);
        // Both sides count it as known now, and it is not.
        if stored.fork.is_some() && put.epoch == self.epoch {
            self.torn.insert(put.feed);
            self.stale = true;
        }
        self.taken(put.query, put.bytes, out)
    }

    /// True if this builds on what was not kept, because it is of another history of its feed.
    fn is_torn(&self, put: &Put) -> bool {
        put.epoch == self.epoch && self.torn.contains(&put.feed)
    }

    /// The ledger and this side's storage disagree. What was sent on its ground may be missing from any open answer, so
    /// all are asked again, from nothing known; `twice` if one was before.
    fn ask_again(
        &mut self,
        put: &Put,
        twice: fn() -> SessionError,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        if self.forgetting.is_some() || put.epoch < self.epoch {
            return Ok(());
        }
        self.stale = true;
        let again = |asked: &Asked| asked.is_wanted() && asked.is_inline();
        let queries: Vec<u32> = self.open.iter().filter(|(_, a)| again(a)).map(|(query, _)| *query).collect();
        queries.into_iter().try_for_each(|query| self.restart(query, twice, out))
    }

    fn restart(
        &mut self,
        query: u32,
        twice: fn() -> SessionError,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let Some(old) = self.open.get_mut(&query) else { return Ok(()) };
        if old.restarts > 0 {
            return Err(twice());
        }
        let asked = old.again(self.config.credit);
        old.give_up(self.now);
        if old.phase == Phase::Finished {
            self.open.remove(&query);
        } else {
            out.send(&Frame::Cancel { query })?;
        }
        self.send(asked, out)
    }
}

/// Whose fault a refusal is.
fn blame(refusal: PutRefusal, peer: fn(String) -> SessionError) -> SessionError {
    match refusal {
        PutRefusal::Local(text) => SessionError::Local(text),
        PutRefusal::Forgotten => SessionError::Local(PutRefusal::Forgotten.to_string()),
        other => peer(other.to_string()),
    }
}
