//! The file's frame: `length of the header u32 (big-endian) | blob header | blob`, over and over.

use super::wire::Fields;
use crate::error::{Damage, ImportError};
use crate::format::{HISTORY, ONE_TIME, TO_PLAIN};
use crate::source::Source;
use flate2::read::ZlibDecoder;
use ruzstd::decoding::StreamingDecoder;
use std::io::{BufReader, Read, Seek, SeekFrom};

/// Limits of the format.
const MAX_HEADER: u64 = 64 << 10;
const MAX_BLOB: u64 = 32 << 20;

/// A file that is read blob by blob.
pub(super) struct PbfFile {
    pub source: Source,
    reader: BufReader<std::fs::File>,
    offset: u64,
}

/// A blob's content, unpacked.
pub(super) enum Blob {
    Header(Vec<u8>),
    Data(Vec<u8>),
    /// To be ignored, says the format.
    Other,
}

impl PbfFile {
    pub fn new(source: Source) -> Result<Self, ImportError> {
        let mut file = source.file.try_clone().map_err(|e| source.unreadable(e))?;
        file.rewind().map_err(|e| source.unreadable(e))?;
        Ok(PbfFile { source, reader: BufReader::with_capacity(1 << 20, file), offset: 0 })
    }

    /// Where the next blob starts.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Goes to a blob.
    pub fn seek(&mut self, offset: u64) -> Result<(), ImportError> {
        self.reader.seek(SeekFrom::Start(offset)).map_err(|e| self.source.unreadable(e))?;
        self.offset = offset;
        Ok(())
    }

    /// Names the blob at `offset` in an error.
    pub fn damaged(&self, offset: u64, damage: Damage) -> ImportError {
        ImportError::Damaged { path: self.source.path.clone(), offset, damage }
    }

    /// Refuses a file that needs more of its reader than this one can do.
    pub fn check_header(&self, offset: u64, header: &[u8]) -> Result<(), ImportError> {
        for field in Fields(header) {
            if let (4, value) = field.map_err(|e| self.damaged(offset, e))? {
                let feature = value.bytes(4).map_err(|e| self.damaged(offset, e))?;
                if !matches!(feature, b"OsmSchema-V0.6" | b"DenseNodes") {
                    return Err(match feature {
                        b"HistoricalInformation" => self.source.unsupported(HISTORY, ONE_TIME),
                        other => self.source.unsupported(String::from_utf8_lossy(other), TO_PLAIN),
                    });
                }
            }
        }
        Ok(())
    }

    /// The next blob, or none at the end of the file.
    pub fn next(&mut self) -> Result<Option<Blob>, ImportError> {
        let start = self.offset;
        if start >= self.source.length {
            return Ok(None);
        }
        let mut header_len = [0; 4];
        header_len.copy_from_slice(&self.take(4, "the length of a blob's header")?);
        let header_len = u64::from(u32::from_be_bytes(header_len));
        if header_len > MAX_HEADER {
            return Err(self.damaged(start, Damage::Size));
        }
        let header = self.take(header_len, "a blob's header")?;
        let (kind, size) = blob_header(&header).map_err(|e| self.damaged(start, e))?;
        if size > MAX_BLOB {
            return Err(self.damaged(start, Damage::Size));
        }
        let blob = self.take(size, "a blob")?;
        match kind {
            b"OSMHeader" => self.unpack(start, &blob).map(|bytes| Some(Blob::Header(bytes))),
            b"OSMData" => self.unpack(start, &blob).map(|bytes| Some(Blob::Data(bytes))),
            _ => Ok(Some(Blob::Other)),
        }
    }

    fn take(&mut self, len: u64, within: &'static str) -> Result<Vec<u8>, ImportError> {
        let mut bytes = Vec::new();
        let left = self.source.length.saturating_sub(self.offset);
        if len <= left {
            self.reader.by_ref().take(len).read_to_end(&mut bytes).map_err(|e| self.source.unreadable(e))?;
        }
        if bytes.len() as u64 != len {
            return Err(self.source.truncated(within));
        }
        self.offset += len;
        Ok(bytes)
    }

    fn unpack(&self, start: u64, blob: &[u8]) -> Result<Vec<u8>, ImportError> {
        let (mut raw, mut packed, mut raw_size, mut other) = (None, None, None, None);
        for field in Fields(blob) {
            let read = || {
                let (field, value) = field?;
                match field {
                    1 => raw = Some(value.bytes(field)?),
                    2 => raw_size = Some(value.number(field)?),
                    3 => packed = Some((Packing::Zlib, value.bytes(field)?)),
                    4 => other = Some("LZMA compression"),
                    5 => other = Some("bzip2 compression"),
                    6 => packed = Some((Packing::Lz4, value.bytes(field)?)),
                    7 => packed = Some((Packing::Zstd, value.bytes(field)?)),
                    _ => {}
                }
                Ok(())
            };
            read().map_err(|e| self.damaged(start, e))?;
        }
        match (raw, packed, other) {
            (Some(raw), ..) => Ok(raw.to_vec()),
            (_, Some((packing, bytes)), _) => {
                packing.unpack(bytes, raw_size).map_err(|e| self.damaged(start, e))
            }
            (.., Some(other)) => Err(self.source.unsupported(other, TO_PLAIN)),
            _ => Err(self.damaged(start, Damage::NoData)),
        }
    }
}

/// Its type and the size of what follows.
fn blob_header(header: &[u8]) -> Result<(&[u8], u64), Damage> {
    let (mut kind, mut size) = (None, None);
    for field in Fields(header) {
        match field? {
            (1, value) => kind = Some(value.bytes(1)?),
            (3, value) => size = Some(value.number(3)?),
            _ => {}
        }
    }
    kind.zip(size).ok_or(Damage::NoData)
}

/// How a blob is packed.
#[derive(Clone, Copy)]
enum Packing {
    Zlib,
    Lz4,
    Zstd,
}

impl Packing {
    /// The content, of `raw_size` bytes if that is said.
    fn unpack(self, bytes: &[u8], raw_size: Option<u64>) -> Result<Vec<u8>, Damage> {
        let out = match self {
            Packing::Zlib => limited(ZlibDecoder::new(bytes))?,
            Packing::Zstd => limited(StreamingDecoder::new(bytes).map_err(|_| Damage::Packed)?)?,
            Packing::Lz4 => {
                let size = raw_size.filter(|size| *size <= MAX_BLOB).ok_or(Damage::Size)?;
                let size = usize::try_from(size).map_err(|_| Damage::Size)?;
                lz4_flex::block::decompress(bytes, size).map_err(|_| Damage::Packed)?
            }
        };
        let len = out.len() as u64;
        if len > MAX_BLOB || raw_size.is_some_and(|size| size != len) { Err(Damage::Size) } else { Ok(out) }
    }
}

/// All of it, or a byte more than a blob may have.
fn limited(unpacked: impl Read) -> Result<Vec<u8>, Damage> {
    let mut out = Vec::new();
    unpacked.take(MAX_BLOB + 1).read_to_end(&mut out).map_err(|_| Damage::Packed)?;
    Ok(out)
}
