use super::Network;
use crate::engine::Engine;
use crate::error::{LogError, ReadError};
use kappadb_core::{EntryId, FeedKey, RangeSet, Timestamp};
use kappadb_query::Selector;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What only a view knows of what is asked and answered about it. Where it says nothing itself, there is nothing to it.
pub(crate) trait ViewRules: Send + Sync {
    /// The view's name.
    fn view(&self) -> &'static str;

    /// The entries of a key that no other replaces. Asked of views whose contents belong to answers.
    fn heads(&self, _key: &[u8]) -> Result<BTreeSet<EntryId>, ReadError> {
        Ok(BTreeSet::new())
    }

    /// The feeds of which whoever reads under this name wants nothing in answers, beside those that were dropped.
    fn unwanted(&self, _network: &Arc<Network>, _reader: &Arc<str>) -> Result<BTreeSet<FeedKey>, ReadError> {
        Ok(BTreeSet::new())
    }

    /// Of blocks of its entries that are held without their payloads, those that nobody is to send again.
    fn gone_for_good(
        &self,
        _engine: &Engine,
        _feed: &FeedKey,
        _cleared: RangeSet,
    ) -> Result<RangeSet, ReadError> {
        Ok(RangeSet::new())
    }

    /// What it has to do before a peer is answered by it.
    fn before_answer(&self, _engine: &Engine) -> Result<(), LogError> {
        Ok(())
    }

    /// Words of its own that name the moment at which they were put, as the question that does not: by that the answer is looked up later.
    fn timeless(&self, _words: &[u8], _asked: Timestamp) -> Option<Selector> {
        None
    }
}

/// Those of all views that have any. They are given from above when a database is opened.
pub(crate) struct Rules(Vec<Box<dyn ViewRules>>);

impl Rules {
    pub fn new(all: Vec<Box<dyn ViewRules>>) -> Rules {
        Rules(all)
    }

    /// Those of a view.
    pub(super) fn of(&self, view: &str) -> &dyn ViewRules {
        self.0.iter().find(|rules| rules.view() == view).map_or(&Plain, |rules| &**rules)
    }
}

/// A view to which there is nothing.
struct Plain;

impl ViewRules for Plain {
    fn view(&self) -> &'static str {
        ""
    }
}
