//! Keeping the log small, and going on after damage in it.

use crate::engine::uploads::clear_abandoned;
use crate::error::LogError;
use crate::views::Parts;
use kappadb_core::FeedKey;
use kappadb_feed::{CompactError, Compacted};
use kappadb_store::SledStore;

pub(crate) fn settle_damage(parts: &Parts) -> Result<Vec<FeedKey>, LogError> {
    let _turn = parts.take_turn()?;
    Ok(parts.feeds.settle_damage()?)
}

/// Does something that makes room, also where there is none.
pub(crate) fn with_reserve<T>(parts: &Parts, work: impl FnOnce() -> T) -> T {
    match &parts.reserve {
        Some(reserve) => reserve.lend(work),
        None => work(),
    }
}

pub(crate) fn compact(parts: &Parts) -> Result<Compacted, LogError> {
    if let Some(idle) = &parts.idle {
        // It is of no use after a compaction, which moves all that it leads to.
        SledStore::wipe(idle).map_err(CompactError::from)?;
    }
    // Views read what is to go in order to take it out; one that has not, for it is not open now, is made anew later.
    parts.views.settle()?;
    let compacted = with_reserve(parts, || {
        parts.all().iter().try_for_each(|view| view.before_compaction())?;
        clear_abandoned(parts)?;
        Ok::<_, LogError>(parts.feeds.compact(&mut |done, total| parts.progress("compacting", done, total))?)
    })?;
    parts.all().iter().for_each(|view| view.after_compaction());
    Ok(compacted)
}
