//! One question asked here, as it stands on the wire.

use crate::credit::Credit;
use crate::error::{QueryError, SessionError};
use crate::event::{QueryId, Rest, Stats};
use crate::frame::{Change, Declared, Question};
use crate::signed::SignedStatement;
use crate::words::Words;
use kappadb_core::limits::{ANSWER_MS, SESSION_RANGES};
use kappadb_core::{FeedDefinition, FeedKey, RangeSet, StoredBlock};
use kappadb_entry::decode_block;
use kappadb_query::Selector;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct Asked {
    pub name: QueryId,
    pub question: Question,
    /// What its answer is held to.
    bounds: Bounds,
    /// Since when nobody waits for it any more: given up, failed or asked again.
    given_up: Option<u64>,
    /// How often it was asked again.
    pub restarts: u32,
    /// Until it is accepted: what was declared with it.
    pub have: Vec<Declared>,
    /// The feeds of these that get numbers when it is accepted.
    pub declared: Vec<FeedDefinition>,
    /// Feeds whose standing was asked for by name; they get numbers, too.
    pub named: Vec<FeedDefinition>,
    pub forget: bool,
    pub phase: Phase,
    pub credit: Credit,
    /// Bytes taken from the credit that can be granted again.
    owed: u64,
    /// Ranges that were listed, and which.
    listed: usize,
    pub lists: BTreeMap<FeedKey, RangeSet>,
    /// Its statement, if that was signed.
    pub signed: Option<Box<SignedStatement>>,
    /// What its statement did not speak of.
    pub rest: Rest,
    /// On whose word it rests.
    pub words: Words,
    pub stats: Stats,
    /// A first answer to a live question has come.
    pub stands: bool,
    /// Parts of a later statement to it.
    pub news: Vec<Change>,
    /// Statements before which all is stored and durable.
    pub held: u64,
}

/// What bounds an answer.
#[derive(Debug, Clone)]
pub(crate) enum Bounds {
    /// The entries that this selects, and so many bytes.
    View { selector: Selector, bytes: u64 },
    /// The blocks that were asked for by name.
    Named,
}

/// How far the answer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Sent,
    Accepted,
    Stated,
    /// All is here, not all is stored.
    Finished,
}

impl Asked {
    pub fn new(name: QueryId, question: Question, bounds: Bounds, credit: u64) -> Self {
        Asked {
            name,
            question,
            bounds,
            given_up: None,
            restarts: 0,
            have: Vec::new(),
            declared: Vec::new(),
            named: Vec::new(),
            forget: false,
            phase: Phase::Sent,
            credit: Credit::new(credit),
            owed: 0,
            listed: 0,
            lists: BTreeMap::new(),
            signed: None,
            rest: Rest::default(),
            words: Words::default(),
            stats: Stats::default(),
            stands: false,
            news: Vec::new(),
            held: 0,
        }
    }

    /// The same question, to be asked once more.
    pub fn again(&self, credit: u64) -> Self {
        let again = Asked::new(self.name, self.question.clone(), self.bounds.clone(), credit);
        Asked { restarts: self.restarts + 1, stats: self.stats, named: self.named.clone(), ..again }
    }

    /// True while somebody waits for it.
    pub fn is_wanted(&self) -> bool {
        self.given_up.is_none()
    }

    /// Nobody waits for it any more.
    pub fn give_up(&mut self, now: u64) {
        self.given_up = Some(now);
    }

    /// Until when the peer must have ended it, if it was given up.
    pub fn overdue_at(&self) -> Option<u64> {
        Some(self.given_up?.saturating_add(ANSWER_MS))
    }

    /// True if the peer is the one to do something. With a live question that was answered it is so only when it has something to say.
    pub fn is_due(&self) -> bool {
        self.phase != Phase::Finished && self.credit.is_left() && !self.stands
    }

    /// It is not over when it is answered.
    pub fn is_live(&self) -> bool {
        matches!(self.question, Question::View { live: true, .. })
    }

    /// A statement to a live question is all there. What bounds an answer begins anew.
    pub fn stand(&mut self) -> Vec<Change> {
        (self.phase, self.stands, self.restarts, self.listed) = (Phase::Accepted, true, 0, 0);
        std::mem::take(&mut self.news)
    }

    /// Blocks come, not ranges.
    pub fn is_inline(&self) -> bool {
        !matches!(self.question, Question::View { inline: false, .. })
    }

    /// A statement comes.
    pub fn has_statement(&self) -> bool {
        matches!(self.question, Question::View { .. })
    }

    /// Takes a frame of results into account, if one of this sort may come now.
    pub fn spend(&mut self, query: u32, inline: bool, bytes: usize) -> Result<(), SessionError> {
        if self.phase != Phase::Accepted || self.is_inline() != inline {
            return Err(SessionError::OutOfPlace { frame: if inline { "Blocks" } else { "Ranges" }, query });
        }
        if !self.credit.is_left() {
            return Err(SessionError::Overspent(query));
        }
        self.credit.spend(bytes);
        self.stats.bytes_received += bytes as u64;
        match self.bounds {
            Bounds::View { bytes, .. } if self.stats.bytes_received > bytes => {
                Err(SessionError::Budget(bytes))
            }
            _ => Ok(()),
        }
    }

    /// Counts ranges that were listed.
    pub fn list(&mut self, feed: FeedKey, ranges: &RangeSet) -> Result<(), SessionError> {
        self.listed += ranges.ranges().len();
        self.lists.entry(feed).or_default().union_with(ranges);
        if self.listed > SESSION_RANGES { Err(SessionError::Limit("SESSION_RANGES")) } else { Ok(()) }
    }

    /// What to grant now that `bytes` of results are dealt with, so that no more than `most` may be on their way: nothing, until it is worth a frame.
    pub fn grant(&mut self, bytes: usize, most: u64) -> Option<u64> {
        self.owed += bytes as u64;
        let granted = self.owed.min(self.credit.short_of(most));
        if !self.is_wanted() || self.phase != Phase::Accepted || granted < (most / 4).max(1) {
            return None;
        }
        self.owed -= granted;
        Some(granted)
    }

    /// True while its answer comes and is longer than this already.
    pub fn is_large(&self, bytes: u64) -> bool {
        self.phase == Phase::Accepted && self.stats.bytes_received > bytes
    }

    /// Checks that the answer has nothing but what was asked for: of a fetch these blocks, of a view what its selector matches. A
    /// block that cannot be read here, as one of a later release, cannot be judged; the bytes bound those.
    pub fn wants(&self, of: &FeedKey, given: &RangeSet, blocks: &[StoredBlock]) -> bool {
        match (&self.question, &self.bounds) {
            (Question::Blocks { feed, ranges }, _) => feed == of && given.minus(ranges).is_empty(),
            (_, Bounds::View { selector, .. }) => blocks
                .iter()
                .all(|block| decode_block(block).map_or(true, |entry| selector.needs(&entry.header))),
            (Question::View { .. }, Bounds::Named) => false,
        }
    }
}

/// Checks what can be checked before a question is sent.
pub(crate) fn check(question: &Question) -> Result<(), QueryError> {
    use kappadb_core::limits::{MAX_RANGES, MAX_VIEW_NAME, MAX_WITHOUT};
    match question {
        Question::View { view, .. } if view.len() > MAX_VIEW_NAME => Err(QueryError::Limit("MAX_VIEW_NAME")),
        Question::View { without, .. } if without.len() > MAX_WITHOUT => {
            Err(QueryError::Limit("MAX_WITHOUT"))
        }
        Question::Blocks { ranges, .. } if ranges.ranges().len() > MAX_RANGES => {
            Err(QueryError::Limit("MAX_RANGES"))
        }
        _ => Ok(()),
    }
}
