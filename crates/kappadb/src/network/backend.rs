//! What sessions ask of this replica: the commands of `kappadb_sync`, carried out on feeds and views.

use super::Network;
use super::claims::group;
use crate::engine::pool::Pool;
use crate::error::ReadError;
use kappadb_core::{FeedDefinition, FeedKey, RangeSet};
use kappadb_entry::Bundle;
use kappadb_feed::{PutError, PutOutcome};
use kappadb_merkle::{ForkEvidence, Known};
use kappadb_query::Selector;
use kappadb_sync::{Answer, AnswerError, Command, Coverage, PutRefusal, Reply, Stored};
use kappadb_view::ViewError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

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
}

impl Network {
    fn carry_out(&self, command: Command) -> Reply {
        // A peer is told of nothing that a power cut could take back.
        let tells = matches!(command, Command::Answer { .. } | Command::Locate { .. } | Command::Read { .. });
        if tells && let Err(error) = self.feeds.settle() {
            return refused(&command, &error.to_string());
        }
        match command {
            Command::Answer { view, selector, without, declared, named } => {
                Reply::Answer(self.answer(&view, &selector, &without, &declared, &named))
            }
            Command::Locate { feed, ranges } => Reply::Answer(Ok(self.locate(&feed, &ranges))),
            Command::Read { feed, ranges, known, max_bytes } => {
                Reply::Read(self.read(&feed, &ranges, &known, max_bytes))
            }
            Command::Define(definition) => Reply::Defined(self.define(&definition)),
            Command::Put(bundle) => Reply::Put(self.put(bundle)),
            Command::Fork(evidence) => Reply::Forked(self.record_fork(evidence)),
            Command::Sync => Reply::Synced(self.feeds.sync().map_err(|e| e.to_string())),
            _ => Reply::Synced(Err("not supported by this replica".to_owned())),
        }
    }

    fn answer(
        &self,
        view: &str,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
        declared: &BTreeMap<FeedKey, u64>,
        named: &BTreeSet<FeedKey>,
    ) -> Result<Answer, AnswerError> {
        // Lengths first, then the view is brought up to them: what is claimed must be in it when it is asked.
        let unavailable = |error: ReadError| AnswerError::Unavailable(error.to_string());
        let mut coverage = self.coverage(view, selector, declared, without).map_err(unavailable)?;
        // A peer that hears nothing leaves, and would not learn why: half of the patience that peers usually have.
        self.views.ready_within(view, self.allowance.patience / 2).map_err(refusal)?;
        self.rules.before_answer(self, view).map_err(|error| AnswerError::Unavailable(error.to_string()))?;
        let matches = self.views.matches(view, selector, without).map_err(refusal)?;
        let matches = group(matches);
        // Last: whatever the view has left out, the asker is told of if it may have it, or nothing is claimed of it.
        coverage.retain(|coverage| !self.feeds.is_dropped(&coverage.definition.feed));
        let may_have = |feed: &FeedKey| {
            matches.contains_key(feed) || declared.contains_key(feed) || named.contains(feed)
        };
        let forks = self.state_forks(&mut coverage, may_have);
        Ok(Answer { matches: matches.into_iter().collect(), coverage, forks })
    }

    fn locate(&self, feed: &FeedKey, ranges: &RangeSet) -> Answer {
        let held = self.feeds.held(feed).intersection(ranges);
        let matches = if held.is_empty() { Vec::new() } else { vec![(*feed, held)] };
        let coverage = self.feeds.definition(feed).map(|definition| {
            let length = self.feeds.head(feed).map_or(0, |head| head.head.length);
            Coverage { definition, claimed: 0, length, at: 0, root: [0; 8] }
        });
        Answer { matches, coverage: coverage.into_iter().collect(), forks: Vec::new() }
    }

    fn read(
        &self,
        feed: &FeedKey,
        ranges: &RangeSet,
        known: &Known,
        max_bytes: usize,
    ) -> Result<Bundle, String> {
        self.feeds.prove(feed, ranges, known, max_bytes).map_err(|e| e.to_string())
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

    fn put(&self, bundle: Bundle) -> Result<Stored, PutRefusal> {
        let (feed, ranges) = (bundle.feed, bundle.ranges.clone());
        match self.feeds.put(bundle) {
            Ok(PutOutcome { stored, bytes, filled, fork, contradicted }) => {
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

fn put_refusal(error: PutError) -> PutRefusal {
    match error {
        PutError::KnownMismatch(_) => PutRefusal::KnownMismatch,
        PutError::Undefined(_) => PutRefusal::Forgotten,
        PutError::Read(_) | PutError::Commit(_) => PutRefusal::Local(error.to_string()),
        other => PutRefusal::Bad(other.to_string()),
    }
}

fn refusal(error: ViewError) -> AnswerError {
    match error {
        ViewError::Unknown(name) => AnswerError::UnknownView(name),
        ViewError::Unsupported => AnswerError::Selector(error.to_string()),
        ViewError::Limit(name) => AnswerError::Limit(name.to_owned()),
        other => AnswerError::Unavailable(other.to_string()),
    }
}

/// The answer to a command that cannot be carried out at all.
fn refused(command: &Command, why: &str) -> Reply {
    let why = || why.to_owned();
    match command {
        Command::Answer { .. } | Command::Locate { .. } => {
            Reply::Answer(Err(AnswerError::Unavailable(why())))
        }
        Command::Read { .. } => Reply::Read(Err(why())),
        Command::Define(_) => Reply::Defined(Err(PutRefusal::Local(why()))),
        Command::Put(_) => Reply::Put(Err(PutRefusal::Local(why()))),
        Command::Fork(_) => Reply::Forked(Err(PutRefusal::Local(why()))),
        _ => Reply::Synced(Err(why())),
    }
}
