//! Writing segments anew, without what is not needed any more, while others read and append; neighbours can become one.
//!
//! A new file is written beside the old ones and takes the name of the last of them in one step, so a crash leaves one or the other; then
//! the others' files go, and the next opening takes away what a crash left of them, for the new file's header says for which it stands.
//! Records keep their order and their `lseq`s; their places change, and [`Rewrite::moved`] says to where. Only segments
//! that are followed by another are rewritten: their ends are durable. The last record of the new file says where the last of the old ones ended, so
//! that the segment after it is not thought to miss something.

use crate::cursor::{Frame, POINT_AHEAD, SCAN_AHEAD};
use crate::disk::{DiskFile, is_full};
use crate::error::RewriteError;
use crate::files::Files;
use crate::position::{Position, file_name};
use crate::reader::{Located, Reader};
use crate::record::Record;
use crate::segment::{HEAD_LEN, HEADER_LEN, Header, seal};
use kappadb_core::Lseq;
use std::io;
use std::sync::Arc;

/// What a file is called until it takes the place of a segment.
pub(crate) const SUFFIX: &str = ".new";

/// Segments written anew as one, not yet in their place. Dropping it leaves the old ones as they are.
pub struct Rewrite {
    files: Arc<Files>,
    header: Header,
    /// The old files, in order. The new one takes the name of the last.
    old: Vec<Old>,
    after: u64,
    moved: Vec<(Position, u64)>,
    installed: bool,
}

#[derive(Clone, Copy)]
struct Old {
    segment: u32,
    bytes: u64,
    /// It was written anew before, so it has a record that says where its own old file ended.
    again: bool,
}

/// How far the copy has come: where a segment ended, and the number of the next block.
#[derive(Clone, Copy)]
struct Copied {
    end: Position,
    lseq: Lseq,
}

impl Rewrite {
    /// Writes neighbouring segments anew as one: `keep` says what becomes of each record, in order, those of the journal itself left
    /// out. It must take as many `lseq`s as before. Nothing is changed if a segment is damaged, or does not follow on the one before.
    pub(crate) fn new(
        files: Arc<Files>,
        segments: &[u32],
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<Rewrite, RewriteError> {
        let mut rewrite = Rewrite::begin(files, segments)?;
        let created = rewrite.files.disk.create(&rewrite.name());
        let file = created.map_err(|source| rewrite.failed(source))?;
        let mut out = Out { file: Some(file), at: 0, buffer: rewrite.header.encode() };
        rewrite.copy(&mut out, keep)?;
        out.finish().map_err(|source| rewrite.failed(source))?;
        Ok(rewrite)
    }

    /// By how many bytes the segment would be shorter. It may be the one that is appended to.
    pub(crate) fn measure(
        files: Arc<Files>,
        segment: u32,
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<u64, RewriteError> {
        let mut rewrite = Rewrite::begin(files, &[segment])?;
        // There is no file to be taken away.
        rewrite.installed = true;
        rewrite.copy(&mut Out { file: None, at: 0, buffer: Vec::new() }, keep)?;
        Ok(rewrite.before().saturating_sub(rewrite.after))
    }

    fn begin(files: Arc<Files>, segments: &[u32]) -> Result<Rewrite, RewriteError> {
        let (mut headers, mut old) = (Vec::new(), Vec::new());
        for &segment in segments {
            let damaged = RewriteError::Damaged(Position { segment, offset: 0 });
            if files.missing_run(segment).is_some() {
                return Err(damaged);
            }
            let failed = |source| failed(&files, segment, source);
            let header = files.header(segment).map_err(failed)?.header().ok_or(damaged)?;
            let len = files.file(segment).and_then(|file| file.len()).map_err(failed)?;
            let durable = Some(files.durable()).filter(|durable| durable.segment == segment);
            let bytes = durable.map_or(len, |durable| durable.offset.min(len));
            headers.push(header);
            old.push(Old { segment, bytes, again: header.rewrites > 0 });
        }
        let damaged = RewriteError::Damaged(Position::START);
        let (first, last) = headers.first().zip(headers.last()).ok_or(damaged)?;
        let rewrites = last.rewrites.checked_add(1).unwrap_or(1);
        let joined = last.segment.saturating_sub(*first.segments().start());
        let header = Header { rewrites, joined, first_lseq: first.first_lseq, ..*last };
        Ok(Rewrite { files, header, old, after: HEADER_LEN, moved: Vec::new(), installed: false })
    }

    fn name(&self) -> String {
        [&file_name(self.segment()), SUFFIX].concat()
    }

    fn copy(
        &mut self,
        out: &mut Out,
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<(), RewriteError> {
        let mut before: Option<Copied> = None;
        for old in self.old.clone() {
            before = Some(self.copy_segment(old, before, out, keep)?);
        }
        let Some(Copied { end, lseq }) = before else { return Ok(()) };
        self.check_end(end)?;
        let own = Position { segment: self.segment(), offset: self.after };
        self.write(out, own, lseq, &Record::Rewritten(end.offset))
    }

    fn copy_segment(
        &mut self,
        Old { segment, bytes: len, mut again }: Old,
        before: Option<Copied>,
        out: &mut Out,
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<Copied, RewriteError> {
        let cursor = self.files.cursor(segment, len, SCAN_AHEAD);
        let mut cursor = cursor.map_err(|source| failed(&self.files, segment, source))?;
        let mut done = Copied { end: Position { segment, offset: len }, lseq: 0 };
        let mut offset = HEADER_LEN;
        while offset < len {
            let at = Position { segment, offset };
            let damaged = RewriteError::Damaged(at);
            let Ok(frame) = cursor.frame(offset) else { return Err(damaged) };
            if offset == HEADER_LEN && !before.is_none_or(|before| before.leads_to(&frame)) {
                return Err(damaged);
            }
            let record = Record::decode(&frame.body).map_err(|_| damaged)?;
            done.lseq = frame.head.first_lseq.saturating_add(record.block_count());
            done.end.offset = len;
            if let Record::Rewritten(end) = record {
                (done.end.offset, again) = (end, false);
            }
            self.copy_record(at, &frame, record, out, keep)?;
            offset = frame.next;
        }
        if again { Err(RewriteError::Damaged(done.end)) } else { Ok(done) }
    }

    /// Where several are joined, the segment behind must not say that more had been there: in a longer file that would not show any more.
    fn check_end(&self, end: Position) -> Result<(), RewriteError> {
        let next = end.segment.saturating_add(1);
        let next = self.files.joined_into(next).unwrap_or(next);
        if self.old.len() < 2 || self.files.missing_run(next).is_some() {
            return Ok(());
        }
        let cursor = self.files.cursor(next, u64::MAX, POINT_AHEAD);
        let first = cursor.map_err(|source| failed(&self.files, next, source))?.frame(HEADER_LEN);
        let lacks = |first: Frame| first.head.durable.segment == end.segment && first.head.durable > end;
        if first.is_ok_and(lacks) { Err(RewriteError::Damaged(end)) } else { Ok(()) }
    }

    fn copy_record(
        &mut self,
        at: Position,
        frame: &Frame,
        record: Record,
        out: &mut Out,
        keep: &mut dyn FnMut(Located) -> Option<Record>,
    ) -> Result<(), RewriteError> {
        let (next, first_lseq) = (Position { offset: frame.next, ..at }, frame.head.first_lseq);
        let kept = match record {
            // The new file begins with the latest of them.
            Record::Incarnation(_) if self.after == HEADER_LEN => Some(self.last_incarnation()?),
            Record::Incarnation(_) | Record::Closed | Record::Rewritten(_) => None,
            record => {
                let count = record.block_count();
                let kept = keep(Located { at, next, first_lseq, record });
                if kept.as_ref().map_or(0, Record::block_count) != count {
                    return Err(RewriteError::Numbers(at));
                }
                kept
            }
        };
        let Some(record) = kept else { return Ok(()) };
        self.moved.push((at, self.after));
        self.write(out, frame.head.durable, first_lseq, &record)
    }

    fn last_incarnation(&self) -> Result<Record, RewriteError> {
        let at = Position { segment: self.segment(), offset: HEADER_LEN };
        match Reader::new(self.files.clone()).read(at).map(|located| located.record) {
            Ok(record @ Record::Incarnation(_)) => Ok(record),
            _ => Err(RewriteError::Damaged(at)),
        }
    }

    fn write(
        &mut self,
        out: &mut Out,
        durable: Position,
        first_lseq: Lseq,
        record: &Record,
    ) -> Result<(), RewriteError> {
        let at = Position { segment: self.segment(), offset: self.after };
        // What was said of places in the old files is not said of the new one.
        let durable = if self.stood_for(durable.segment) { at } else { durable };
        let mut bytes = vec![0; HEAD_LEN];
        record.encode_into(&mut bytes)?;
        seal(&self.files.nonce, at, durable, first_lseq, &mut bytes);
        self.after += bytes.len() as u64;
        out.write(&bytes).map_err(|source| self.failed(source))
    }

    /// True if it was written from this segment.
    pub(crate) fn stood_for(&self, segment: u32) -> bool {
        self.old().any(|old| old == segment)
    }

    fn before(&self) -> u64 {
        self.old.iter().map(|old| old.bytes).sum()
    }

    fn failed(&self, source: io::Error) -> RewriteError {
        failed(&self.files, self.segment(), source)
    }

    /// The number of the new file.
    pub fn segment(&self) -> u32 {
        self.header.segment
    }

    /// The numbers of the old files, in order; the last is that of the new one.
    fn old(&self) -> impl Iterator<Item = u32> {
        self.old.iter().map(|old| old.segment)
    }

    /// How often the segment was written anew by then.
    pub(crate) fn rewrites(&self) -> u8 {
        self.header.rewrites
    }

    /// Bytes of the old files and of the new one.
    pub fn bytes(&self) -> (u64, u64) {
        (self.before(), self.after)
    }

    /// Where the record is that lay at `at`, if it was kept. Places in other segments are what they were.
    pub fn moved(&self, at: Position) -> Option<Position> {
        if !self.stood_for(at.segment) {
            return Some(at);
        }
        let found = self.moved.binary_search_by_key(&at, |(old, _)| *old).ok()?;
        self.moved.get(found).map(|(_, new)| Position { segment: self.segment(), offset: *new })
    }

    /// Puts the new file in the place of the old ones, durably. From here on readers find the new places only.
    pub(crate) fn install(&mut self) -> Result<(), RewriteError> {
        let (files, segment) = (&self.files, self.segment());
        let renamed = files.disk.rename(&self.name(), &file_name(segment));
        self.installed = renamed.is_ok();
        self.old().for_each(|old| files.forget(old));
        let synced = renamed.and_then(|()| files.disk.sync_names());
        synced.map_err(|source| RewriteError::Io { file: files.path(segment), source })?;
        let joined = *self.header.segments().start()..segment;
        if !joined.is_empty() {
            files.join(joined);
        }
        for old in self.old().filter(|old| *old != segment) {
            // If it cannot be taken away now, the next opening does.
            drop(files.disk.remove(&file_name(old)));
        }
        Ok(())
    }
}

impl Copied {
    /// True if the first record of a segment says that it follows on what was copied.
    fn leads_to(self, first: &Frame) -> bool {
        (first.head.durable, first.head.first_lseq) == (self.end, self.lseq)
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
