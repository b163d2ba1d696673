use crate::error::ImportError;
use crate::packing::{Content, Packing};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

/// The file that is being read.
pub(crate) struct Source {
    /// What to call it.
    pub path: PathBuf,
    pub file: File,
    /// Bytes.
    pub length: u64,
    packing: Option<Packing>,
}

impl Source {
    /// The file at `path`. What is no plain file (a pipe) is first copied to one in `spool_dir`, as it is read more than once.
    pub fn open(path: &Path, spool_dir: &Path) -> Result<Source, ImportError> {
        let unreadable = |source| ImportError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(unreadable)?;
        let is_file = file.metadata().map_err(unreadable)?.is_file();
        if is_file { Source::new(path, file) } else { Source::spool(path, file, spool_dir) }
    }

    /// What `reader` gives, copied to a temporary file.
    pub fn spool(name: &Path, mut reader: impl Read, spool_dir: &Path) -> Result<Source, ImportError> {
        let unspooled = |source| ImportError::Spool { dir: spool_dir.to_owned(), source };
        let unreadable = |source| ImportError::Read { path: name.to_owned(), source };
        let mut file = tempfile::tempfile_in(spool_dir).map_err(unspooled)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.map_err(unreadable)?,
            };
            let read = buffer.get(..read).unwrap_or_default();
            io::Write::write_all(&mut file, read).map_err(unspooled)?;
        }
        Source::new(name, file)
    }

    fn new(path: &Path, mut file: File) -> Result<Source, ImportError> {
        let path = path.to_owned();
        let mut start = Vec::new();
        let mut look = || {
            file.rewind()?;
            file.by_ref().take(Packing::MAGIC).read_to_end(&mut start)?;
            Ok(file.metadata()?.len())
        };
        match look() {
            Ok(length) => Ok(Source { path, length, packing: Packing::of(&start), file }),
            Err(source) => Err(ImportError::Read { path, source }),
        }
    }

    /// The same, as it is when it is unpacked.
    pub fn unpacked(self, spool_dir: &Path) -> Result<Source, ImportError> {
        if self.packing.is_none() {
            return Ok(self);
        }
        let content = self.content().map_err(|e| self.unreadable(e))?;
        Source::spool(&self.path, content, spool_dir).map_err(|error| match error {
            ImportError::Read { source, .. } => self.unreadable(source),
            other => other,
        })
    }

    /// The content from its start. Only one can be read at a time: they share the file's cursor.
    pub fn content(&self) -> io::Result<Content> {
        Ok(Content::new(self.rewound()?, self.packing))
    }

    /// The file as it is, from its start.
    pub fn rewound(&self) -> io::Result<File> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        Ok(file)
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
        let path = self.path.clone();
        match (self.packing, source.kind()) {
            (Some(_), ErrorKind::UnexpectedEof) => self.truncated("its packed data"),
            (Some(packing), ErrorKind::InvalidData) => ImportError::Packed { path, packing: packing.name() },
            (Some(packing), ErrorKind::OutOfMemory) => {
                let what = format!("more memory to unpack its {} data than is allowed", packing.name());
                self.unsupported(what, "pack it with a smaller dictionary")
            }
            _ => ImportError::Read { path, source },
        }
    }

    pub fn truncated(&self, within: &'static str) -> ImportError {
        ImportError::Truncated { path: self.path.clone(), length: self.length, within }
    }

    /// `instead` is what to do about it.
    pub fn unsupported(&self, feature: impl Into<String>, instead: &'static str) -> ImportError {
        ImportError::Unsupported { path: self.path.clone(), feature: feature.into(), instead }
    }
}
