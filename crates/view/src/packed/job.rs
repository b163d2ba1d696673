//! A table's work in the background, as an index has it done.

use super::table::{Table, TableJob};
use crate::{Upkeep, ViewError};
use kappadb_store::Overlay;

struct Job<F> {
    job: TableJob,
    find: F,
}

impl<I, F: Fn(&mut I) -> &mut Table + Send> Upkeep<I> for Job<F> {
    fn work(&mut self) -> Result<bool, ViewError> {
        self.job.work()
    }

    fn install(self: Box<Self>, index: &mut I, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        (self.find)(index).install(self.job, rows)
    }
}

impl Table {
    /// What an index whose part this is, found by `find`, has [to do in the background](crate::Index::upkeep) for it, if anything.
    pub fn upkeep<I: 'static>(
        &mut self,
        idle: bool,
        find: impl Fn(&mut I) -> &mut Table + Send + 'static,
    ) -> Option<Box<dyn Upkeep<I>>> {
        let job = self.due(idle)?;
        Some(Box::new(Job { job, find }))
    }
}
