//! One question asked here, as it stands on the wire.

use crate::credit::Credit;
use crate::error::{QueryError, SessionError};
use crate::event::{Have, QueryId, Stats};
use crate::frame::Question;
use kappadb_core::limits::ANSWER_MS;
use kappadb_core::{FeedKey, RangeSet};

#[derive(Debug)]
pub(crate) struct Asked {
    pub name: QueryId,
    pub question: Question,
    /// False once nobody waits for it any more: given up, failed or asked again.
    pub wanted: bool,
    /// How often it was asked again.
    pub restarts: u32,
    /// Until it is accepted: what was declared with it.
    pub have: Vec<Have>,
    pub forget: bool,
    pub phase: Phase,
    pub credit: Credit,
    /// Bytes taken from the credit that can be granted again.
    owed: u64,
    /// When something was last heard of it.
    pub heard: u64,
    pub stats: Stats,
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
    pub fn new(name: QueryId, question: Question, credit: u64, now: u64) -> Self {
        Asked {
            name,
            question,
            wanted: true,
            restarts: 0,
            have: Vec::new(),
            forget: false,
            phase: Phase::Sent,
            credit: Credit::new(credit),
            owed: 0,
            heard: now,
            stats: Stats::default(),
        }
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
        Ok(())
    }

    /// What to grant now that `bytes` of results are dealt with: nothing, until it is worth a frame.
    pub fn grant(&mut self, bytes: usize, step: u64) -> Option<u64> {
        self.owed += bytes as u64;
        if !self.wanted || self.phase != Phase::Accepted || self.owed < step {
            return None;
        }
        Some(std::mem::take(&mut self.owed))
    }

    /// When it fails if nothing is heard.
    pub fn deadline(&self) -> u64 {
        self.heard.saturating_add(ANSWER_MS)
    }

    /// Checks that a fetch gets nothing but what it asked for.
    pub fn wants(&self, of: &FeedKey, given: &RangeSet) -> bool {
        match &self.question {
            Question::View { .. } => true,
            Question::Blocks { feed, ranges } => feed == of && given.minus(ranges).is_empty(),
        }
    }
}

/// Checks what can be checked before a question is sent.
pub(crate) fn check(question: &Question) -> Result<(), QueryError> {
    use kappadb_core::limits::{MAX_RANGES, MAX_VIEW_NAME};
    match question {
        Question::View { view, .. } if view.len() > MAX_VIEW_NAME => Err(QueryError::Limit("MAX_VIEW_NAME")),
        Question::Blocks { ranges, .. } if ranges.ranges().len() > MAX_RANGES => {
            Err(QueryError::Limit("MAX_RANGES"))
        }
        _ => Ok(()),
    }
}
