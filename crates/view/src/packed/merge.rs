//! Merging runs of a table in the background.

use super::merged::{Merged, Part};
use super::run::{Area, Run, Writer};
use crate::ViewError;
use bytes::Bytes;
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

/// What becomes of the value of a row, where it is written anew.
pub type Rewrite = Arc<dyn Fn(Bytes) -> Result<Bytes, ViewError> + Send + Sync>;

/// A merge under way: it reads what never changes and writes a file that nobody reads yet.
pub struct Merge {
    tree: Arc<dyn Tree>,
    area: Area,
    into: u64,
    /// The newest first.
    pub(super) origins: Vec<Run>,
    /// Rows without a value say that there is none, and nothing older is left.
    drops_empty: bool,
    rewrite: Option<Rewrite>,
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
        Merge { tree, area, into, origins, drops_empty, rewrite: None, copy: None, outcome: Outcome::None }
    }

    /// The same with each value as `rewrite` makes it.
    pub(super) fn rewriting(self, rewrite: Rewrite) -> Merge {
        Merge { rewrite: Some(rewrite), ..self }
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
            match &self.rewrite {
                None => writer.push(rows.key(), rows.value()?)?,
                Some(rewrite) => writer.push(rows.key(), &rewrite(rows.value_bytes()?)?)?,
            }
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
