//! The segments that are followed by another: which there are, and new files in their place.

use crate::error::{AppendError, RewriteError};
use crate::journal::{BIRTH_LEN, Journal};
use crate::rewrite::Rewrite;

impl Journal {
    /// Begins a new segment, unless nothing is in this one, so that all that was written before can be rewritten.
    pub fn begin_segment(&mut self) -> Result<(), AppendError> {
        match self.poisoned {
            true => Err(AppendError::Poisoned),
            false if self.owed.is_some() => self.pay(),
            false if self.end.offset <= BIRTH_LEN => Ok(()),
            false => self.roll(),
        }
    }

    /// The segments that are followed by another, and their bytes. Those that are missing are left out.
    pub fn sealed(&self) -> Vec<(u32, u64)> {
        let bytes = |segment| self.files.file(segment).and_then(|file| file.len()).ok();
        let numbers = self.layout.range(..self.end.segment);
        numbers.filter_map(|(segment, _)| Some((*segment, bytes(*segment)?))).collect()
    }

    /// Neighbours among them that have room in one file together: two or more.
    pub fn joinable(&self) -> Vec<Vec<u32>> {
        let mut groups: Vec<(Vec<u32>, u64)> = Vec::new();
        for (segment, bytes) in self.sealed() {
            match groups.last_mut() {
                Some((group, all))
                    if *all + bytes <= self.options.segment_bytes && self.are_neighbours(group, segment) =>
                {
                    group.push(segment);
                    *all += bytes;
                }
                _ => groups.push((vec![segment], bytes)),
            }
        }
        groups.into_iter().map(|(group, _)| group).filter(|group| group.len() > 1).collect()
    }

    fn are_neighbours(&self, group: &[u32], segment: u32) -> bool {
        let next = group.last().map_or(0, |last| last.saturating_add(1));
        next == segment || self.files.joined_into(next) == Some(segment)
    }

    /// Which segments were rewritten, and how often: who remembers places in the journal, remembers this with them.
    pub fn layout(&self) -> Vec<(u32, u8)> {
        let rewritten = self.layout.iter().filter(|(_, rewrites)| **rewrites > 0);
        rewritten.map(|(segment, rewrites)| (*segment, *rewrites)).collect()
    }

    /// How many segment files there are.
    pub fn files(&self) -> u64 {
        self.layout.len() as u64
    }

    /// Puts segments that were written anew in their place. Nobody may be reading at a place in them that was looked up before, or,
    /// if they are several, going through the journal.
    pub fn install(&mut self, mut rewrite: Rewrite) -> Result<Rewrite, RewriteError> {
        rewrite.install()?;
        let (before, after) = rewrite.bytes();
        self.full_bytes = (self.full_bytes + after).saturating_sub(before);
        self.layout.retain(|segment, _| !rewrite.stood_for(*segment));
        self.layout.insert(rewrite.segment(), rewrite.rewrites());
        Ok(rewrite)
    }
}
