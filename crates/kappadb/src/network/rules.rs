use super::Network;
use crate::engine::Engine;
use crate::error::{LogError, ReadError};
use kappadb_core::{EntryId, FeedKey, RangeSet};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What only the views know of what is asked and answered. It is given from above when a database is opened.
pub(crate) trait ViewRules: Send + Sync {
    /// The entries of a key that no other replaces, in a space whose contents belong to answers.
    fn heads(&self, space: u32, key: &[u8]) -> Result<BTreeSet<EntryId>, ReadError>;

    /// The feeds of which whoever reads under this name wants nothing in the answers of a view, beside those that were dropped.
    fn unwanted(
        &self,
        network: &Arc<Network>,
        view: &str,
        reader: &Arc<str>,
    ) -> Result<BTreeSet<FeedKey>, ReadError>;

    /// Of blocks of a view's entries that are held without their payloads, those that nobody is to send again.
    fn gone_for_good(
        &self,
        engine: &Engine,
        view: &str,
        feed: &FeedKey,
        cleared: RangeSet,
    ) -> Result<RangeSet, ReadError>;

    /// What a view has to do before a peer is answered by it.
    fn before_answer(&self, engine: &Engine, view: &str) -> Result<(), LogError>;
}
