//! Which entries refer to a feature: a row for each reference of each entry that is held.
//!
//! ```text
//! 07 | target length u8 | target | feed number u32 BE | seq u64 BE  →  the key of the feature that refers to it
//! ```
//!
//! Rows stay when their entry is replaced, so that nothing has to be read to keep them; who asks leaves out what is
//! redundant. They go when the entry is withdrawn.

use crate::feeds::Feeds;
use crate::rows;
use kappadb_core::EntryId;
use kappadb_core::limits::{MAX_FEATURE_ID, MAX_ROWS_SCANNED};
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::{Change, ViewError};
use std::collections::{BTreeMap, BTreeSet};

/// The features that refer to others, each with its entries that do.
pub type Referring = BTreeMap<Vec<u8>, BTreeSet<EntryId>>;

const TOO_MANY: ViewError = ViewError::Limit("MAX_ROWS_SCANNED");

/// Takes in what one entry, whose feed has the number `feed`, refers to.
pub fn apply(change: &Change<'_>, feed: u32, rows: &mut Overlay<'_>) {
    let arrived = change.arrived();
    let header = &arrived.entry.header;
    for target in header.refs() {
        let Some(prefix) = target_prefix(&target) else { continue };
        let row = rows::key(rows::REFS, &[&prefix, &feed.to_be_bytes(), &arrived.id.seq.to_be_bytes()]);
        match change {
            Change::Hold(_) => rows.put(row, header.key.clone().unwrap_or_default()),
            Change::Withdraw(_) => rows.delete(row),
        }
    }
}

/// All held entries that refer to one of `targets`, also redundant ones, by their feature's key.
pub fn referring(tree: &dyn Tree, feeds: &Feeds, targets: &[Vec<u8>]) -> Result<Referring, ViewError> {
    let mut found = Referring::new();
    let mut scanned = 0;
    for prefix in targets.iter().filter_map(|target| target_prefix(target)) {
        for row in prefix_range(tree, &rows::key(rows::REFS, &[&prefix])) {
            let (row, source) = row?;
            scanned += 1;
            if scanned > MAX_ROWS_SCANNED {
                return Err(TOO_MANY);
            }
            let (feed, seq) = rows::slot(&row, 1 + prefix.len() + 12)?;
            found.entry(source.to_vec()).or_default().insert(EntryId { feed: feeds.key(feed)?, seq });
        }
    }
    Ok(found)
}

/// None for what cannot be a feature's id.
fn target_prefix(target: &[u8]) -> Option<Vec<u8>> {
    let len = u8::try_from(target.len()).ok().filter(|len| usize::from(*len) <= MAX_FEATURE_ID)?;
    Some([&[len], target].concat())
}
