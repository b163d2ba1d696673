//! Several runs read as one.

use super::run::Reader;
use crate::ViewError;

/// The rows of several runs in order, each key once.
pub struct Merged<'a> {
    parts: Vec<Reader<'a>>,
    backwards: bool,
    /// Which part the present row is of.
    at: Option<usize>,
    key: Vec<u8>,
}

impl<'a> Merged<'a> {
    /// Of readers that go the same way.
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
                    self.parts.swap_remove(n);
                } else {
                    n += 1;
                }
            }
        }
        let parts = self.parts.iter().enumerate();
        let next = match self.backwards {
            true => parts.max_by(|a, b| a.1.key().cmp(b.1.key())),
            false => parts.min_by(|a, b| a.1.key().cmp(b.1.key())),
        };
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
}
