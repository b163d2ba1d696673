//! What is kept of a query that is not over when it is answered.

use crate::command::Command;
use kappadb_core::{FeedKey, RangeSet};
use std::collections::{BTreeMap, VecDeque};

/// A question that is not over when it is answered.
#[derive(Debug)]
pub(crate) struct Live {
    pub question: Command,
    /// Names the moment of the last answer.
    pub token: Option<Vec<u8>>,
    /// A first answer was given.
    pub stated: bool,
    /// There may be news since it was looked up last.
    pub due: bool,
    /// How many statements were made.
    pub statements: u64,
    /// What was sent since the last one, and before those that the peer has not confirmed yet, with which of them it was.
    pub sent: BTreeMap<FeedKey, RangeSet>,
    pub unconfirmed: VecDeque<(u64, BTreeMap<FeedKey, RangeSet>)>,
}

/// Statements that may be unconfirmed one by one; what the oldest were about counts as confirmed with the next.
const UNCONFIRMED: usize = 64;

impl Live {
    pub fn new(question: Command) -> Live {
        let (sent, unconfirmed) = (BTreeMap::new(), VecDeque::new());
        Live { question, token: None, stated: false, due: false, statements: 0, sent, unconfirmed }
    }

    /// A statement is made. What was sent besides is confirmed with it.
    pub fn state(&mut self, besides: BTreeMap<FeedKey, RangeSet>) {
        self.statements += 1;
        add(&mut self.sent, besides);
        if !self.sent.is_empty() {
            self.unconfirmed.push_back((self.statements, std::mem::take(&mut self.sent)));
        }
        if self.unconfirmed.len() > UNCONFIRMED
            && let Some((_, oldest)) = self.unconfirmed.pop_front()
            && let Some((_, next)) = self.unconfirmed.front_mut()
        {
            add(next, oldest);
        }
    }
}

/// Adds some blocks to others.
pub(crate) fn add(all: &mut BTreeMap<FeedKey, RangeSet>, more: BTreeMap<FeedKey, RangeSet>) {
    for (feed, ranges) in more {
        all.entry(feed).or_default().union_with(&ranges);
    }
}
