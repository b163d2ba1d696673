//! Pages read lately. Two generations: what is used moves to the young one, and when that is full the old one goes.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A page of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageId {
    pub run: u32,
    pub tree: u8,
    pub level: u8,
    pub page: u32,
}

#[derive(Debug)]
pub struct Cache {
    limit: usize,
    pages: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<PageId, Bytes>,
    old: HashMap<PageId, Bytes>,
}

impl Cache {
    /// Holds at most this many pages.
    pub fn new(pages: usize) -> Self {
        Cache { limit: pages.div_ceil(2), pages: Mutex::default() }
    }

    pub fn get<E>(&self, id: PageId, read: impl FnOnce() -> Result<Bytes, E>) -> Result<Bytes, E> {
        if let Some(page) = self.find(&id) {
            return Ok(page);
        }
        let page = read()?;
        self.insert(id, page.clone());
        Ok(page)
    }

    fn find(&self, id: &PageId) -> Option<Bytes> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = pages.young.get(id) {
            return Some(page.clone());
        }
        let page = pages.old.remove(id)?;
        pages.insert(self.limit, *id, page.clone());
        Some(page)
    }

    fn insert(&self, id: PageId, page: Bytes) {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).insert(self.limit, id, page);
    }
}

impl Generations {
    fn insert(&mut self, limit: usize, id: PageId, page: Bytes) {
        if self.young.len() >= limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id, page);
    }
}
