//! What a table says at one moment: the rows in memory, and under them the runs.

use super::after;
use super::merged::{MemoryRows, Merged, Part};
use super::row::Row;
use super::run::Run;
use crate::ViewError;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

pub(super) type Memory = BTreeSet<Row>;

/// Rows of which the newest of each key counts. Clones share them, and stay as they are whatever the table takes in.
#[derive(Clone)]
pub struct Layers {
    pub(super) memory: Arc<Memory>,
    /// The newest first.
    pub(super) runs: Vec<Run>,
}

impl Layers {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        if let Some(row) = self.memory.get(key) {
            return Ok(Some(row.value_bytes()).filter(|value| !value.is_empty()));
        }
        for run in &self.runs {
            if let Some(value) = run.pack.get(key)? {
                return Ok((!value.is_empty()).then_some(value));
            }
        }
        Ok(None)
    }

    /// The same if it can be said without the disk; none if not.
    pub fn get_at_hand(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, ViewError> {
        if let Some(row) = self.memory.get(key) {
            return Ok(Some(Some(row.value_bytes()).filter(|value| !value.is_empty())));
        }
        for run in &self.runs {
            match run.pack.get_at_hand(key)? {
                None => return Ok(None),
                Some(Some(value)) => return Ok(Some((!value.is_empty()).then_some(value))),
                Some(None) => {}
            }
        }
        Ok(Some(None))
    }

    /// The rows from `from` on (included) to `to` (excluded), from either end.
    pub fn range(&self, from: &[u8], to: Option<&[u8]>, backwards: bool) -> Result<Merged<'_>, ViewError> {
        let to = to.map(|to| to.max(from));
        let bounds = (Bound::Included(from), to.map_or(Bound::Unbounded, Bound::Excluded));
        let memory = self.memory.range::<[u8], _>(bounds);
        let memory: MemoryRows<'_> = match backwards {
            true => Box::new(memory.rev()),
            false => Box::new(memory),
        };
        let mut parts = Vec::with_capacity(1 + self.runs.len());
        parts.push(Part::memory(memory));
        for run in &self.runs {
            parts.push(Part::Run(Box::new(run.range(from, to, backwards)?)));
        }
        Merged::new(parts, backwards, true)
    }

    /// Rows that begin so, ascending.
    pub fn with_prefix(&self, prefix: &[u8]) -> Result<Merged<'_>, ViewError> {
        self.range(prefix, after(prefix).as_deref(), false)
    }

    /// True if there is a row of which `is_wanted` says so, also among those that newer ones replaced.
    pub fn any(&self, is_wanted: impl Fn(&Bytes) -> Result<bool, ViewError>) -> Result<bool, ViewError> {
        for row in &*self.memory {
            if is_wanted(&row.value_bytes())? {
                return Ok(true);
            }
        }
        for run in &self.runs {
            let mut rows = run.range(&[], None, false)?;
            while rows.advance()? {
                if is_wanted(&rows.value_bytes()?)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// True if there is no row.
    pub fn is_empty(&self) -> Result<bool, ViewError> {
        Ok(!self.range(&[], None, false)?.advance()?)
    }
}
