//! Writing a segment anew, without what is not needed any more, while others read and append.
//!
//! A new file is written beside the old one and takes its name in one step, so a crash leaves one or the other. Records keep
//! their order and their `lseq`s; their places change, and [`Rewrite::moved`] says to where. Only segments that are followed by
//! another are rewritten: their ends are durable. The last record of the new file says where the old one ended, so
//! that the segment after it is not thought to miss something.

use crate::cursor::SCAN_AHEAD;
use crate::disk::{DiskFile, is_full};
use crate::error::RewriteError;
use crate::files::Files;
use crate::position::{Position, file_name};
use crate::reader::Located;
use crate::record::Record;
use crate::segment::{HEAD_LEN, HEADER_LEN, Header, seal};
use std::io;
use std::sync::Arc;

/// What a file is called until it takes the place of a segment.
pub(crate) const SUFFIX: &str = ".new";

/// A segment written anew, not yet in its place. Dropping it leaves the old one as it is.
pub struct Rewrite {
    files: Arc<Files>,
    segment: u32,
    rewrites: u8,
    before: u64,
    after: u64,
    moved: Vec<(u64, u64)>,
    installed: bool,
}

impl Rewrite {
    /// Writes the segment anew: `keep` says what becomes of each record, in order, those of the journal itself left out.
    /// It must take as many `lseq`s as before. Nothing is changed if the segment is damaged.
    pub(crate) fn new(
        files: Arc<Files>,
        segment: u32,
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<Rewrite, RewriteError> {
        let (mut rewrite, header) = Rewrite::begin(files, segment)?;
        let failed = |source| failed(&rewrite.files, segment, source);
        let file = rewrite.files.disk.create(&rewrite.name()).map_err(failed)?;
        let mut out = Out { file: Some(file), at: 0, buffer: header.encode() };
        rewrite.copy(&mut out, keep)?;
        out.finish().map_err(|source| self::failed(&rewrite.files, segment, source))?;
        Ok(rewrite)
    }

    /// By how many bytes it would be shorter.
    pub(crate) fn measure(
        files: Arc<Files>,
        segment: u32,
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<u64, RewriteError> {
        let (mut rewrite, _) = Rewrite::begin(files, segment)?;
        // There is no file to be taken away.
        rewrite.installed = true;
        rewrite.copy(&mut Out { file: None, at: 0, buffer: Vec::new() }, keep)?;
        Ok(rewrite.before.saturating_sub(rewrite.after))
    }

    fn begin(files: Arc<Files>, segment: u32) -> Result<(Rewrite, Header), RewriteError> {
        let failed = |source| failed(&files, segment, source);
        let damaged = RewriteError::Damaged(Position { segment, offset: 0 });
        if files.missing_run(segment).is_some() {
            return Err(damaged);
        }
        let header = files.header(segment).map_err(failed)?.header().ok_or(damaged)?;
        let before = files.file(segment).and_then(|file| file.len()).map_err(failed)?;
        let rewrites = header.rewrites.checked_add(1).unwrap_or(1);
        let (after, moved, installed) = (HEADER_LEN, Vec::new(), false);
        let rewrite = Rewrite { files, segment, rewrites, before, after, moved, installed };
        Ok((rewrite, Header { rewrites, ..header }))
    }

    fn name(&self) -> String {
        [&file_name(self.segment), SUFFIX].concat()
    }

    fn copy(
        &mut self,
        out: &mut Out,
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<(), RewriteError> {
        let segment = self.segment;
        let cursor = self.files.cursor(segment, self.before, SCAN_AHEAD);
        let mut cursor = cursor.map_err(|source| failed(&self.files, segment, source))?;
        let (mut offset, mut lseq, mut end) = (HEADER_LEN, 0, self.before);
        while offset < self.before {
            let at = Position { segment, offset };
            let frame = cursor.frame(offset).map_err(|_| RewriteError::Damaged(at))?;
            let record = Record::decode(&frame.body).map_err(|_| RewriteError::Damaged(at))?;
            let (next, first_lseq) = (Position { segment, offset: frame.next }, frame.head.first_lseq);
            lseq = first_lseq.saturating_add(record.block_count());
            let kept = match record {
                Record::Incarnation(_) => Some(record),
                Record::Closed => None,
                Record::Rewritten(before) => {
                    end = before;
                    None
                }
                record => {
                    let count = record.block_count();
                    let kept = keep(Located { at, next, first_lseq, record });
                    if kept.as_ref().map_or(0, Record::block_count) != count {
                        return Err(RewriteError::Numbers(at));
                    }
                    kept
                }
            };
            if let Some(record) = kept {
                self.moved.push((offset, self.after));
                self.write(out, frame.head.durable, first_lseq, &record)?;
            }
            offset = frame.next;
        }
        let own = Position { segment, offset: self.after };
        self.write(out, own, lseq, &Record::Rewritten(end))
    }

    fn write(
        &mut self,
        out: &mut Out,
        durable: Position,
        first_lseq: u64,
        record: &Record,
    ) -> Result<(), RewriteError> {
        let at = Position { segment: self.segment, offset: self.after };
        // What the old place said of this segment is not a place in the new one.
        let durable = if durable.segment == self.segment { at } else { durable };
        let mut bytes = vec![0; HEAD_LEN];
        record.encode_into(&mut bytes)?;
        seal(&self.files.nonce, at, durable, first_lseq, &mut bytes);
        self.after += bytes.len() as u64;
        out.write(&bytes).map_err(|source| failed(&self.files, self.segment, source))
    }

    /// Which segment it is.
    pub fn segment(&self) -> u32 {
        self.segment
    }

    /// Bytes of the old file and of the new one.
    pub fn bytes(&self) -> (u64, u64) {
        (self.before, self.after)
    }

    /// Where the record is that lay at `at`, if it was kept. Places in other segments are what they were.
    pub fn moved(&self, at: Position) -> Option<Position> {
        if at.segment != self.segment {
            return Some(at);
        }
        let found = self.moved.binary_search_by_key(&at.offset, |(old, _)| *old).ok()?;
        self.moved.get(found).map(|(_, new)| Position { offset: *new, ..at })
    }

    /// Puts the new file in the place of the old one, durably. From here on readers find the new places only.
    pub(crate) fn install(&mut self) -> Result<u8, RewriteError> {
        let name = file_name(self.segment);
        let disk = &self.files.disk;
        let renamed = disk.rename(&self.name(), &name);
        self.installed = renamed.is_ok();
        self.files.forget(self.segment);
        let synced = renamed.and_then(|()| disk.sync_names());
        synced.map_err(|source| RewriteError::Io { file: self.files.path(self.segment), source })?;
        Ok(self.rewrites)
    }
}

fn failed(files: &Files, segment: u32, source: io::Error) -> RewriteError {
    match is_full(&source) {
        true => RewriteError::DiskFull { folder: files.disk.path("") },
        false => RewriteError::Io { file: files.path(segment), source },
    }
}

impl Drop for Rewrite {
    fn drop(&mut self) {
        if !self.installed {
            // If it cannot be taken away now, the next opening does.
            drop(self.files.disk.remove(&self.name()));
        }
    }
}

/// The new file, written in large pieces; or none, if it is only measured.
struct Out {
    file: Option<Arc<dyn DiskFile>>,
    at: u64,
    buffer: Vec<u8>,
}

impl Out {
    const PIECE: usize = 1 << 20;

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < Self::PIECE { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &self.file {
            file.write_at(self.at, &self.buffer)?;
        }
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.map_or(Ok(()), |file| file.sync())
    }
}
