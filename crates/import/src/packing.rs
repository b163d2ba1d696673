//! Files that are packed, unpacked as they are read.

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

/// Memory that an `.xz` file may ask for, in KiB: as much as the highest level of its program needs, four times over. Zstandard's reader has
/// a limit of its own, of 128 MiB.
const XZ_MEMORY: u32 = 256 << 10;

/// How a file is packed, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Packing {
    /// Bytes that tell it.
    pub const MAGIC: u64 = 6;

    pub fn of(start: &[u8]) -> Option<Packing> {
        match start {
            [0x1f, 0x8b, ..] => Some(Packing::Gzip),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Packing::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Packing::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Packing::Zstd),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Bzip2 => "bzip2",
            Packing::Xz => "xz",
            Packing::Zstd => "Zstandard",
        }
    }
}

/// What is in a file, unpacked.
///
/// An error of the kind `UnexpectedEof` says that packed data ends early, `InvalidData` that it does not unpack, `OutOfMemory` that it needs too much for it;
/// all others are the system's.
pub(crate) enum Content {
    Plain(File),
    Gzip(Box<MultiGzDecoder<Packed>>),
    Bzip2(Box<MultiBzDecoder<Packed>>),
    Xz(Box<XzReader<Packed>>),
    Zstd(Box<Zstd>),
}

impl Content {
    /// The content of a file, whose cursor is at its start.
    pub fn new(file: File, packing: Option<Packing>) -> Content {
        let packed = |file| Packed {
            file: BufReader::with_capacity(256 << 10, file),
            is_starved: false,
            has_failed: false,
        };
        match packing {
            None => Content::Plain(file),
            Some(Packing::Gzip) => Content::Gzip(Box::new(MultiGzDecoder::new(packed(file)))),
            Some(Packing::Bzip2) => Content::Bzip2(Box::new(MultiBzDecoder::new(packed(file)))),
            Some(Packing::Xz) => {
                Content::Xz(Box::new(XzReader::new_mem_limit(packed(file), true, XZ_MEMORY)))
            }
            Some(Packing::Zstd) => {
                Content::Zstd(Box::new(Zstd { source: packed(file), decoder: FrameDecoder::new() }))
            }
        }
    }

    fn packed(&self) -> Option<&Packed> {
        match self {
            Content::Plain(_) => None,
            Content::Gzip(decoder) => Some(decoder.get_ref()),
            Content::Bzip2(decoder) => Some(decoder.get_ref()),
            Content::Xz(decoder) => Some(decoder.inner()),
            Content::Zstd(decoder) => Some(&decoder.source),
        }
    }
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Content::Plain(file) => return file.read(buf),
            Content::Gzip(decoder) => decoder.read(buf),
            Content::Bzip2(decoder) => decoder.read(buf),
            Content::Xz(decoder) => decoder.read(buf),
            Content::Zstd(decoder) => decoder.read(buf),
        };
        read.map_err(|error| match self.packed() {
            Some(Packed { has_failed: true, .. }) => error,
            _ if error.kind() == ErrorKind::OutOfMemory => error,
            Some(Packed { is_starved: true, .. }) => ErrorKind::UnexpectedEof.into(),
            _ => ErrorKind::InvalidData.into(),
        })
    }
}

/// A packed file. Knows whether it was read to its end, and whether the system could not read it.
pub(crate) struct Packed {
    file: BufReader<File>,
    is_starved: bool,
    has_failed: bool,
}

impl Read for Packed {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buf);
        self.has_failed |= read.is_err();
        self.is_starved |= matches!(read, Ok(0)) && !buf.is_empty();
        read
    }
}

impl BufRead for Packed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let filled = self.file.fill_buf();
        self.has_failed |= filled.is_err();
        self.is_starved |= matches!(filled, Ok([]));
        filled
    }

    fn consume(&mut self, amount: usize) {
        self.file.consume(amount);
    }
}

/// Zstandard's frames, one after the other, each under its checksum if it has one.
pub(crate) struct Zstd {
    source: Packed,
    decoder: FrameDecoder,
}

impl Read for Zstd {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 {
            if !self.decoder.is_finished() {
                let some = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, some).map_err(io::Error::other)?;
            } else if !self.next_frame()? {
                return Ok(0);
            }
        }
        self.decoder.read(buf)
    }
}

impl Zstd {
    /// Goes on to the next frame; false at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        let written = self.decoder.get_checksum_from_data();
        if written.is_some() && written != self.decoder.get_calculated_checksum() {
            return Err(ErrorKind::InvalidData.into());
        }
        if self.source.fill_buf()?.is_empty() {
            return Ok(false);
        }
        match self.decoder.reset(&mut self.source) {
            Ok(()) => Ok(true),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                let passed = io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                if passed == u64::from(length) { Ok(true) } else { Err(ErrorKind::UnexpectedEof.into()) }
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }
}
