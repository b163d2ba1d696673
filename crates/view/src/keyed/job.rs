//! Work in the background on the rows of keys.

use super::Keyed;
use crate::packed::TableJob;
use crate::{Upkeep, ViewError};
use kappadb_store::Overlay;

struct Job<I> {
    job: TableJob,
    keyed: fn(&mut I) -> &mut Keyed,
}

impl<I> Upkeep<I> for Job<I> {
    fn work(&mut self) -> Result<bool, ViewError> {
        self.job.work()
    }

    fn install(self: Box<Self>, index: &mut I, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        (self.keyed)(index).active.install(self.job, rows)
    }
}

impl Keyed {
    /// What an index whose part this is, found by `keyed`, has [to do in the background](crate::Index::upkeep) for it, if anything: merging and sweeping.
    pub fn upkeep<I: 'static>(
        &mut self,
        idle: bool,
        keyed: fn(&mut I) -> &mut Keyed,
    ) -> Option<Box<dyn Upkeep<I>>> {
        let job = self.active.due(idle)?;
        Some(Box::new(Job { job, keyed }))
    }
}
