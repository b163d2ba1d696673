//! The journal's end: segments begun, and what could not be made durable taken away.

use crate::disk::{DiskFile, is_full};
use crate::error::{AppendError, Cut};
use crate::files::Files;
use crate::journal::Journal;
use crate::position::{Position, file_name};
use crate::record::Record;
use crate::segment::{HEAD_LEN, HEADER_LEN, Header, seal};
use kappadb_core::Lseq;
use std::io;
use std::sync::Arc;

/// How the end of the journal is put in order. A disk that is full or may not be written does not allow it, but can be read.
#[derive(Default)]
pub(crate) struct Owed {
    pub cut: Option<Cut>,
    /// Begun after the last record.
    pub segment: Option<u32>,
}

impl Journal {
    /// Puts the end in order, if that is still to be done. What cannot be done now is tried again from its beginning.
    pub(crate) fn pay(&mut self) -> Result<(), AppendError> {
        let Some(owed) = &self.owed else { return Ok(()) };
        if let Some(cut) = &owed.cut {
            cut_off(&self.files, cut)?;
        }
        if let Some(segment) = owed.segment {
            let (file, end) = create(&self.files, segment, self.next_lseq, self.end, self.incarnation)?;
            self.full_bytes += self.end.offset;
            self.files.set_last(file);
            self.layout.insert(segment, 0);
            self.set_durable(end);
        }
        self.owed = None;
        Ok(())
    }

    /// Begins a new segment. The old one is durable before the new one exists, so only the last can be torn. From then on nothing
    /// more goes to the old one, for what there may be of the new one says where the old one ended.
    pub(crate) fn roll(&mut self) -> Result<(), AppendError> {
        self.sync()?;
        let segment = self.end.segment.checked_add(1).ok_or(AppendError::Exhausted)?;
        self.owed = Some(Owed { cut: None, segment: Some(segment) });
        self.pay()
    }

    pub(crate) fn set_durable(&mut self, end: Position) {
        (self.end, self.durable) = (end, end);
        self.keep();
        self.files.set_durable(end);
    }

    /// Gives up what was appended since the last sync and not kept, so that the journal goes on after a write or a sync that failed. It is cut off at once if the disk
    /// lets that be done, else before anything is appended: it does not come to count later, unless the process ends before that.
    pub fn retreat(&mut self) {
        if self.lost || (self.end == self.kept && !self.poisoned) {
            return;
        }
        let Position { segment, offset: from } = self.kept;
        let cut = Cut { segment, from, to: self.end.offset };
        (self.end, self.next_lseq) = (self.kept, self.kept_lseq);
        (self.closed, self.poisoned) = (false, false);
        self.owed.get_or_insert_default().cut = Some(cut);
        if let Err(error) = self.pay() {
            tracing::warn!(%error, "what could not be made durable is cut off before the next append");
        }
    }
}

/// Cuts off a torn tail for good.
fn cut_off(files: &Files, cut: &Cut) -> Result<(), AppendError> {
    files
        .file(cut.segment)
        .and_then(|handle| handle.set_len(cut.from).and_then(|()| handle.sync()))
        .map_err(|source| sync_error(files, cut.segment, source))
}

/// Makes a segment with its header and first record, durably.
pub(crate) fn create(
    files: &Files,
    segment: u32,
    first_lseq: Lseq,
    previous: Position,
    incarnation: [u8; 16],
) -> Result<(Arc<dyn DiskFile>, Position), AppendError> {
    let mut bytes = Header { segment, joined: 0, first_lseq, nonce: files.nonce, rewrites: 0 }.encode();
    let mut record = vec![0; HEAD_LEN];
    Record::Incarnation(incarnation).encode_into(&mut record)?;
    seal(&files.nonce, Position { segment, offset: HEADER_LEN }, previous, first_lseq, &mut record);
    bytes.append(&mut record);

    let failed = |source| write_error(files, segment, source);
    let file = files.disk.create(&file_name(segment)).map_err(failed)?;
    file.write_at(0, &bytes).map_err(failed)?;
    let synced = file.sync().and_then(|()| files.disk.sync_names());
    synced.map_err(|source| sync_error(files, segment, source))?;
    Ok((file, Position { segment, offset: bytes.len() as u64 }))
}

pub(crate) fn write_error(files: &Files, segment: u32, source: io::Error) -> AppendError {
    match is_full(&source) {
        true => AppendError::DiskFull { folder: files.disk.path("") },
        false => AppendError::Write { file: files.path(segment), source },
    }
}

pub(crate) fn sync_error(files: &Files, segment: u32, source: io::Error) -> AppendError {
    match is_full(&source) {
        true => AppendError::DiskFull { folder: files.disk.path("") },
        false => AppendError::Sync { file: files.path(segment), source },
    }
}
