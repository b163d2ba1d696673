//! Several runs read as one.

use super::run::Reader;
use crate::ViewError;
use std::cmp::Ordering;

/// The rows of several runs in order, each key once: as the first of the runs that have it says.
pub struct Merged<'a> {
    parts: Vec<Reader<'a>>,
    backwards: bool,
    /// Which part the present row is of.
    at: Option<usize>,
    key: Vec<u8>,
}

impl<'a> Merged<'a> {
    /// Of readers that go the same way, the newest run first.
    pub fn new(parts: Vec<Reader<'a>>, backwards: bool) -> Result<Self, ViewError> {
        let mut merged =
            Merged { parts: Vec::with_capacity(parts.len()), backwards, at: None, key: Vec::new() };
        for mut part in parts {
            if part.advance()? {
                merged.parts.push(part);
            }
        }
        Ok(merged)
    }

    /// Goes on to the next row. False at the end.
    pub fn advance(&mut self) -> Result<bool, ViewError> {
        if self.at.take().is_some() {
            let mut n = 0;
            while let Some(part) = self.parts.get_mut(n) {
                if part.key() == self.key && !part.advance()? {
                    self.parts.remove(n);
                } else {
                    n += 1;
                }
            }
        }
        // Of equal keys the first part's: that is what `min_by` gives.
        let order = |a: &[u8], b: &[u8]| if self.backwards { b.cmp(a) } else { a.cmp(b) };
        let next = self.parts.iter().enumerate().min_by(|a, b| order(a.1.key(), b.1.key()));
        let Some((at, part)) = next else { return Ok(false) };
        self.key.clear();
        self.key.extend_from_slice(part.key());
        self.at = Some(at);
        Ok(true)
    }

    /// The key of the present row.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its value.
    pub fn value(&self) -> Result<&[u8], ViewError> {
        self.at.and_then(|at| self.parts.get(at)).map_or(Ok(&[]), Reader::value)
    }

    /// How the present row's key compares with another, in the direction of reading.
    pub(super) fn cmp_key(&self, key: &[u8]) -> Ordering {
        if self.backwards { key.cmp(&self.key) } else { self.key[..].cmp(key) }
    }
}
