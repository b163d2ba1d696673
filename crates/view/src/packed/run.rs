//! A run: rows in order, in pages, that never change. Each page is a row of the store under its first key, so the store is the
//! directory of pages and opening a run reads nothing.

use super::page::{BAD, Builder, Page};
use crate::ViewError;
use bytes::Bytes;
use kappadb_store::{Rows, Tree};
use std::ops::Bound;

/// The second byte of rows: a page.
const PAGES: u8 = 0;
/// That a run counts.
const RUNS: u8 = 1;
/// The numbers of a feed's entries that were withdrawn.
pub(super) const WITHDRAWN: u8 = 2;
/// What a batch changed that is in no run yet.
const LOG: u8 = 3;

/// Runs that belong together: rows of one sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Area {
    /// What all of its keys begin with: a byte of the view.
    pub prefix: u8,
    /// What sort of rows it has, among those under this byte. Below 255.
    pub sort: u8,
}

impl Area {
    /// What the rows that say which runs count begin with.
    pub(super) fn descriptors(self) -> [u8; 3] {
        [self.prefix, RUNS, self.sort]
    }

    /// What the rows of its log begin with.
    pub(super) fn log(self) -> [u8; 3] {
        [self.prefix, LOG, self.sort]
    }

    /// What its pages begin with, and the first key beyond.
    pub(super) fn pages(self) -> ([u8; 3], [u8; 3]) {
        let first = [self.prefix, PAGES, self.sort];
        (first, [self.prefix, PAGES, self.sort.saturating_add(1)])
    }
}

/// A run: of which rows, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId {
    /// Those that it belongs to.
    pub area: Area,
    /// Given out in turn.
    pub number: u64,
}

impl RunId {
    /// What the keys of its pages begin with.
    pub fn pages(self) -> [u8; 11] {
        let [a, b, c, d, e, f, g, h] = self.number.to_be_bytes();
        [self.area.prefix, PAGES, self.area.sort, a, b, c, d, e, f, g, h]
    }

    /// The row that says that it counts.
    pub fn descriptor(self) -> [u8; 11] {
        let mut key = self.pages();
        key.iter_mut().skip(1).take(1).for_each(|sort| *sort = RUNS);
        key
    }

    /// The key of the page that begins so.
    pub(super) fn page(self, first: &[u8]) -> Vec<u8> {
        [&self.pages(), first].concat()
    }

    /// The first key beyond its pages.
    pub(super) fn end(self) -> Vec<u8> {
        RunId { number: self.number.saturating_add(1), ..self }.pages().to_vec()
    }
}

/// The number in the key of a page or of a run.
pub(super) fn number_of(key: &[u8]) -> Option<u64> {
    key.get(3..).and_then(|rest| rest.first_chunk().copied()).map(u64::from_be_bytes)
}

/// The page that begins at `key` or before it, if there is one.
pub(super) fn page_before(tree: &dyn Tree, run: RunId, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
    let (first, last) = (run.pages(), run.page(key));
    let page = tree.range(Bound::Included(&first), Bound::Included(&last)).next_back().transpose()?;
    Ok(page.map(|(_, page)| page))
}

/// Rows of a run from one key on (included) to another (excluded), in one direction.
pub struct Reader<'a> {
    pages: Rows<'a>,
    backwards: bool,
    page: Option<Page>,
    /// The next row of the page; one more when going backwards.
    at: usize,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    key: Vec<u8>,
    value: (usize, bool),
}

impl<'a> Reader<'a> {
    /// Stands before the first row.
    pub fn new(
        tree: &'a dyn Tree,
        run: RunId,
        from: &[u8],
        to: Option<&[u8]>,
        backwards: bool,
    ) -> Result<Self, ViewError> {
        let before = if backwards { None } else { page_before(tree, run, from)? };
        Reader::after(tree, run, before, from, to, backwards)
    }

    /// The same where the page that begins at or before the first key wanted is at hand. Going backwards, it is not needed.
    pub(super) fn after(
        tree: &'a dyn Tree,
        run: RunId,
        before: Option<Bytes>,
        from: &[u8],
        to: Option<&[u8]>,
        backwards: bool,
    ) -> Result<Self, ViewError> {
        let end = to.map_or_else(|| run.end(), |to| run.page(to));
        let start = match backwards {
            true => Bound::Included(run.pages().to_vec()),
            false => Bound::Excluded(run.page(from)),
        };
        let page = before.map(Page::read).transpose()?;
        let at = page.as_ref().map_or(Ok(0), |page| page.below(from))?;
        Ok(Reader {
            pages: tree.range(start.as_ref().map(|key| &key[..]), Bound::Excluded(&end)),
            backwards,
            page,
            at,
            from: from.to_vec(),
            to: to.map(<[u8]>::to_vec),
            key: Vec::new(),
            value: (0, false),
        })
    }

    /// Goes on to the next row. False at the end.
    pub fn advance(&mut self) -> Result<bool, ViewError> {
        loop {
            let Some(page) = &self.page else { if self.turn()? { continue } else { return Ok(false) } };
            let n = match self.backwards {
                true => self.at.checked_sub(1),
                false => Some(self.at).filter(|at| *at < page.len()),
            };
            let Some(n) = n else {
                self.page = None;
                continue;
            };
            let item = page.item(n)?;
            self.key.clear();
            self.key.extend_from_slice(item.shared);
            self.key.extend_from_slice(item.rest);
            self.value = (n, true);
            self.at = if self.backwards { n } else { n + 1 };
            let within = match self.backwards {
                true => self.key >= self.from,
                false => self.to.as_ref().is_none_or(|to| self.key < *to),
            };
            if !within {
                (self.pages, self.page, self.value.1) = (Box::new(std::iter::empty()), None, false);
            }
            return Ok(within);
        }
    }

    /// Takes up the next page. False if there is none.
    fn turn(&mut self) -> Result<bool, ViewError> {
        let next = if self.backwards { self.pages.next_back() } else { self.pages.next() };
        let Some(row) = next.transpose()? else { return Ok(false) };
        let page = Page::read(row.1)?;
        self.at = match (self.backwards, &self.to) {
            (true, Some(to)) => page.below(to)?,
            (true, None) => page.len(),
            (false, _) => 0,
        };
        self.page = Some(page);
        Ok(true)
    }

    /// The key of the row that it stands at.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its value.
    pub fn value(&self) -> Result<&[u8], ViewError> {
        let page = self.page.as_ref().filter(|_| self.value.1).ok_or(BAD)?;
        Ok(page.item(self.value.0)?.value)
    }
}

/// Writes the pages of a run, in order.
pub struct Writer {
    run: RunId,
    builder: Builder,
}

impl Writer {
    /// Of an empty run.
    pub fn new(run: RunId) -> Writer {
        Writer { run, builder: Builder::default() }
    }

    /// Adds a row; its key is above all that were added. `put` is given the rows of the store.
    ///
    /// # Errors
    /// [`ViewError::Limit`] if the key has more than 16 KiB.
    pub fn push(
        &mut self,
        key: &[u8],
        value: &[u8],
        put: &mut dyn FnMut(Vec<u8>, Vec<u8>),
    ) -> Result<(), ViewError> {
        let run = self.run;
        self.builder.push(key, value, &mut |first, page| put(run.page(first), page))
    }

    /// Ends it; how many rows it has.
    pub fn finish(&mut self, put: &mut dyn FnMut(Vec<u8>, Vec<u8>)) -> u64 {
        let run = self.run;
        self.builder.flush(&mut |first, page| put(run.page(first), page));
        self.builder.items
    }
}
