//! Goes through the journal record by record, over all segments, and names every place that it cannot read.
//!
//! A damaged place is reported only when the next readable record is found, because only that record says which
//! `lseq`s the place can have held.

use crate::cursor::{Cursor, Frame, SCAN_AHEAD};
use crate::error::{Cause, Damage};
use crate::files::Files;
use crate::position::Position;
use crate::reader::Located;
use crate::record::Record;
use crate::segment::{HEADER_LEN, HeaderState};
use kappadb_core::Lseq;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

struct Hole {
    segment: u32,
    from: u64,
    to: u64,
    cause: Cause,
}

pub(crate) struct Walk {
    files: Arc<Files>,
    at: Position,
    end: Position,
    cursor: Option<Cursor>,
    /// The next record's first lseq if no record is lost; a lower bound unless `exact`.
    lseq: Lseq,
    exact: bool,
    /// Greatest durable mark seen.
    mark: Position,
    /// Where the segment before ended.
    left: Option<Position>,
    /// The segment was rewritten and stands for what ended here.
    stands_for: u64,
    /// It was rewritten, and the record that such a segment ends with has not come.
    is_open: bool,
    holes: Vec<Hole>,
    ready: VecDeque<Damage>,
    watched: Option<Position>,
}

impl Walk {
    /// From `at`, which must be where a record begins (or a segment's start), up to `end`. `lseq` is that of the
    /// first record, if known.
    pub(crate) fn new(files: Arc<Files>, at: Position, end: Position, lseq: Option<Lseq>) -> Walk {
        let (exact, lseq) = (lseq.is_some(), lseq.unwrap_or(0));
        let (mark, left) = (Position { segment: 0, offset: 0 }, None);
        let (holes, ready) = (Vec::new(), VecDeque::new());
        Walk {
            files,
            at,
            end,
            cursor: None,
            lseq,
            exact,
            mark,
            left,
            stands_for: 0,
            is_open: false,
            holes,
            ready,
            watched: None,
        }
    }

    /// Notes whether a record begins (or should begin) at `place`; see [`Walk::met`].
    pub(crate) fn watch(mut self, place: Position) -> Walk {
        self.watched = Some(place);
        self
    }

    /// True if the place given to [`Walk::watch`] was where a record begins or should.
    pub(crate) fn met(&self) -> bool {
        self.watched.is_none()
    }

    /// True if the lseqs are certain: the first was given, or a record was read.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// How far the walk has come.
    pub(crate) fn at(&self) -> Position {
        self.at
    }

    /// The lseq after everything read so far, and after everything that the holes reported can have held.
    pub(crate) fn next_lseq(&self) -> Lseq {
        self.lseq
    }

    /// The greatest durable mark in the records read.
    pub(crate) fn mark(&self) -> Position {
        self.mark
    }

    /// Enters the segment at `at`, or notes that it cannot be.
    fn enter(&mut self) {
        let segment = self.at.segment;
        if let Some(into) = self.files.joined_into(segment) {
            self.at = Position { segment: into, offset: 0 };
            return;
        }
        if let Some(missing) = self.files.missing_run(segment) {
            // One report for the whole run: a stray file name must not make four billion of them.
            self.holes.push(Hole { segment, from: 0, to: 0, cause: Cause::Absent });
            self.at = Position { segment: missing.end, offset: 0 };
            return;
        }
        match self.open(segment) {
            Ok((cursor, state)) => self.begin(cursor, state),
            Err(e) => {
                self.holes.push(Hole { segment, from: 0, to: 0, cause: Cause::Unreadable(e.kind()) });
                self.leave();
            }
        }
    }

    fn begin(&mut self, cursor: Cursor, state: HeaderState) {
        let to = HEADER_LEN.min(cursor.limit());
        if !matches!(state, HeaderState::Sound(_)) && self.at.offset <= to {
            self.holes.push(Hole { segment: self.at.segment, from: 0, to, cause: Cause::Header });
        }
        if let Some(header) = state.header().filter(|_| !self.exact) {
            self.lseq = self.lseq.max(header.first_lseq);
        }
        self.is_open = self.at.offset <= to && state.header().is_some_and(|header| header.rewrites > 0);
        self.at.offset = self.at.offset.max(to);
        self.cursor = Some(cursor);
    }

    fn open(&self, segment: u32) -> io::Result<(Cursor, HeaderState)> {
        let header = self.files.header(segment)?;
        let len = self.files.file(segment)?.len()?;
        let limit = if segment == self.end.segment { self.end.offset.min(len) } else { len };
        Ok((self.files.cursor(segment, limit, SCAN_AHEAD)?, header))
    }

    fn leave(&mut self) {
        let segment = self.at.segment;
        let limit = self.cursor.take().map(|cursor| cursor.limit());
        let (stands_for, is_open) = (std::mem::take(&mut self.stands_for), std::mem::take(&mut self.is_open));
        let is_told =
            |end: u64| self.holes.last().is_some_and(|hole| (hole.segment, hole.to) == (segment, end));
        if let Some(end) = limit.filter(|&end| is_open && !is_told(end)) {
            self.holes.push(Hole { segment, from: end, to: end, cause: Cause::Absent });
        }
        self.left = limit.map(|offset| Position { segment, offset: offset.max(stands_for) });
        if let Some(from) = limit.filter(|&limit| segment == self.end.segment && limit < self.end.offset) {
            self.holes.push(Hole { segment, from, to: self.end.offset, cause: Cause::Absent });
        }
        self.at = Position { segment: segment.saturating_add(1), offset: 0 };
    }

    /// Everything between here and the next record of this segment is a hole.
    fn skip(&mut self, search_from: u64, cause: Cause) {
        let Some(cursor) = &mut self.cursor else { return };
        let to = cursor.search(self.at.offset, search_from, self.lseq).unwrap_or(cursor.limit());
        self.holes.push(Hole { segment: self.at.segment, from: self.at.offset, to, cause });
        self.at.offset = to;
    }

    /// Takes the valid frame at the current place. Holes before it are closed first; it is then read again.
    fn take(&mut self, frame: &Frame) -> Option<Located> {
        let Position { segment, offset } = self.at;
        let (head, next) = (frame.head, Position { segment, offset: frame.next });
        self.note_truncated(head.durable);
        if self.exact && head.first_lseq > self.lseq && self.holes.is_empty() {
            self.holes.push(Hole { segment, from: offset, to: offset, cause: Cause::Absent });
        }
        self.mark = self.mark.max(head.durable);
        if !self.holes.is_empty() {
            self.close(head.first_lseq);
            self.exact = true;
            return None;
        }
        match Record::decode(&frame.body) {
            Ok(record) => {
                (self.lseq, self.exact) = (head.first_lseq.saturating_add(record.block_count()), true);
                if let Record::Rewritten(end) = record {
                    (self.stands_for, self.is_open) = (end, false);
                }
                let at = std::mem::replace(&mut self.at, next);
                Some(Located { at, next, first_lseq: head.first_lseq, record })
            }
            Err(error) => {
                (self.lseq, self.exact) = (head.first_lseq, true);
                self.holes.push(Hole { segment, from: offset, to: next.offset, cause: error.into() });
                self.at = next;
                None
            }
        }
    }

    /// A segment's first record says where the segment before it ended: its end was durable by then.
    fn note_truncated(&mut self, durable: Position) {
        let Some(left) = self.left.take() else { return };
        if durable.segment == left.segment && durable.offset > left.offset {
            let (from, to) = (left.offset, durable.offset);
            self.holes.push(Hole { segment: left.segment, from, to, cause: Cause::Absent });
        }
    }

    /// Reports the holes, now that the lseq after them is known.
    fn close(&mut self, next: Lseq) {
        let lseqs = self.lseq.min(next)..next;
        let damage =
            |Hole { segment, from, to, cause }| Damage { segment, from, to, lseqs: lseqs.clone(), cause };
        self.ready.extend(self.holes.drain(..).map(damage));
        self.lseq = next;
    }

    /// Reports holes that no record follows. Every block takes a byte of its record at least, so their bytes bound the
    /// number of blocks in them.
    fn close_at_end(&mut self) {
        let bytes = self.holes.iter().map(|hole| hole.to - hole.from).sum();
        if !self.holes.is_empty() {
            self.close(self.lseq.saturating_add(bytes));
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Located, Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(damage) = self.ready.pop_front() {
                return Some(Err(damage));
            }
            self.watched = self.watched.filter(|&place| place != self.at);
            if self.at >= self.end || self.at.segment > self.end.segment {
                self.close_at_end();
                return self.ready.pop_front().map(Err);
            }
            let Some(cursor) = &mut self.cursor else {
                self.enter();
                continue;
            };
            if self.at.offset >= cursor.limit() {
                self.leave();
                continue;
            }
            match cursor.frame(self.at.offset) {
                Ok(frame) if frame.head.first_lseq < self.lseq => self.skip(frame.next, Cause::Order),
                Ok(frame) => {
                    if let Some(located) = self.take(&frame) {
                        return Some(Ok(located));
                    }
                }
                Err(cause) => self.skip(self.at.offset + 1, cause),
            }
        }
    }
}
