//! Several runs, and what is not packed yet, read as one.

use super::cursor::Cursor;
use super::row::Row;
use crate::ViewError;
use bytes::Bytes;

/// What is not packed yet.
pub(super) type MemoryRows<'a> = Box<dyn Iterator<Item = &'a Row> + Send + 'a>;

/// Rows in order, of which one is present.
pub(super) enum Part<'a> {
    Run(Box<Cursor>),
    Memory { rows: MemoryRows<'a>, present: Option<&'a Row> },
}

impl<'a> Part<'a> {
    pub fn memory(rows: MemoryRows<'a>) -> Part<'a> {
        Part::Memory { rows, present: None }
    }

    fn advance(&mut self) -> Result<bool, ViewError> {
        match self {
            Part::Run(cursor) => cursor.advance(),
            Part::Memory { rows, present } => {
                *present = rows.next();
                Ok(present.is_some())
            }
        }
    }

    fn key(&self) -> &[u8] {
        match self {
            Part::Run(cursor) => cursor.key(),
            Part::Memory { present, .. } => present.map_or(&[], Row::key),
        }
    }

    fn value(&self) -> Result<&[u8], ViewError> {
        match self {
            Part::Run(cursor) => cursor.value(),
            Part::Memory { present, .. } => Ok(present.map_or(&[], Row::value)),
        }
    }

    fn value_bytes(&self) -> Result<Bytes, ViewError> {
        match self {
            Part::Run(cursor) => cursor.value_bytes(),
            Part::Memory { present, .. } => Ok(present.map(Row::value_bytes).unwrap_or_default()),
        }
    }
}

/// The rows of several parts in order, each key once: as the first of the parts that have it says.
pub struct Merged<'a> {
    parts: Vec<Part<'a>>,
    backwards: bool,
    /// Rows without a value, which say that there is none, are passed over.
    skips_empty: bool,
    /// Which part the present row is of.
    at: Option<usize>,
    key: Vec<u8>,
}

impl<'a> Merged<'a> {
    /// Of parts that go the same way, the newest first.
    pub(super) fn new(parts: Vec<Part<'a>>, backwards: bool, skips_empty: bool) -> Result<Self, ViewError> {
        let mut merged = Merged {
            parts: Vec::with_capacity(parts.len()),
            backwards,
            skips_empty,
            at: None,
            key: Vec::new(),
        };
        for mut part in parts {
            if part.advance()? {
                merged.parts.push(part);
            }
        }
        Ok(merged)
    }

    /// Goes on to the next row. False at the end, and after an error.
    pub fn advance(&mut self) -> Result<bool, ViewError> {
        let advanced = self.step();
        if advanced.is_err() {
            (self.at, self.parts) = (None, Vec::new());
        }
        advanced
    }

    fn step(&mut self) -> Result<bool, ViewError> {
        loop {
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
            if !self.skips_empty || !part.value()?.is_empty() {
                return Ok(true);
            }
        }
    }

    /// The key of the present row.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Its value.
    pub fn value(&self) -> Result<&[u8], ViewError> {
        self.at.and_then(|at| self.parts.get(at)).map_or(Ok(&[]), Part::value)
    }

    /// The same, to be kept: with it the whole page stays in memory.
    pub fn value_bytes(&self) -> Result<Bytes, ViewError> {
        self.at.and_then(|at| self.parts.get(at)).map_or(Ok(Bytes::new()), Part::value_bytes)
    }
}
