use crate::error::ImportError;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::path::Path;

/// The file that is being read.
pub(crate) struct Source<'a> {
    pub path: &'a Path,
    pub file: File,
    /// Bytes.
    pub length: u64,
    /// True if its content is packed.
    pub gzip: bool,
}

/// What is in a file, unpacked.
pub(crate) enum Content {
    Plain(File),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Read for Content {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Content::Plain(file) => file.read(buf),
            Content::Gzip(decoder) => decoder.read(buf),
        }
    }
}

impl<'a> Source<'a> {
    pub fn open(path: &'a Path) -> Result<Self, ImportError> {
        let unreadable = |source| ImportError::Read { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut magic = Vec::new();
        file.by_ref().take(2).read_to_end(&mut magic).map_err(unreadable)?;
        Ok(Source { path, file, length, gzip: magic == [0x1f, 0x8b] })
    }

    /// The content from its start. Only one can be read at a time: they share the file's cursor.
    pub fn content(&self) -> io::Result<Content> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        if !self.gzip {
            return Ok(Content::Plain(file));
        }
        let packed = BufReader::with_capacity(256 << 10, file);
        Ok(Content::Gzip(Box::new(MultiGzDecoder::new(packed))))
    }

    /// The content from its start, without a byte order mark.
    pub fn text(&self) -> io::Result<Content> {
        let mut content = self.content()?;
        let mut mark = Vec::new();
        content.by_ref().take(3).read_to_end(&mut mark)?;
        if mark == b"\xef\xbb\xbf" { Ok(content) } else { self.content() }
    }

    /// Bytes of the file that were read of its content.
    pub fn position(&self) -> u64 {
        (&self.file).stream_position().map_or(0, |position| position.min(self.length))
    }

    pub fn unreadable(&self, source: io::Error) -> ImportError {
        let path = self.path.to_owned();
        match source.kind() {
            ErrorKind::UnexpectedEof if self.gzip => self.truncated("its gzip data"),
            ErrorKind::InvalidData | ErrorKind::InvalidInput if self.gzip => ImportError::Packed { path },
            _ => ImportError::Read { path, source },
        }
    }

    pub fn truncated(&self, within: &'static str) -> ImportError {
        ImportError::Truncated { path: self.path.to_owned(), length: self.length, within }
    }

    pub fn unsupported(&self, feature: impl Into<String>) -> ImportError {
        ImportError::Unsupported { path: self.path.to_owned(), feature: feature.into() }
    }
}
