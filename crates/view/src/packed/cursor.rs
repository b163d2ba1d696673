//! Reading along the rows of a file.

use super::pack::Pack;
use super::page::{BAD, Page};
use crate::ViewError;
use bytes::Bytes;
use std::sync::Arc;

/// Rows of a file from one key on (included) to another (excluded), in one direction.
pub struct Cursor {
    pack: Arc<Pack>,
    backwards: bool,
    /// The pages above, the topmost first, and which row of each leads on.
    path: Vec<(Page, usize)>,
    page: Option<Page>,
    /// The next row of the page; one more when going backwards.
    at: usize,
    from: Vec<u8>,
    to: Option<Vec<u8>>,
    key: Vec<u8>,
    /// The present row of the page.
    present: Option<usize>,
}

impl Cursor {
    /// Stands before the first row.
    pub fn new(
        pack: &Arc<Pack>,
        from: &[u8],
        to: Option<&[u8]>,
        backwards: bool,
    ) -> Result<Cursor, ViewError> {
        let mut cursor = Cursor {
            pack: pack.clone(),
            backwards,
            path: Vec::with_capacity(usize::from(pack.depth)),
            page: None,
            at: 0,
            from: from.to_vec(),
            to: to.map(<[u8]>::to_vec),
            key: Vec::new(),
            present: None,
        };
        let mut page = pack.root.clone();
        for _ in 0..pack.depth {
            let n = match (backwards, to) {
                (false, _) => page.up_to(from)?,
                (true, Some(to)) => page.below(to)?,
                (true, None) => page.len(),
            };
            let n = n.saturating_sub(1);
            let below = pack.below(&page, n)?;
            cursor.path.push((page, n));
            page = below;
        }
        cursor.at = match (backwards, to) {
            (false, _) => page.below(from)?,
            (true, Some(to)) => page.below(to)?,
            (true, None) => page.len(),
        };
        cursor.page = Some(page);
        Ok(cursor)
    }

    /// Goes on to the next row. False at the end.
    pub fn advance(&mut self) -> Result<bool, ViewError> {
        loop {
            let Some(page) = &self.page else {
                self.present = None;
                return Ok(false);
            };
            let n = match self.backwards {
                true => self.at.checked_sub(1),
                false => Some(self.at).filter(|at| *at < page.len()),
            };
            let Some(n) = n else {
                self.turn()?;
                continue;
            };
            let item = page.item(n)?;
            self.key.clear();
            self.key.extend_from_slice(item.shared);
            self.key.extend_from_slice(item.rest);
            self.present = Some(n);
            self.at = if self.backwards { n } else { n + 1 };
            let is_within = match self.backwards {
                true => self.key >= self.from,
                false => self.to.as_ref().is_none_or(|to| self.key < *to),
            };
            if !is_within {
                (self.page, self.present) = (None, None);
            }
            return Ok(is_within);
        }
    }

    /// Takes up the next page, if there is one.
    fn turn(&mut self) -> Result<(), ViewError> {
        self.page = None;
        while let Some((above, n)) = self.path.pop() {
            let next = match self.backwards {
                true => n.checked_sub(1),
                false => Some(n + 1).filter(|n| *n < above.len()),
            };
            let Some(next) = next else { continue };
            let mut page = self.pack.pass(&above, next)?;
            self.path.push((above, next));
            while self.path.len() < usize::from(self.pack.depth) {
                let edge = if self.backwards { page.len().saturating_sub(1) } else { 0 };
                let below = self.pack.pass(&page, edge)?;
                self.path.push((page, edge));
                page = below;
            }
            self.at = if self.backwards { page.len() } else { 0 };
            self.page = Some(page);
            break;
        }
        Ok(())
    }

    /// The key of the row that it stands at.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its value.
    pub fn value(&self) -> Result<&[u8], ViewError> {
        match (&self.page, self.present) {
            (Some(page), Some(n)) => Ok(page.item(n)?.value),
            _ => Err(BAD),
        }
    }

    /// The same, to be kept: with it the whole page stays in memory.
    pub fn value_bytes(&self) -> Result<Bytes, ViewError> {
        match (&self.page, self.present) {
            (Some(page), Some(n)) => page.value_at(n),
            _ => Err(BAD),
        }
    }
}
