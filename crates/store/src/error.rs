use crate::SealError;
use std::io;
use std::path::PathBuf;

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// What lies there cannot be opened: damaged, cut short, or of another format. Wipe it and rebuild.
    #[error("the store at {} cannot be opened: {source}", path.display())]
    Unreadable {
        /// The store's folder.
        path: PathBuf,
        /// What the engine found.
        source: io::Error,
    },
    /// What lies there is not what was last written. Wipe it and rebuild.
    #[error("the store at {} is not as it was left: {source}", path.display())]
    Altered {
        /// The store's folder.
        path: PathBuf,
        /// What differs.
        source: SealError,
    },
    /// There is too little room on the disk for the engine to work.
    #[error("the disk of {} is full", path.display())]
    DiskFull {
        /// The store's folder.
        path: PathBuf,
    },
    /// The process has as many files open as the system allows it. Nothing is the worse for it: tried again later, it may go.
    #[error("too many open files: this process may have no more, and the store at {} needs some; close something, or allow more (`ulimit -n`)", path.display())]
    TooManyFiles {
        /// The store's folder.
        path: PathBuf,
    },
    /// The folder is open already, in this process or in another.
    #[error("the store at {} is in use", path.display())]
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// The operating system or the engine refused an operation.
    #[error("store: {what}: {source}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// An earlier operation failed in a way that leaves the engine's state unknown. Nothing works until the store is
    /// opened again, which will find it [`StoreError::Altered`].
    #[error("the store failed earlier ({0}) and must be opened again")]
    Poisoned(String),
    /// A file of a tree ends before what was to be read of it.
    #[error("a file of the store is shorter than it should be")]
    Short,
    /// [`crate::Store::close`] was called.
    #[error("the store is closed")]
    Closed,
    /// The tree was dropped while this handle to it lived.
    #[error("the tree {0:?} was dropped")]
    Dropped(String),
    /// A [`crate::FaultPlan`] wanted this.
    #[error("injected failure of {0:?}")]
    Injected(crate::Call),
}

impl StoreError {
    /// True if only wiping and rebuilding helps.
    pub fn wants_rebuild(&self) -> bool {
        matches!(self, StoreError::Unreadable { .. } | StoreError::Altered { .. } | StoreError::Poisoned(_))
    }
}

/// True if the system says that there are too many open files, in the process or in all. The engine keeps of that no more than the words.
pub(crate) fn is_too_many_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let numbers = [Errno::MFILE.raw_os_error(), Errno::NFILE.raw_os_error()];
    let is_of = |number: &i32| {
        error.raw_os_error() == Some(*number) || error.to_string().contains(&format!("(os error {number})"))
    };
    numbers.iter().any(is_of)
}
