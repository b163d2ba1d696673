//! Merging runs of a table in the background.

use super::merged::{Merged, Part};
use super::run::{Area, Run, Writer};
use crate::ViewError;
use kappadb_store::{StoreError, Tree};
use std::sync::Arc;

/// Rows copied in one piece of the work.
const PIECE: usize = 32_768;

/// None if it failed because the disk is full: then what was to be packed or merged stays as it is.
///
/// # Errors
/// All others.
pub fn unless_full<T>(result: Result<T, ViewError>) -> Result<Option<T>, ViewError> {
    match result {
        Err(ViewError::Store(StoreError::DiskFull { .. })) => Ok(None),
        result => result.map(Some),
    }
}

/// A merge under way: it reads what never changes and writes a file that nobody reads yet.
pub struct Merge {
    tree: Arc<dyn Tree>,
    area: Area,
    into: u64,
    /// The newest first.
    pub(super) origins: Vec<Run>,
    /// Rows without a value say that there is none, and nothing older is left.
    drops_empty: bool,
    /// None before it has begun.
    copy: Option<(Merged<'static>, Writer)>,
    pub(super) outcome: Outcome,
}

/// What became of a merge.
pub(super) enum Outcome {
    None,
    Run(Run),
    /// No row is left.
    Nothing,
    /// The disk is: the runs stay as they are.
    Full,
}

impl Merge {
    /// Of runs, the newest first, into one with a number of its own.
    pub(super) fn new(
        tree: Arc<dyn Tree>,
        area: Area,
        into: u64,
        origins: Vec<Run>,
        drops_empty: bool,
    ) -> Merge {
        Merge { tree, area, into, origins, drops_empty, copy: None, outcome: Outcome::None }
    }

    /// Does a piece of it. True if there is more.
    pub(super) fn work(&mut self) -> Result<bool, ViewError> {
        match unless_full(self.copy())? {
            Some(more) => Ok(more),
            None => {
                (self.copy, self.outcome) = (None, Outcome::Full);
                Ok(false)
            }
        }
    }

    /// Copies some rows. True if there are more.
    fn copy(&mut self) -> Result<bool, ViewError> {
        let (mut rows, mut writer) = match self.copy.take() {
            Some(copy) => copy,
            None => self.begin()?,
        };
        for _ in 0..PIECE {
            if !rows.advance()? {
                self.outcome = writer.finish()?.map_or(Outcome::Nothing, Outcome::Run);
                return Ok(false);
            }
            writer.push(rows.key(), rows.value()?)?;
        }
        self.copy = Some((rows, writer));
        Ok(true)
    }

    fn begin(&self) -> Result<(Merged<'static>, Writer), ViewError> {
        let part = |run: &Run| Ok(Part::Run(Box::new(run.range(&[], None, false)?)));
        let parts = self.origins.iter().map(part).collect::<Result<_, ViewError>>()?;
        let rows = Merged::new(parts, false, self.drops_empty)?;
        Ok((rows, Writer::new(&*self.tree, self.area, self.into)?))
    }
}
