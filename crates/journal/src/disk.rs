//! The seam to the disk: a folder of files, in as few methods as the journal needs. It is where tests put faults in.

use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder of files.
pub trait Disk: Send + Sync {
    /// Names and lengths in bytes of the files in it, in any order.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Opens a file for reading and writing. Where writing is not allowed it is opened for reading, and writing fails.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a file, or empties the one that is there.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, in the place of the file that has it, if any. Whoever has that one open goes on reading it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names given, changed and taken away durable.
    fn sync_names(&self) -> io::Result<()>;
    /// Where a file lies, for messages; with no name, where the folder does.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file; closed when the last clone of its `Arc` is dropped.
pub trait DiskFile: Send + Sync {
    /// Fills `into` from `offset` on; less only at the end of the file. Returns the number of bytes read.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// True if there is nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        self.len().map(|len| len == 0)
    }
    /// Cuts the file off at `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// A real folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the folder, made (durably) if it is not there; its parent must be.
    pub(crate) fn open(path: &Path) -> io::Result<Folder> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                sync_folder(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
        Ok(Folder { path: path.to_owned() })
    }
}

/// For reading and writing. Not through links: a folder may come from somebody else, and they may lead anywhere.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            // A name that is not UTF-8 is foreign; what is shown of it matters to people only.
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len()))
        };
        fs::read_dir(&self.path)?.map(entry).collect()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        match options().open(self.path(name)) {
            Err(refusal) if is_forbidden(&refusal) => {
                Ok(Arc::new(ReadOnly { file: options().write(false).open(self.path(name))?, refusal }))
            }
            opened => Ok(Arc::new(opened?)),
        }
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(options().create(true).truncate(true).mode(0o600).open(self.path(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }
}

/// True if the system says that something may be read and not written.
pub(crate) fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// True if the system says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A file that may not be written, and what the system said when that was asked for.
struct ReadOnly {
    file: File,
    refusal: io::Error,
}

impl ReadOnly {
    fn refuse(&self) -> io::Result<()> {
        Err(self
            .refusal
            .raw_os_error()
            .map_or_else(|| self.refusal.kind().into(), io::Error::from_raw_os_error))
    }
}

impl DiskFile for ReadOnly {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        DiskFile::read_at(&self.file, offset, into)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        self.refuse()
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        DiskFile::len(&self.file)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        self.refuse()
    }
}

impl DiskFile for File {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }
}
