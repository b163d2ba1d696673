//! Whom what was written here has reached.

use kappadb_core::FeedKey;
use std::collections::BTreeSet;

/// Whom an entry has reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Peers that have confirmed, since this replica was opened, that they hold it durably.
    pub held_by: BTreeSet<FeedKey>,
    /// Peers that are connected and asked for such entries live, and have not confirmed it yet.
    pub awaited: BTreeSet<FeedKey>,
}
