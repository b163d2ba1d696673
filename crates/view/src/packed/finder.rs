//! Finding the page of a key. The engine reads all pages that lie near it to give one that is not asked for by its own key; so where much is asked, the first keys
//! of all pages are kept in memory.

use super::page::BAD;
use super::run::{Reader, RunId, page_before};
use super::shelf::Run;
use crate::ViewError;
use bytes::Bytes;
use kappadb_store::Tree;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

/// Rows of a run for each time that it is asked, before its first keys are read: by then as much was read as that takes.
const ROWS_A_LOOK: u64 = 4_096;
/// And this often in any case.
const FEW_LOOKS: u64 = 4;

/// What is known of the pages of runs of one area.
pub(super) struct Finder {
    tree: Arc<dyn Tree>,
    runs: Mutex<BTreeMap<u64, Known>>,
}

enum Known {
    /// How often it was asked.
    Looks(u64),
    /// The first keys of all pages.
    Pages(Arc<[Bytes]>),
}

impl Finder {
    pub fn new(tree: Arc<dyn Tree>) -> Finder {
        Finder { tree, runs: Mutex::default() }
    }

    /// The page that begins at `key` or before it, if there is one.
    pub fn page(&self, id: RunId, run: &Run, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        if let Some(pages) = self.pages(id, run)? {
            let before = pages.partition_point(|first| first[..] <= *key).checked_sub(1);
            let Some(first) = before.and_then(|n| pages.get(n)) else { return Ok(None) };
            return self.tree.get(&id.page(first))?.ok_or(BAD).map(Some);
        }
        page_before(&*self.tree, id, key)
    }

    /// The rows of a run, as [`Reader::new`].
    pub fn read(
        &self,
        id: RunId,
        run: &Run,
        from: &[u8],
        to: Option<&[u8]>,
        backwards: bool,
    ) -> Result<Reader<'_>, ViewError> {
        let before = if backwards { None } else { self.page(id, run, from)? };
        Reader::after(&*self.tree, id, before, from, to, backwards)
    }

    /// The first keys of all pages, if they are known or it is time to know them.
    fn pages(&self, id: RunId, run: &Run) -> Result<Option<Arc<[Bytes]>>, ViewError> {
        {
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            match runs.entry(run.number).or_insert(Known::Looks(0)) {
                Known::Pages(pages) => return Ok(Some(pages.clone())),
                Known::Looks(looks) if *looks < FEW_LOOKS + run.items / ROWS_A_LOOK => {
                    *looks += 1;
                    return Ok(None);
                }
                Known::Looks(_) => {}
            }
        }
        let (first, end) = (id.pages(), id.end());
        let mut pages = Vec::new();
        for row in self.tree.range(Bound::Included(&first), Bound::Excluded(&end)) {
            pages.push(row?.0.slice(first.len()..));
        }
        let pages: Arc<[Bytes]> = pages.into();
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.insert(run.number, Known::Pages(pages.clone()));
        Ok(Some(pages))
    }

    /// Forgets all runs but these.
    pub fn keep(&self, runs: &[Run]) {
        let mut known = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|number, _| runs.iter().any(|run| run.number == *number));
    }
}
