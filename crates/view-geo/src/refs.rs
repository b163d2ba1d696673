//! Which entries refer to a feature: a packed row for each reference of each entry that was held.
//!
//! ```text
//! target length u8 | target | key length u8 | key of the feature that refers | feed number u32 BE | seq u64 BE
//! ```
//!
//! Rows stay when their entry is replaced or withdrawn, so that nothing has to be read to keep them. Those of entries that were withdrawn are
//! passed over; who asks leaves out what is redundant.

use crate::feeds::Feeds;
use crate::rows;
use kappadb_core::EntryId;
use kappadb_core::limits::{MAX_FEATURE_ID, MAX_ROWS_SCANNED};
use kappadb_store::{Overlay, Tree};
use kappadb_view::packed::{Area, Table, Withdrawn};
use kappadb_view::{Change, ViewError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The features that refer to others, each with its entries that do.
pub type Referring = BTreeMap<Vec<u8>, BTreeSet<EntryId>>;

const AREA: Area = Area { prefix: rows::REFS, sort: 0 };
/// Rows in memory before they are packed.
const FEW: usize = 65_536;

const TOO_MANY: ViewError = ViewError::Limit("MAX_ROWS_SCANNED");
const BAD: ViewError = ViewError::Inconsistent("a reference of the map index cannot be read");

/// Who refers to what.
pub struct Refs {
    pub(crate) table: Table,
    withdrawn: Withdrawn,
}

impl Refs {
    pub fn load(tree: &Arc<dyn Tree>) -> Result<Refs, ViewError> {
        let table = Table::load(tree.clone(), AREA, FEW)?;
        Ok(Refs { table, withdrawn: Withdrawn::load(&**tree, rows::REFS)? })
    }

    /// Takes in what a batch of entries refers to.
    pub fn apply(
        &mut self,
        changes: &[Change<'_>],
        feeds: &Feeds,
        rows: &mut Overlay<'_>,
    ) -> Result<(), ViewError> {
        for change in changes.iter().filter(|change| matches!(change, Change::Hold(_))) {
            let arrived = change.arrived();
            let header = &arrived.entry.header;
            let feed = feeds.find(&arrived.id.feed)?;
            let source = header.key.as_deref().unwrap_or_default();
            let targets = header.refs();
            let keys = targets.iter().filter_map(|target| row(target, source, feed, arrived.id.seq));
            keys.for_each(|key| self.table.add(&key));
        }
        let fates = changes.iter().map(|change| (change.arrived().id, matches!(change, Change::Hold(_))));
        self.withdrawn.change(fates, rows);
        self.table.log(rows)
    }

    /// All held entries that refer to one of `targets`, also redundant ones, by their feature's key.
    pub fn referring(&self, feeds: &Feeds, targets: &[Vec<u8>]) -> Result<Referring, ViewError> {
        let mut found = Referring::new();
        let mut scanned = 0;
        for prefix in targets.iter().filter_map(|target| counted(target)) {
            let mut rows = self.table.with_prefix(&prefix)?;
            while rows.advance()? {
                scanned += 1;
                if scanned > MAX_ROWS_SCANNED {
                    return Err(TOO_MANY);
                }
                let (source, feed, seq) = rows.key().get(prefix.len()..).and_then(read).ok_or(BAD)?;
                let id = EntryId { feed: feeds.key(feed)?, seq };
                if !self.withdrawn.contains(&id) {
                    found.entry(source.to_vec()).or_default().insert(id);
                }
            }
        }
        Ok(found)
    }

    /// What is wrong with the runs, and all references in them that can be read.
    pub fn audit(&self) -> Result<Vec<String>, ViewError> {
        let mut wrong = self.table.audit()?;
        let mut rows = self.table.with_prefix(&[])?;
        let mut unreadable = 0;
        while rows.advance()? {
            let read = read_counted(rows.key()).and_then(|(_, rest)| read(rest));
            unreadable += u64::from(read.is_none());
        }
        if unreadable > 0 {
            wrong.push(format!("{unreadable} references cannot be read"));
        }
        Ok(wrong)
    }
}

/// None for what cannot be a feature's id.
fn counted(key: &[u8]) -> Option<Vec<u8>> {
    let len = u8::try_from(key.len()).ok().filter(|len| usize::from(*len) <= MAX_FEATURE_ID)?;
    Some([&[len], key].concat())
}

fn row(target: &[u8], source: &[u8], feed: u32, seq: u64) -> Option<Vec<u8>> {
    let (target, source) = (counted(target)?, counted(source)?);
    Some([&target[..], &source, &feed.to_be_bytes(), &seq.to_be_bytes()].concat())
}

fn read_counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

/// What follows a target.
fn read(bytes: &[u8]) -> Option<(&[u8], u32, u64)> {
    let (source, rest) = read_counted(bytes)?;
    let (feed, seq) = rest.split_first_chunk()?;
    Some((source, u32::from_be_bytes(*feed), u64::from_be_bytes(seq.try_into().ok()?)))
}
