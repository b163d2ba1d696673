//! The writer: appends records, makes them durable, begins new segments.

use crate::disk::{Disk, DiskFile, Folder};
use crate::error::{AppendError, OpenError};
use crate::files::Files;
use crate::options::Options;
use crate::position::{Position, file_name, segment_of};
use crate::reader::Reader;
use crate::record::Record;
use crate::recover::{Entry, Recovered, Recovery, recover};
use crate::rewrite;
use crate::segment::{HEAD_LEN, HEADER_LEN, seal};
use crate::survey::Survey;
use crate::tail::{Owed, create, sync_error, write_error};
use kappadb_core::Lseq;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Bytes of a segment when it is made: header, and an incarnation record.
pub(crate) const BIRTH_LEN: u64 = HEADER_LEN + HEAD_LEN as u64 + 17;

/// Where an appended record was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Where it begins: what [`Reader::read`] is given.
    pub at: Position,
    /// Where it ends.
    pub next: Position,
    /// The number of its first block in the arrival log.
    pub first_lseq: Lseq,
}

/// A journal open for appending. There is one for a folder; whoever opens it holds the lock ([`crate::lock_dir`]).
///
/// Dropping it without [`Journal::close`] is what a crash does: what was not synced may be lost, and the next opening is
/// not clean.
pub struct Journal {
    pub(crate) files: Arc<Files>,
    pub(crate) options: Options,
    pub(crate) incarnation: [u8; 16],
    pub(crate) end: Position,
    pub(crate) durable: Position,
    pub(crate) next_lseq: Lseq,
    /// What stays when the journal retreats: all that is durable, and what somebody was told of before it was.
    pub(crate) kept: Position,
    /// What the next block after these is numbered.
    pub(crate) kept_lseq: Lseq,
    /// Bytes in the segments before this one.
    pub(crate) full_bytes: u64,
    /// What is to be done before anything is appended.
    pub(crate) owed: Option<Owed>,
    /// The segments that have a file, and how often each was rewritten.
    pub(crate) layout: BTreeMap<u32, u8>,
    /// Nothing was appended since a clean close.
    pub(crate) closed: bool,
    pub(crate) poisoned: bool,
    /// A sync failed, and what is kept was not durable: nobody knows what of it is on the disk.
    pub(crate) lost: bool,
    pub(crate) buffer: Vec<u8>,
}

impl Journal {
    /// Opens the journal in the folder `dir`, which is made if it is not there (its parent must be).
    ///
    /// `start` is a place that the caller knows to be a durable record's beginning or end: nothing before it is scanned, and
    /// nothing before it counts as torn. If it does not fit, everything is scanned. `random16` gives random bytes.
    /// `progress` is told the bytes scanned and to be scanned.
    ///
    /// # Errors
    /// Only what makes the journal unusable: a format of a later version, files that cannot be opened or written. Damage
    /// is no error but part of the [`Recovery`].
    pub fn open(
        dir: &Path,
        options: &Options,
        start: Option<Position>,
        random16: &mut dyn FnMut() -> [u8; 16],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Journal, Recovery), OpenError> {
        let folder = Folder::open(dir).map_err(|source| OpenError::Read { file: dir.to_owned(), source })?;
        Self::open_on(Arc::new(folder), options, start, random16, progress)
    }

    /// True if there is a journal in the folder.
    pub fn exists(dir: &Path) -> bool {
        Survey::any(dir)
    }

    /// [`Journal::open`] on any [`Disk`].
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: &Options,
        start: Option<Position>,
        random16: &mut dyn FnMut() -> [u8; 16],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Journal, Recovery), OpenError> {
        let recovered = recover(disk, options, start, random16, progress)?;
        let journal = match recovered.entry {
            Entry::Resume { end, incarnation } => Journal::resume(&recovered, *options, end, incarnation)?,
            Entry::NewSegment { segment, previous } => {
                Journal::begin(&recovered, *options, segment, previous, random16())?
            }
        };
        // What rewrites left that did not come to their end.
        let unfinished = recovered.survey.ignored.iter().filter(|name| is_left_over(name)).cloned();
        let joined = recovered.survey.left_over.iter().map(|segment| file_name(*segment));
        unfinished.chain(joined).for_each(|name| drop(recovered.files.disk.remove(&name)));
        let Recovered { cut, damage, closed: clean, scanned_from, survey, .. } = recovered;
        let incarnation = journal.incarnation;
        Ok((journal, Recovery { incarnation, cut, damage, clean, scanned_from, ignored: survey.ignored }))
    }

    fn resume(
        recovered: &Recovered,
        options: Options,
        end: Position,
        incarnation: [u8; 16],
    ) -> Result<Journal, OpenError> {
        let files = &recovered.files;
        let file = files.path(end.segment);
        let handle =
            files.file(end.segment).map_err(|source| OpenError::Read { file: file.clone(), source })?;
        // After a crash of this process alone, what it had written and not synced is still there: keep it for good.
        handle
            .sync()
            .and_then(|()| files.disk.sync_names())
            .map_err(|source| AppendError::Sync { file, source })?;
        Ok(Journal::new(recovered, options, handle, end, incarnation))
    }

    fn begin(
        recovered: &Recovered,
        options: Options,
        segment: u32,
        previous: Position,
        incarnation: [u8; 16],
    ) -> Result<Journal, OpenError> {
        let files = &recovered.files;
        if previous == Position::START {
            let (file, end) = create(files, segment, recovered.next_lseq, previous, incarnation)?;
            return Ok(Journal::new(recovered, options, file, end, incarnation));
        }
        let file = files.path(previous.segment);
        let handle = files.file(previous.segment).map_err(|source| OpenError::Read { file, source })?;
        let mut journal = Journal::new(recovered, options, handle, previous, incarnation);
        journal.owed = Some(Owed { cut: recovered.cut, segment: Some(segment) });
        match journal.pay() {
            // What is there can be read; whoever appends asks again.
            Err(error) if !error.is_refusal() => Err(error.into()),
            _ => Ok(journal),
        }
    }

    fn new(
        recovered: &Recovered,
        options: Options,
        file: Arc<dyn DiskFile>,
        end: Position,
        incarnation: [u8; 16],
    ) -> Journal {
        recovered.files.set_durable(end);
        recovered.files.set_last(file);
        let mut layout = recovered.survey.layout();
        layout.entry(end.segment).or_insert(0);
        Journal {
            files: recovered.files.clone(),
            options,
            incarnation,
            end,
            durable: end,
            next_lseq: recovered.next_lseq,
            kept: end,
            kept_lseq: recovered.next_lseq,
            full_bytes: recovered.survey.bytes(0..end.segment),
            owed: None,
            layout,
            closed: recovered.closed,
            poisoned: false,
            lost: false,
            buffer: Vec::new(),
        }
    }

    /// Writes a record behind the last one. It can be read at once, but is durable, and may be shown to others, only
    /// after [`Journal::sync`].
    ///
    /// # Errors
    /// After [`AppendError::Sync`] and [`AppendError::Poisoned`] it takes no more before [`Journal::retreat`]. After any other
    /// error it is as it was before.
    pub fn append(&mut self, record: &Record) -> Result<Placed, AppendError> {
        match record {
            Record::Incarnation(_) | Record::Closed | Record::Rewritten(_) => Err(AppendError::Reserved),
            record => self.write(record),
        }
    }

    fn write(&mut self, record: &Record) -> Result<Placed, AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        self.pay()?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let placed = self.write_through(record, &mut buffer);
        // One huge batch should not be paid for in memory ever after.
        const KEEP: usize = 4 << 20;
        buffer.clear();
        buffer.shrink_to(KEEP);
        self.buffer = buffer;
        placed
    }

    fn write_through(&mut self, record: &Record, buffer: &mut Vec<u8>) -> Result<Placed, AppendError> {
        buffer.resize(HEAD_LEN, 0);
        record.encode_into(buffer)?;
        let len = buffer.len() as u64;
        if self.end.offset > BIRTH_LEN && self.end.offset + len > self.options.segment_bytes {
            self.roll()?;
        }
        let (at, first_lseq) = (self.end, self.next_lseq);
        let next_lseq = first_lseq.checked_add(record.block_count()).ok_or(AppendError::Exhausted)?;
        seal(&self.files.nonce, at, self.durable, first_lseq, buffer);
        let file =
            self.files.last(at.segment).map_err(|source| write_error(&self.files, at.segment, source))?;
        file.write_at(at.offset, buffer).map_err(|source| self.undo(&*file, source))?;
        self.end.offset += len;
        self.next_lseq = next_lseq;
        self.closed = *record == Record::Closed;
        Ok(Placed { at, next: self.end, first_lseq })
    }

    /// After a failed write: takes away what of it reached the file.
    fn undo(&mut self, file: &dyn DiskFile, source: io::Error) -> AppendError {
        let untouched = file.len().is_ok_and(|len| len == self.end.offset);
        self.poisoned = !untouched && file.set_len(self.end.offset).is_err();
        write_error(&self.files, self.end.segment, source)
    }

    /// Makes everything appended so far durable, and visible to [`Reader::scan`].
    ///
    /// # Errors
    /// After any error nothing more is accepted before [`Journal::retreat`]: what a failed sync left on disk is unknown, and
    /// a second one would not tell either.
    pub fn sync(&mut self) -> Result<(), AppendError> {
        if self.poisoned {
            return Err(AppendError::Poisoned);
        }
        if self.durable == self.end {
            return Ok(());
        }
        self.files.last(self.end.segment).and_then(|file| file.sync()).map_err(|source| {
            self.poisoned = true;
            self.lost = self.kept > self.durable;
            sync_error(&self.files, self.end.segment, source)
        })?;
        self.set_durable(self.end);
        Ok(())
    }

    /// Keeps everything appended so far, though it is not durable yet: it is with the system, so this process may end in any way. From now on
    /// [`Journal::retreat`] leaves it as it is.
    pub fn keep(&mut self) {
        (self.kept, self.kept_lseq) = (self.end, self.next_lseq);
    }

    /// True if a sync failed after something was kept that was not durable: nothing more is accepted until the journal is opened again, which finds
    /// out what is there.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Makes everything durable and says so in the journal, so that damage to any of it can be told from a torn tail. Where
    /// the disk takes no more that is not said, and nothing is lost by it.
    pub fn close(mut self) -> Result<(), AppendError> {
        self.sync()?;
        if self.closed {
            return Ok(());
        }
        match self.write(&Record::Closed).and_then(|_| self.sync()) {
            Err(error) if error.is_refusal() => Ok(()),
            said => said,
        }
    }

    /// The number that the next block appended will have in the arrival log.
    pub fn next_lseq(&self) -> Lseq {
        self.next_lseq
    }

    /// Where the last record ends.
    pub fn end(&self) -> Position {
        self.end
    }

    /// Everything before this position is on disk.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// Reads while this appends.
    pub fn reader(&self) -> Reader {
        Reader::new(self.files.clone())
    }

    /// Bytes in all segment files.
    pub fn disk_bytes(&self) -> u64 {
        self.full_bytes + self.end.offset
    }
}

/// True for the name of a rewritten segment that is in nobody's place.
fn is_left_over(name: &str) -> bool {
    name.strip_suffix(rewrite::SUFFIX).is_some_and(|name| segment_of(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultDisk;
    use kappadb_core::{FeedKey, StoredBlock};

    fn open(disk: &FaultDisk, start: Option<Position>) -> Result<Journal, OpenError> {
        let options = Options::default();
        let opened =
            Journal::open_on(Arc::new(disk.clone()), &options, start, &mut || [1; 16], &mut |_, _| ());
        opened.map(|(journal, _)| journal)
    }

    #[test]
    fn numbers_of_blocks_that_are_used_up_are_an_error() {
        let mut journal = open(&FaultDisk::new(), None).unwrap();
        let block = StoredBlock::whole(&b"block"[..]);
        let record = Record::Blocks { feed: FeedKey([1; 32]), first: 0, blocks: vec![block] };
        journal.next_lseq = u64::MAX;
        let end = journal.end();
        assert!(matches!(journal.append(&record), Err(AppendError::Exhausted)));
        assert_eq!(journal.end(), end);
        assert!(journal.close().is_ok(), "a record without blocks takes no number");
    }

    #[test]
    fn the_last_segment_is_not_written_over() {
        let disk = FaultDisk::new();
        disk.put(&file_name(u32::MAX), vec![7; 100]);
        // It is known to have been durable, so it is damaged and not torn, and what is left of it must stay.
        let start = Position { segment: u32::MAX, offset: 90 };
        assert!(matches!(open(&disk, Some(start)), Err(OpenError::Write(AppendError::Exhausted))));
        assert_eq!(disk.content(&file_name(u32::MAX)), vec![7; 100]);
    }
}
