//! Files of trees, beside the engine: `files/<slot of the tree>/<group>-<number>`.
//!
//! The engine's rows say which of them count. So a file is on the disk before rows can last that speak of it, and goes after those last that do not.

use super::failed;
use crate::error::is_too_many_files;
use crate::{FileId, NewFile, StoreError, StoredFile};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

/// The folder of the files of all trees.
pub(super) fn files_dir(store: &Path) -> PathBuf {
    store.join("files")
}

/// The system refused something: it may be for want of room, or of descriptors.
fn full(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::DiskFull { path: path.to_owned() }
        }
        _ if is_too_many_files(&source) => StoreError::TooManyFiles { path: path.to_owned() },
        _ => StoreError::Io { what, source },
    }
}

/// What the next flush is to do about files.
#[derive(Default)]
pub(super) struct Waiting(Mutex<List>);

#[derive(Default)]
struct List {
    /// Finished, and perhaps not on the disk yet.
    fresh: Vec<Arc<OnDisk>>,
    /// To be removed once rows last that do not speak of them.
    gone: Vec<PathBuf>,
    /// A flush is under way: what is finished meanwhile sees to itself.
    flushing: bool,
    /// Those that somebody reads.
    read: Vec<Weak<OnDisk>>,
}

impl Waiting {
    fn list(&self) -> std::sync::MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, file: &Arc<OnDisk>) -> io::Result<()> {
        let mut list = self.list();
        if list.flushing {
            drop(list);
            return file.sync();
        }
        list.fresh.push(file.clone());
        Ok(())
    }

    /// True if there is nothing to do but for rows.
    pub fn is_idle(&self) -> bool {
        let list = self.list();
        list.fresh.is_empty() && list.gone.is_empty()
    }

    /// Somebody is going to read it.
    fn reads(&self, file: &Arc<OnDisk>) {
        let mut list = self.list();
        if list.read.len() == list.read.capacity() {
            list.read.retain(|file| file.strong_count() > 0);
        }
        list.read.push(Arc::downgrade(file));
    }

    /// Closes those that can be opened again.
    pub fn sleep(&self) {
        let list = self.list();
        let is_fresh = |file: &Arc<OnDisk>| list.fresh.iter().any(|fresh| Arc::ptr_eq(fresh, file));
        let files = list.read.iter().filter_map(Weak::upgrade).filter(|file| !is_fresh(file));
        files.for_each(|file| file.sleep());
    }

    pub fn remove(&self, files: impl IntoIterator<Item = PathBuf>) {
        self.list().gone.extend(files);
    }

    /// Flushes the engine: after all files that its rows may speak of, and before those go that they speak of no more.
    pub fn around<E>(
        &self,
        failed: impl FnOnce(io::Error) -> E,
        flush: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let (fresh, gone) = {
            let mut list = self.list();
            list.flushing = true;
            (std::mem::take(&mut list.fresh), std::mem::take(&mut list.gone))
        };
        let synced = sync_all(&fresh);
        let is_synced = synced.is_ok();
        let flushed = synced.map_err(failed).and_then(|()| flush());
        let mut list = self.list();
        list.flushing = false;
        if flushed.is_err() {
            list.gone.extend(gone);
            list.fresh.extend(if is_synced { Vec::new() } else { fresh });
            return flushed;
        }
        let read: Vec<Arc<OnDisk>> = list.read.iter().filter_map(Weak::upgrade).collect();
        drop(list);
        for path in gone {
            // Whoever reads it goes on reading it.
            if let Some(error) =
                read.iter().filter(|file| file.path == path).find_map(|file| file.keep().err())
            {
                tracing::warn!(path = %path.display(), %error, "a file that is of no use any more stays");
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a file that is of no use any more stays");
                }
                _ => {}
            }
        }
        flushed
    }
}

fn sync_all(files: &[Arc<OnDisk>]) -> io::Result<()> {
    let mut folders: Vec<&Path> = Vec::new();
    for file in files {
        file.file()?.sync_data()?;
        folders.extend(file.path.parent());
    }
    folders.sort_unstable();
    folders.dedup();
    folders.into_iter().try_for_each(|folder| File::open(folder)?.sync_all())
}

/// The files of one tree.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub fn new(store: &Path, slot: u32) -> Folder {
        Folder(files_dir(store).join(format!("{slot:08}")))
    }

    pub fn path(&self, id: FileId) -> PathBuf {
        self.0.join(format!("{:04x}-{:016x}", id.group, id.number))
    }

    pub fn create(&self, id: FileId, waiting: Arc<Waiting>) -> Result<Box<dyn NewFile>, StoreError> {
        let path = self.path(id);
        let create = || {
            fs::create_dir_all(&self.0)?;
            File::options().read(true).write(true).create(true).truncate(true).open(&path)
        };
        let file = create().map_err(full(&path, "make a file"))?;
        Ok(Box::new(Writing { file: Some(file), buffer: Vec::with_capacity(BUFFER), len: 0, path, waiting }))
    }

    pub fn open(&self, id: FileId, waiting: &Waiting) -> Result<Option<Arc<dyn StoredFile>>, StoreError> {
        let path = self.path(id);
        let open = || {
            let file = File::open(&path)?;
            let len = file.metadata()?.len();
            Ok(OnDisk::new(file, path, len))
        };
        match open() {
            Ok(file) => {
                waiting.reads(&file);
                Ok(Some(file))
            }
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(full(&self.0, "open a file")(error)),
        }
    }

    /// All that there are.
    pub fn all(&self) -> Result<Vec<FileId>, StoreError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed("list files"))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed("list files"))?.file_name();
            ids.extend(name.to_str().and_then(parse));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

fn parse(name: &str) -> Option<FileId> {
    let (group, number) = name.split_once('-')?;
    Some(FileId {
        group: u16::from_str_radix(group, 16).ok()?,
        number: u64::from_str_radix(number, 16).ok()?,
    })
}

/// Bytes gathered before they are written.
const BUFFER: usize = 256 << 10;

struct Writing {
    file: Option<File>,
    buffer: Vec<u8>,
    len: u64,
    path: PathBuf,
    waiting: Arc<Waiting>,
}

impl Writing {
    fn spill(&mut self) -> Result<(), StoreError> {
        let written = self.file.as_mut().map_or(Ok(()), |file| file.write_all(&self.buffer));
        written.map_err(full(&self.path, "write a file"))?;
        self.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl NewFile for Writing {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.spill() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<Arc<dyn StoredFile>, StoreError> {
        self.spill()?;
        let Some(file) = self.file.take() else { return Err(StoreError::Short) };
        let file = OnDisk::new(file, self.path.clone(), self.len);
        self.waiting.reads(&file);
        self.waiting.add(&file).map_err(full(&self.path, "write a file"))?;
        Ok(file)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // Finished files are somebody else's.
        if self.file.take().is_some() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

struct OnDisk {
    open: RwLock<Open>,
    path: PathBuf,
    len: u64,
}

enum Open {
    Asleep,
    File(Arc<File>),
    /// Its name may be gone, or another's.
    Kept(Arc<File>),
}

impl OnDisk {
    fn new(file: File, path: PathBuf, len: u64) -> Arc<OnDisk> {
        Arc::new(OnDisk { open: RwLock::new(Open::File(Arc::new(file))), path, len })
    }

    fn file(&self) -> io::Result<Arc<File>> {
        if let Open::File(file) | Open::Kept(file) =
            &*self.open.read().unwrap_or_else(PoisonError::into_inner)
        {
            return Ok(file.clone());
        }
        self.wake(Open::File)
    }

    /// Opens it if it is not open.
    fn wake(&self, state: impl FnOnce(Arc<File>) -> Open) -> io::Result<Arc<File>> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let file = match &*open {
            Open::Kept(file) => return Ok(file.clone()),
            Open::File(file) => file.clone(),
            Open::Asleep => Arc::new(File::open(&self.path)?),
        };
        *open = state(file.clone());
        Ok(file)
    }

    /// Opens it for good.
    fn keep(&self) -> io::Result<()> {
        self.wake(Open::Kept).map(drop)
    }

    fn sleep(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Open::File(_) = *open {
            *open = Open::Asleep;
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.file()?.sync_data()?;
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

impl StoredFile for OnDisk {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, at: u64, len: usize) -> Result<Bytes, StoreError> {
        if at.checked_add(len as u64).is_none_or(|end| end > self.len) {
            return Err(StoreError::Short);
        }
        let mut bytes = vec![0; len];
        let file = self.file().map_err(full(&self.path, "open a file"))?;
        file.read_exact_at(&mut bytes, at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => StoreError::Short,
            _ => failed("read a file")(error),
        })?;
        Ok(bytes.into())
    }
}
