//! Reads records out of one segment file, and finds the next one after a damaged place.

use crate::disk::DiskFile;
use crate::error::Cause;
use crate::position::Position;
use crate::segment::{HEAD_LEN, Head, MAGIC, Nonce, is_sealed};
use bytes::Bytes;
use kappadb_core::Lseq;
use std::io;
use std::sync::Arc;

/// Bytes read at once when going through a segment.
pub(crate) const SCAN_AHEAD: usize = 256 << 10;
/// Bytes read at once for a single record: most fit.
pub(crate) const POINT_AHEAD: usize = 4 << 10;

const SEARCH_WINDOW: u64 = 64 << 10;
/// What the disk refuses to read is skipped in steps of this.
const PAGE: u64 = 4 << 10;
/// Content that looks like records could make a search hash every byte many times over; it may hash this many times
/// the bytes that it searches.
const SEARCH_EFFORT: u64 = 64;

/// A place in a segment file, with the bytes around it.
pub(crate) struct Cursor {
    file: Arc<dyn DiskFile>,
    segment: u32,
    nonce: Nonce,
    limit: u64,
    ahead: usize,
    chunk: Bytes,
    chunk_at: u64,
}

/// A record whose checksum holds.
#[derive(Debug)]
pub(crate) struct Frame {
    pub head: Head,
    pub body: Bytes,
    pub next: u64,
}

impl Cursor {
    /// Nothing at or beyond `limit` is read.
    pub(crate) fn new(
        file: Arc<dyn DiskFile>,
        segment: u32,
        nonce: Nonce,
        limit: u64,
        ahead: usize,
    ) -> Cursor {
        Cursor { file, segment, nonce, limit, ahead, chunk: Bytes::new(), chunk_at: 0 }
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The record at `at`, if there is a whole one.
    pub(crate) fn frame(&mut self, at: u64) -> Result<Frame, Cause> {
        let head = self.head(at)?;
        let mut bytes = self.bytes(at, HEAD_LEN + head.body_len)?;
        let place = Position { segment: self.segment, offset: at };
        if !is_sealed(&self.nonce, place, &bytes) {
            return Err(Cause::Record);
        }
        let next = at + bytes.len() as u64;
        Ok(Frame { head, body: bytes.split_off(HEAD_LEN), next })
    }

    fn head(&mut self, at: u64) -> Result<Head, Cause> {
        let bytes = self.bytes(at, HEAD_LEN)?;
        Head::read(&bytes, Position { segment: self.segment, offset: at })
    }

    /// Where the first record at or after `from` lies whose first lseq is at least `lseq`. `bad` is where a record should
    /// have been: if its length is right, the place behind it is tried whatever the effort so far.
    pub(crate) fn search(&mut self, bad: u64, from: u64, lseq: Lseq) -> Option<u64> {
        let claimed = self.head(bad).map_or(from, |head| bad + (HEAD_LEN + head.body_len) as u64);
        let mut effort = SEARCH_EFFORT.saturating_mul(self.limit.saturating_sub(from));
        let mut at = from;
        while at < self.limit {
            let len = SEARCH_WINDOW.min(self.limit - at);
            let Some(window) = self.window(at, len) else {
                at += PAGE;
                continue;
            };
            let starts = window.windows(MAGIC.len()).zip(at..).filter(|(bytes, _)| *bytes == MAGIC);
            for (_, start) in starts {
                let mut free = u64::MAX;
                if self.is_record(start, lseq, if start == claimed { &mut free } else { &mut effort }) {
                    return Some(start);
                }
            }
            // A magic may lie across the end of the window.
            let overlap = MAGIC.len() as u64 - 1;
            at += (window.len() as u64).saturating_sub(overlap).max(1);
        }
        None
    }

    /// As many of `len` bytes as the disk gives: all, or one page.
    fn window(&mut self, at: u64, len: u64) -> Option<Bytes> {
        let mut read = |len: u64| self.bytes(at, usize::try_from(len).ok()?).ok();
        read(len).or_else(|| read(len.min(PAGE)))
    }

    fn is_record(&mut self, at: u64, lseq: Lseq, effort: &mut u64) -> bool {
        let Ok(head) = self.head(at) else { return false };
        let cost = head.body_len as u64;
        if head.first_lseq < lseq || *effort < cost {
            return false;
        }
        *effort -= cost;
        self.frame(at).is_ok()
    }

    /// Exactly `len` bytes from `at`; [`Cause::Record`] if the segment ends before.
    pub(crate) fn bytes(&mut self, at: u64, len: usize) -> Result<Bytes, Cause> {
        let end = at.checked_add(len as u64).filter(|&end| end <= self.limit).ok_or(Cause::Record)?;
        if at < self.chunk_at || end > self.chunk_at + self.chunk.len() as u64 {
            let room = usize::try_from(self.limit - at).unwrap_or(usize::MAX);
            // Where reading ahead fails, what is needed may still be readable.
            self.fill(at, self.ahead.max(len).min(room))
                .or_else(|_| self.fill(at, len))
                .map_err(|e| Cause::Unreadable(e.kind()))?;
        }
        let from = usize::try_from(at - self.chunk_at).map_err(|_| Cause::Record)?;
        match self.chunk.len() >= from + len {
            true => Ok(self.chunk.slice(from..from + len)),
            false => Err(Cause::Record),
        }
    }

    fn fill(&mut self, at: u64, len: usize) -> io::Result<()> {
        let mut chunk = vec![0; len];
        let read = self.file.read_at(at, &mut chunk)?;
        chunk.truncate(read);
        (self.chunk, self.chunk_at) = (chunk.into(), at);
        Ok(())
    }
}
