//! What sessions ask of this replica: the commands of `kappadb_sync`, carried out on feeds and views.

use super::Network;
use super::ask::FEEDS;
use super::claims::{Counting, OwnAnswer, group, words_of};
use super::heard;
use super::introductions::Introductions;
use super::refusals::{put_refusal, refusal, refused};
use super::standing;
use crate::engine::pool::Pool;
use crate::error::ReadError;
use bincode::{Decode, Encode};
use kappadb_core::limits::MAX_TOKEN;
use kappadb_core::{EntryId, FeedDefinition, FeedKey, Lseq, RangeSet, blake2b256, codec};
use kappadb_entry::Bundle;
use kappadb_feed::{Arrival, CommitError, PutError, PutOutcome};
use kappadb_merkle::{ForkEvidence, Known};
use kappadb_query::Selector;
use kappadb_sync::frame::Lengths;
use kappadb_sync::statement::Covered;
use kappadb_sync::{Answer, AnswerError, Command, Coverage, Introduction, PutRefusal, Reply, Stored};
use std::any::Any;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

/// Arrivals that are looked through instead of the view, at most.
const LOOKED_THROUGH: u64 = 10_000;
/// Arrivals that are read at a time.
const LOOK: usize = 1_024;

/// Names something, but not to who looks for another of the same name.
type Short = [u8; 16];

fn short(bytes: &[u8]) -> Short {
    blake2b256(&[bytes]).0.first_chunk().copied().unwrap_or_default()
}

/// What a peer asks.
struct Question {
    view: String,
    selector: Selector,
    /// What is not held whole is not claimed.
    direct: bool,
    without: BTreeSet<FeedKey>,
    declared: BTreeMap<FeedKey, u64>,
    named: BTreeSet<FeedKey>,
    strict: bool,
}

/// When a question was answered, and what that rested on: a token, to the peer.
#[derive(Debug, PartialEq, Eq, Encode, Decode)]
struct Moment {
    question: Short,
    ground: Short,
    /// Of the arrival log.
    end: Lseq,
    last: Option<Short>,
}

/// What arrived since an earlier answer.
struct Late {
    /// The feeds of which something did.
    grown: BTreeSet<FeedKey>,
    /// What of it matches; none if that cannot be told by looking at it alone.
    matches: Option<BTreeSet<EntryId>>,
}

impl Late {
    fn nothing(question: &Question) -> Late {
        let plain = standing::is_plain(&question.view, &question.selector);
        Late { grown: BTreeSet::new(), matches: plain.then(BTreeSet::new) }
    }
}

/// A session's way to storage. Does not keep the database open.
pub(crate) struct Backend {
    parts: Weak<Network>,
    pool: Arc<Pool>,
}

impl Backend {
    pub(crate) fn new(parts: &Arc<Network>) -> Arc<Self> {
        Arc::new(Backend { parts: Arc::downgrade(parts), pool: parts.peers_pool.clone() })
    }
}

impl kappadb_net::Backend for Backend {
    fn run(&self, command: Command) -> Reply {
        let Some(parts) = self.parts.upgrade() else {
            return refused(&command, &ReadError::Closed.to_string());
        };
        match parts.gate.enter() {
            Ok(_inside) => parts.carry_out(command),
            Err(closed) => refused(&command, &closed.to_string()),
        }
    }

    fn start(&self, work: Box<dyn FnOnce() + Send>) {
        self.pool.start(work);
    }

    fn stand(
        &self,
        peer: FeedKey,
        view: &str,
        selector: &Selector,
        news: Box<dyn Fn() + Send + Sync>,
    ) -> Box<dyn Any + Send> {
        match self.parts.upgrade() {
            Some(parts) => Box::new(parts.standing.add(peer, view, selector, news)),
            None => Box::new(()),
        }
    }

    fn introduced(&self, peer: FeedKey, others: Vec<Introduction>) {
        if let Some(parts) = self.parts.upgrade() {
            Introductions::hear(&parts, peer, others);
        }
    }

    fn reached(&self, peer: FeedKey, blocks: Vec<(FeedKey, RangeSet)>) {
        if let Some(parts) = self.parts.upgrade() {
            let own = blocks.into_iter().filter(|(feed, _)| parts.is_own(feed));
            own.for_each(|(feed, ranges)| parts.standing.reached(peer, feed, &ranges));
        }
    }
}

impl Network {
    fn carry_out(&self, command: Command) -> Reply {
        // A peer is told of nothing that a power cut could take back.
        let tells = matches!(command, Command::Answer { .. } | Command::Locate { .. } | Command::Read { .. });
        if tells && let Err(error) = self.feeds.settle() {
            return refused(&command, &error.to_string());
        }
        match command {
            Command::Answer { view, selector, direct, without, declared, named, since, strict, news } => {
                let question = Question { view, selector, direct, without, declared, named, strict };
                Reply::Answer(self.answer(&question, since, news))
            }
            Command::Locate { feed, ranges } => Reply::Answer(Ok(self.locate(&feed, &ranges))),
            Command::Read { feed, ranges, known, max_bytes } => {
                Reply::Read(self.read(&feed, &ranges, &known, max_bytes))
            }
            Command::Define(definition) => Reply::Defined(self.define(&definition)),
            Command::Put(bundle, lengths) => Reply::Put(self.put(bundle, lengths)),
            Command::Fork(evidence) => Reply::Forked(self.record_fork(evidence)),
            Command::Sync => Reply::Synced(self.sync().map_err(|error| error.to_string())),
            _ => Reply::Synced(Err("not supported by this replica".to_owned())),
        }
    }

    fn answer(&self, question: &Question, since: Option<Vec<u8>>, news: bool) -> Result<Answer, AnswerError> {
        let unavailable = |error: ReadError| AnswerError::Unavailable(error.to_string());
        let Question { view, selector, direct, without, declared, named, strict } = question;
        let now = self.moment(question);
        let late = self.came_since(question, &now, since).map_err(unavailable)?;
        if *strict && late.is_none() && view == FEEDS {
            return Err(AnswerError::Stale);
        }
        // Lengths first, then the view is brought up to them: what is claimed must be in it when it is asked.
        let grown = late.as_ref().filter(|_| news).map(|late| &late.grown);
        let counting = if *direct { Counting::Nothing } else { Counting::All };
        let covered = self.covered(view, selector, without, grown, counting);
        let words = words_of(covered.iter());
        let matches = match late {
            Some(Late { matches: Some(matches), .. }) => group(self.counting(matches, without)),
            _ if view == FEEDS => self.all_that_counts(without),
            _ => {
                // A peer that hears nothing leaves, and would not learn why: half of the patience that peers usually have.
                self.views.ready_within(view, self.allowance.patience / 2).map_err(refusal)?;
                let ready = self.rules.of(view).before_answer(self);
                ready.map_err(|error| AnswerError::Unavailable(error.to_string()))?;
                group(self.views.matches(view, selector, without).map_err(refusal)?)
            }
        };
        // Last: whatever the view has left out, the asker is told of if it may have it, or nothing is claimed of it.
        let may_have = |feed: &FeedKey| {
            matches.contains_key(feed) || declared.contains_key(feed) || named.contains(feed)
        };
        let (mut coverage, whole) = self.speak(covered, declared, may_have).map_err(unavailable)?;
        let forks = self.state_forks(&mut coverage, may_have);
        let token = Some(codec::encode(&now));
        Ok(Answer { matches: matches.into_iter().collect(), coverage, whole, words, forks, token })
    }

    /// What is said of feeds, those first of which most is held: of those that the asker may have, of those that go on for them, and of those of which
    /// something is lacking; and how many others there are.
    fn speak(
        &self,
        covered: Vec<OwnAnswer>,
        declared: &BTreeMap<FeedKey, u64>,
        may_have: impl Fn(&FeedKey) -> bool,
    ) -> Result<(Vec<Coverage>, u64), ReadError> {
        let (mut coverage, mut whole) = (Vec::new(), 0);
        for own in covered {
            let goes_on = || {
                let before = self.feeds.definition(&own.feed).and_then(|heir| heir.heir_of());
                self.line(before, FeedDefinition::heir_of).iter().any(&may_have)
            };
            let is_due = own.is_gap || may_have(&own.feed) || (own.continues.is_some() && goes_on());
            if !is_due {
                whole += 1;
                continue;
            }
            let definition = self.feeds.definition(&own.feed).filter(|_| !self.feeds.is_dropped(&own.feed));
            let Some(definition) = definition else { continue };
            let Covered { claimed, length } = own.covered;
            let (at, root) = self.tip(&own.feed, length, declared.get(&own.feed).copied())?;
            coverage.push((own.held, Coverage { definition, claimed, length, at, root }));
        }
        coverage.sort_by_key(|(held, _)| Reverse(*held));
        let coverage = coverage.into_iter().map(|(_, coverage)| coverage).collect();
        Ok((coverage, whole))
    }

    /// What names this moment to who asks this again later.
    fn moment(&self, question: &Question) -> Moment {
        let Question { view, selector, without, .. } = question;
        let end = self.feeds.end();
        let ground = (self.feeds.exclusions(), self.feeds.forgotten(), without);
        Moment {
            question: short(&codec::encode(&(view, selector))),
            ground: short(&codec::encode(&ground)),
            end,
            last: self.arrived_before(end),
        }
    }

    /// Names what arrived last before a place in the log: another copy of this folder went on otherwise.
    fn arrived_before(&self, end: Lseq) -> Option<Short> {
        let arrivals = self.feeds.arrivals(end.checked_sub(1)?, 1).ok()?;
        let last = arrivals.first().filter(|last| last.lseq + 1 == end)?;
        Some(short(&[&last.id.feed.0[..], &last.id.seq.to_le_bytes()].concat()))
    }

    /// What arrived since the moment that a peer names; none if it names none, or one on which nothing can be built.
    fn came_since(
        &self,
        question: &Question,
        now: &Moment,
        token: Option<Vec<u8>>,
    ) -> Result<Option<Late>, ReadError> {
        let Some(token) = token else { return Ok(None) };
        if token.is_empty() {
            return Ok(Some(Late::nothing(question)));
        }
        let Ok(then) = codec::decode::<Moment, MAX_TOKEN>("token", &token) else { return Ok(None) };
        let same = then.question == now.question && then.ground == now.ground && then.end <= now.end;
        if !same || then.last != self.arrived_before(then.end) || now.end - then.end > LOOKED_THROUGH {
            return Ok(None);
        }
        let mut late = Late::nothing(question);
        self.each_arrival(then.end, now.end, |arrivals| {
            late.grown.extend(arrivals.iter().map(|arrival| arrival.id.feed));
            if let Some(matches) = &mut late.matches {
                matches.extend(standing::matches(&question.view, &question.selector, arrivals));
            }
        })?;
        Ok(Some(late))
    }

    /// The feeds of which something arrived here since the log ended there; none if that is too much to look through.
    pub(super) fn grown_since(&self, from: Lseq) -> Result<Option<BTreeSet<FeedKey>>, ReadError> {
        let (end, mut grown) = (self.feeds.end(), BTreeSet::new());
        if end.saturating_sub(from) > LOOKED_THROUGH {
            return Ok(None);
        }
        self.each_arrival(from, end, |arrivals| {
            grown.extend(arrivals.iter().map(|arrival| arrival.id.feed))
        })?;
        Ok(Some(grown))
    }

    fn each_arrival(
        &self,
        mut from: Lseq,
        end: Lseq,
        mut look: impl FnMut(&[Arrival]),
    ) -> Result<(), ReadError> {
        while from < end {
            let arrivals = self.feeds.arrivals(from, LOOK)?;
            let Some(last) = arrivals.last() else { break };
            from = last.lseq + 1;
            look(&arrivals);
        }
        Ok(())
    }

    /// Those of these entries that are not left out.
    fn counting(&self, ids: BTreeSet<EntryId>, without: &BTreeSet<FeedKey>) -> Vec<EntryId> {
        let ground = self.ground();
        let counts = |id: &EntryId| {
            let fork = ground.excluded().get(&id.feed).copied().unwrap_or(u64::MAX);
            id.seq < fork && !without.contains(&id.feed)
        };
        ids.into_iter().filter(counts).collect()
    }

    /// Every block that is held and counts.
    fn all_that_counts(&self, without: &BTreeSet<FeedKey>) -> BTreeMap<FeedKey, RangeSet> {
        let wanted =
            self.feeds.list().into_iter().filter(|info| !info.dropped && !without.contains(&info.feed));
        let held = wanted.map(|info| {
            let counts = RangeSet::below(info.fork.unwrap_or(u64::MAX));
            (info.feed, self.feeds.held(&info.feed).intersection(&counts))
        });
        held.filter(|(_, ranges)| !ranges.is_empty()).collect()
    }

    fn locate(&self, feed: &FeedKey, ranges: &RangeSet) -> Answer {
        let held = self.feeds.held(feed).intersection(ranges);
        let matches = if held.is_empty() { Vec::new() } else { vec![(*feed, held)] };
        let coverage = self.feeds.definition(feed).map(|definition| {
            let length = self.feeds.head(feed).map_or(0, |head| head.head.length);
            Coverage { definition, claimed: 0, length, at: 0, root: [0; 16] }
        });
        Answer { matches, coverage: coverage.into_iter().collect(), ..Answer::default() }
    }

    fn read(
        &self,
        feed: &FeedKey,
        ranges: &RangeSet,
        known: &Known,
        max_bytes: usize,
    ) -> Result<(Bundle, Lengths), String> {
        let bundle = self.feeds.prove(feed, ranges, known, max_bytes).map_err(|e| e.to_string())?;
        let lengths = heard::named(&bundle.blocks).into_iter().filter_map(|name| {
            let length = self.length_of(&name);
            (length > 0).then_some((name, length))
        });
        let lengths = lengths.collect();
        Ok((bundle, lengths))
    }

    fn define(&self, definition: &FeedDefinition) -> Result<(), PutRefusal> {
        use kappadb_feed::DefineError;
        match self.feeds.define(definition) {
            // The peer cannot know what is not wanted here: what it sends of it is let fall.
            Ok(_) | Err(DefineError::Dropped(_)) => Ok(()),
            Err(DefineError::Signature(error)) => Err(PutRefusal::Bad(error.to_string())),
            Err(other) => Err(PutRefusal::Local(other.to_string())),
        }
    }

    fn sync(&self) -> Result<(), CommitError> {
        self.feeds.sync()?;
        self.coming.shown();
        Ok(())
    }

    fn put(&self, bundle: Bundle, mut lengths: Lengths) -> Result<Stored, PutRefusal> {
        let (feed, ranges, length) = (bundle.feed, bundle.ranges.clone(), bundle.head.head.length);
        heard::keep_news(&mut lengths, &bundle.blocks, |name| self.feeds.length_of(name));
        match self.feeds.put(bundle) {
            Ok(PutOutcome { stored, bytes, filled, fork, contradicted }) => {
                if stored + filled > 0 {
                    self.coming.note(feed, stored + filled, length);
                    self.heard.note(&lengths);
                }
                let beyond = self.beyond(&feed, &ranges);
                if fork.is_some() || beyond > 0 {
                    self.late_forks.note(feed);
                }
                Ok(Stored { blocks: stored + filled, bytes, fork, contradicted, beyond })
            }
            Err(PutError::Dropped(_)) => Ok(Stored::default()),
            Err(error) => Err(put_refusal(error)),
        }
    }

    fn record_fork(&self, evidence: ForkEvidence) -> Result<(), PutRefusal> {
        let feed = evidence.feed;
        match self.feeds.record_fork(evidence) {
            Ok(_) => {
                self.late_forks.note(feed);
                Ok(())
            }
            // Of a feed of which nothing is held here nothing has to be left out.
            Err(PutError::Undefined(_)) => Ok(()),
            Err(error) => Err(put_refusal(error)),
        }
    }
}
