//! The asking half: questions asked here, and what comes of them.

mod frames;
mod storage;

use crate::asked::{Asked, Bounds, Phase, check};
use crate::error::{QueryError, SessionError};
use crate::event::{Ask, Event, Fetch, Have, QueryId, Since};
use crate::feeds::Heard;
use crate::frame::{Declared, Frame, Query, Question};
use crate::inbox::Inbox;
use crate::ledger::Ledger;
use crate::outbox::Outbox;
use crate::patience::Patience;
use crate::session::Config;
use kappadb_core::limits::{HAVE_BYTES, RECEIVE_QUEUE};
use kappadb_core::limits::{MAX_CREDIT, MAX_FRAME, MAX_NAMED_FEEDS, MAX_RANGES};
use kappadb_core::{FeedDefinition, FeedKey, codec};
use kappadb_merkle::Known;
use std::collections::{BTreeMap, BTreeSet};

/// For so long after a question large answers that were under way get less credit, in milliseconds.
const SPARING_MS: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Asker {
    config: Config,
    ledger: Ledger,
    heard: Heard,
    inbox: Inbox,
    open: BTreeMap<u32, Asked>,
    /// How long the peer may still take with all that is asked here.
    patience: Patience,
    /// The time when something last happened.
    now: u64,
    /// Until then not much of an answer may be on its way.
    sparing_until: u64,
    next_query: u32,
    next_name: u64,
    /// What the ledger says may be wrong: the next query says `forget`.
    stale: bool,
    /// The query whose Accept will forget the ledger.
    forgetting: Option<u32>,
    /// How often the ledger was forgotten.
    epoch: u64,
    /// Who signs what it states.
    peer: Option<FeedKey>,
    /// Evidence that came in this session.
    forks: usize,
    /// A feed that was defined while nothing is answered: evidence that it forked comes next.
    due_fork: Option<FeedKey>,
    /// Feeds of which something that came was not kept, since what the ledger says was last forgotten: later proofs may
    /// build on it.
    torn: BTreeSet<FeedKey>,
}

/// What a question tells of what is held here.
#[derive(Debug, Default)]
struct Told {
    have: Vec<Declared>,
    declared: Vec<FeedDefinition>,
    named: Vec<FeedDefinition>,
}

impl Asker {
    pub fn new(config: Config, now: u64) -> Self {
        let max_feeds = config.agreed.session_feeds;
        Asker {
            config: Config { credit: config.credit.clamp(1, MAX_CREDIT / 2), ..config },
            ledger: Ledger::new(max_feeds),
            heard: Heard::new(max_feeds),
            inbox: Inbox::default(),
            open: BTreeMap::new(),
            patience: Patience::new(config.patience_ms),
            now,
            sparing_until: 0,
            next_query: 0,
            next_name: 0,
            stale: false,
            forgetting: None,
            epoch: 0,
            peer: None,
            forks: 0,
            due_fork: None,
            torn: BTreeSet::new(),
        }
    }

    /// What the peer signs is checked from now on.
    pub fn hold_to(&mut self, peer: FeedKey) {
        self.peer = Some(peer);
    }

    /// True while a question waits for its answer.
    pub fn has_questions(&self) -> bool {
        self.open.values().any(|asked| asked.is_wanted() && !asked.stands)
    }

    /// True while a live question is open.
    pub fn is_live(&self) -> bool {
        self.open.values().any(|asked| asked.is_wanted() && asked.is_live())
    }

    /// Ranges in the records of what is known.
    pub fn records(&self) -> usize {
        self.ledger.ranges()
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

    pub fn ask(&mut self, name: QueryId, ask: Ask, out: &mut Outbox) -> Result<(), SessionError> {
        let Ask { view, selector, inline, direct, have, named, without, live, forget, .. } = ask;
        self.stale |= forget;
        let since = match &live {
            Some(Since::Token(token)) => Some(token.clone()),
            Some(Since::Now) => Some(Vec::new()),
            Some(Since::Beginning) | None => None,
        };
        let bounds = Bounds::View { selector: selector.clone(), bytes: self.config.question_bytes };
        let question = selector.encode().map_err(QueryError::from).map(|selector| Question::View {
            view,
            selector,
            inline,
            direct,
            live: live.is_some(),
            since,
            without,
        });
        let (have, declared) = self.declare(have);
        self.question(name, question, bounds, Told { have, declared, named: self.unnumbered(named) }, out)
    }

    pub fn fetch(&mut self, name: QueryId, fetch: Fetch, out: &mut Outbox) -> Result<(), SessionError> {
        let Fetch { feed, ranges, known, forget } = fetch;
        self.stale |= forget;
        let told = Told { have: self.worth_saying(feed, known).into_iter().collect(), ..Told::default() };
        self.question(name, Ok(Question::Blocks { feed, ranges }), Bounds::Named, told, out)
    }

    fn question(
        &mut self,
        name: QueryId,
        question: Result<Question, QueryError>,
        bounds: Bounds,
        told: Told,
        out: &mut Outbox,
    ) -> Result<(), SessionError> {
        let most = self.config.agreed.open_queries;
        // Questions that stay open leave room for those that do not.
        let live = self.open.values().filter(|asked| asked.is_live()).count();
        let is_live = matches!(question, Ok(Question::View { live: true, .. }));
        let room = self.open.len() < most && !(is_live && live >= most.div_ceil(2));
        let checked = question.and_then(|question| match check(&question) {
            Ok(()) if !room => Err(QueryError::Limit("MAX_OPEN_QUERIES")),
            checked => checked.map(|()| question),
        });
        match checked {
            Ok(question) => {
                if !self.has_questions() {
                    self.patience.refill();
                }
                // Its answer is not to wait behind all that may be on its way of a large one.
                if self.open.values().any(|asked| asked.is_large(self.sparing())) {
                    self.sparing_until = self.now.saturating_add(SPARING_MS);
                }
                let Told { have, declared, named } = told;
                let mut asked = Asked::new(name, question, bounds, self.config.credit);
                (asked.have, asked.declared, asked.named) = (have, declared, named);
                self.send(asked, out)
            }
            Err(error) => {
                out.event(Event::Failed { query: name, error });
                Ok(())
            }
        }
    }

    /// Bytes that may be on their way of an answer while others are asked for.
    fn sparing(&self) -> u64 {
        (self.config.credit / 4).max(1)
    }

    /// What of `have` is said, as far as there is room for it, and of which feeds.
    fn declare(&self, have: Vec<Have>) -> (Vec<Declared>, Vec<FeedDefinition>) {
        let mut room = HAVE_BYTES;
        let declared = have.into_iter().filter_map(|Have { definition, known }| {
            let declared = self.worth_saying(definition.feed, known)?;
            room = room.checked_sub(codec::encode(&declared).len())?;
            Some((declared, definition))
        });
        declared.collect()
    }

    /// What of `known` is said, if that is worth its bytes.
    fn worth_saying(&self, feed: FeedKey, mut known: Known) -> Option<Declared> {
        if !self.stale && self.ledger.need_not_declare(&feed, &known) {
            return None;
        }
        if known.leaves.ranges().len() > MAX_RANGES {
            known.leaves = known.leaves.ranges().iter().take(MAX_RANGES).cloned().collect();
        }
        Some(Declared { feed, known })
    }

    /// Those of these feeds that have to be named: of those with a number the peer speaks anyway.
    fn unnumbered(&self, mut named: Vec<FeedDefinition>) -> Vec<FeedDefinition> {
        named.retain(|definition| !self.heard.has(&definition.feed));
        named.truncate(MAX_NAMED_FEEDS);
        named
    }

    /// Puts a question on the wire under the next number.
    fn send(&mut self, mut asked: Asked, out: &mut Outbox) -> Result<(), SessionError> {
        let id = self.next_query;
        let (have, question) = (asked.have.clone(), asked.question.clone());
        let named = asked.named.iter().map(|definition| definition.feed).collect();
        let query = Query { id, credit: self.config.credit, forget: self.stale, have, named, question };
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
        let named = |(_, asked): &(&u32, &mut Asked)| asked.name == name && asked.is_wanted();
        let Some((&query, asked)) = self.open.iter_mut().find(named) else { return Ok(()) };
        asked.give_up(self.now);
        if asked.phase == Phase::Finished {
            self.open.remove(&query);
            return Ok(());
        }
        out.send(&Frame::Cancel { query })
    }

    /// Tells every question that is waited for why it failed.
    pub fn abandon(&mut self, reason: &SessionError, out: &mut Outbox) -> bool {
        for asked in std::mem::take(&mut self.open).into_values().filter(Asked::is_wanted) {
            out.event(Event::Failed { query: asked.name, error: QueryError::Session(reason.clone()) });
        }
        self.inbox.abandon()
    }

    /// Lets time pass. What waits on this side, to be stored or to be read, is not the peer's fault.
    pub fn pass(&mut self, now: u64) {
        let passed = now.saturating_sub(self.now);
        self.now = now.max(self.now);
        if self.is_storing() {
            self.open.values_mut().filter(|asked| !asked.is_wanted()).for_each(|asked| asked.give_up(now));
        } else if self.is_waiting() {
            self.patience.pass(passed);
        }
    }

    /// True while a question waits for the peer.
    fn is_waiting(&self) -> bool {
        self.open.values().any(|asked| asked.is_wanted() && asked.is_due())
    }

    /// When the next question fails, or the session, if nothing is heard.
    pub fn deadline(&self) -> Option<u64> {
        let waits = self.is_waiting() && !self.is_storing();
        let patience = waits.then(|| self.now.saturating_add(self.patience.left_ms()));
        patience.into_iter().chain(self.open.values().filter_map(Asked::overdue_at)).min()
    }

    /// Fails what the peer let wait too long.
    pub fn timeout(&mut self, out: &mut Outbox) -> Result<(), SessionError> {
        if self.open.values().filter_map(Asked::overdue_at).any(|at| at <= self.now) {
            return Err(SessionError::Limit("ANSWER_MS"));
        }
        if !self.patience.is_over() || !self.is_waiting() {
            return Ok(());
        }
        let late = QueryError::TimedOut { patience_ms: self.patience.whole_ms() };
        for (&query, asked) in self.open.iter_mut().filter(|(_, a)| a.is_wanted() && a.is_due()) {
            asked.give_up(self.now);
            out.event(Event::Failed { query: asked.name, error: late.clone() });
            out.send(&Frame::Cancel { query })?;
        }
        Ok(())
    }
}
