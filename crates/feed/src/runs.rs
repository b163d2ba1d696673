//! Finding where blocks lie, one run after the other. Going on to the next row is much cheaper than looking one up.

use crate::ReadError;
use crate::blocks::{Blocks, Run, run_of};
use crate::rows::{self, Location};
use kappadb_core::Seq;
use kappadb_store::Rows;
use std::ops::{Bound, Range};

/// A run that may be so many rows ahead, to judge by the length of the last one, is gone on to.
const NEAR: usize = 8;

/// The runs of one feed, asked for in ascending order.
pub(crate) struct Runs<'a> {
    blocks: &'a Blocks,
    number: u32,
    /// Where the last one lies, and that run if it was asked for.
    last: Option<(Range<Seq>, Location)>,
    run: Option<Run>,
    /// The rows after that of the last one.
    rows: Option<Rows<'a>>,
}

impl<'a> Runs<'a> {
    pub fn new(blocks: &'a Blocks, number: u32) -> Self {
        Runs { blocks, number, last: None, run: None, rows: None }
    }

    /// The first run that reaches beyond `seq`, if it begins before `end`.
    pub fn next(&mut self, seq: Seq, end: Seq) -> Result<Option<&Run>, ReadError> {
        let reaches = |last: &(Range<Seq>, Location)| last.0.end > seq;
        if !self.last.as_ref().is_some_and(reaches) {
            self.run = None;
            if self.is_far(seq) || !self.go_on(seq)? {
                self.look_up(seq)?;
            }
        }
        let Some((seqs, location)) = self.last.as_ref().filter(|(seqs, _)| seqs.start < end) else {
            return Ok(None);
        };
        if self.run.is_none() {
            let record = self.blocks.record(location.at)?;
            self.run = Some(Run { seqs: seqs.clone(), skip: location.skip, record });
        }
        Ok(self.run.as_ref())
    }

    fn is_far(&self, seq: Seq) -> bool {
        let far = |(seqs, location): &(Range<Seq>, Location)| {
            seq.saturating_sub(seqs.end) / location.count.max(1) >= NEAR as u64
        };
        self.last.as_ref().is_none_or(far)
    }

    /// Goes on to the run in the next few rows. False if it is not there.
    fn go_on(&mut self, seq: Seq) -> Result<bool, ReadError> {
        let Some((seqs, _)) = &self.last else { return Ok(false) };
        let (blocks, number, start) = (self.blocks, self.number, seqs.start);
        let rows = self.rows.get_or_insert_with(|| rows_after(blocks, number, start));
        for row in rows.take(NEAR) {
            let row = run_of(&row?)?;
            if row.0.end > seq {
                self.last = Some(row);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn look_up(&mut self, seq: Seq) -> Result<(), ReadError> {
        let [zero, here] = [0, seq].map(|seq| rows::location_key(self.number, seq));
        let before = self.blocks.tree.range(Bound::Included(&zero), Bound::Included(&here)).next_back();
        let before = before.map(|row| run_of(&row?)).transpose()?;
        (self.last, self.rows) = (before.filter(|(seqs, _)| seqs.contains(&seq)), None);
        if self.last.is_none() {
            let mut rows = rows_after(self.blocks, self.number, seq);
            self.last = rows.next().map(|row| run_of(&row?)).transpose()?;
            self.rows = Some(rows);
        }
        Ok(())
    }
}

/// The rows of runs that begin after `seq`.
fn rows_after(blocks: &Blocks, number: u32, seq: Seq) -> Rows<'_> {
    let [here, last] = [seq, Seq::MAX].map(|seq| rows::location_key(number, seq));
    blocks.tree.range(Bound::Excluded(&here), Bound::Included(&last))
}
