//! Ways and relations, until all positions are known.

use super::reader::Place;
use crate::osm::Rank;
use crate::sort::part;
use crate::spool::decode_body;
use kappadb_geo::{Body, Element, encode};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

/// Length of the body u32 | id i64 | line u64 | offset u64 | version u32 | sequence u64 | is an edit u8, then the body.
const HEAD: usize = 41;

/// Takes elements.
pub(super) struct Waiting {
    file: BufWriter<File>,
    bytes: u64,
}

/// An element that has waited.
pub(super) struct Waited {
    pub id: i64,
    pub place: Place,
    pub rank: Rank,
    pub element: Element,
    pub is_edit: bool,
}

impl Waiting {
    pub fn new(dir: &Path) -> io::Result<Self> {
        Ok(Waiting { file: BufWriter::with_capacity(1 << 18, tempfile::tempfile_in(dir)?), bytes: 0 })
    }

    pub fn push(&mut self, waited: Waited) -> io::Result<()> {
        let body = encode(&Body::Osm(waited.element));
        let len = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.file.write_all(&len.to_le_bytes())?;
        self.file.write_all(&waited.id.to_le_bytes())?;
        self.file.write_all(&waited.place.line.to_le_bytes())?;
        self.file.write_all(&waited.place.offset.to_le_bytes())?;
        self.file.write_all(&waited.rank.version.to_le_bytes())?;
        self.file.write_all(&waited.rank.sequence.to_le_bytes())?;
        self.file.write_all(&[u8::from(waited.is_edit)])?;
        self.file.write_all(&body)?;
        self.bytes += (HEAD + body.len()) as u64;
        Ok(())
    }

    pub fn finish(self) -> io::Result<Waiters> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Waiters { file, bytes: self.bytes })
    }
}

/// Elements that have waited; they may be gone through again.
pub(super) struct Waiters {
    file: File,
    bytes: u64,
}

impl Waiters {
    /// In the order in which they came, each with how much of all was gone through after it, of 1.0.
    pub fn iter(&mut self) -> io::Result<impl Iterator<Item = io::Result<(Waited, f64)>> + use<'_>> {
        self.file.rewind()?;
        let (mut reader, total, mut done) = (BufReader::with_capacity(1 << 18, &self.file), self.bytes, 0);
        Ok(std::iter::from_fn(move || {
            (done < total).then(|| {
                let (waited, len) = next(&mut reader)?;
                done += len;
                #[expect(clippy::cast_precision_loss, reason = "a share, for people to see")]
                let share = done as f64 / total as f64;
                Ok((waited, share))
            })
        }))
    }
}

fn next(reader: &mut impl Read) -> io::Result<(Waited, u64)> {
    let mut head = [0; HEAD];
    reader.read_exact(&mut head)?;
    let len = u64::from(u32::from_le_bytes(part(&head, 0)));
    let mut body = Vec::new();
    reader.take(len).read_to_end(&mut body)?;
    let Body::Osm(element) = decode_body(&body)? else { return Err(io::ErrorKind::InvalidData.into()) };
    let rank =
        Rank { version: u32::from_le_bytes(part(&head, 28)), sequence: u64::from_le_bytes(part(&head, 32)) };
    let id = i64::from_le_bytes(part(&head, 4));
    let place =
        Place { line: u64::from_le_bytes(part(&head, 12)), offset: u64::from_le_bytes(part(&head, 20)) };
    let is_edit = part(&head, 40) == [1];
    Ok((Waited { id, place, rank, element, is_edit }, HEAD as u64 + len))
}
