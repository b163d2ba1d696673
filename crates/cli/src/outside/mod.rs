//! What a command has of the world outside of the database: streams, files, signals. It is always that of the process that was called, whichever
//! process carries the command out: this one ([`Process`]), or the node on the folder ([`crate::beside`]).

mod bar;
mod process;
mod replace;
mod signals;
mod without_stdin;

pub use process::Process;
pub use without_stdin::WithoutStdin;

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;

/// The streams, files and signals of the process that was called. May be used from any thread; what waits blocks, so commands run on a thread of
/// their own.
pub trait Outside: Send + Sync {
    /// Which streams lead to a person.
    fn terminals(&self) -> Terminals;
    /// Writes all of it to stdout. An error may also be that of an earlier write.
    fn out(&self, bytes: &[u8]) -> io::Result<()>;
    /// Waits until all that went to stdout was taken.
    fn flush(&self) -> io::Result<()>;
    /// Writes lines to stderr in one piece. If nobody takes them, nobody is left to be told.
    fn err(&self, lines: &[u8]);
    /// The same without waiting for whoever reads them: for threads that others wait for.
    fn err_soon(&self, lines: &[u8]);
    /// Draws a bar, if a person looks at stderr.
    fn bar(&self, shown: &Shown);
    /// Prints a question for people on stderr, and reads a line of the answer from stdin.
    fn ask(&self, question: &str) -> io::Result<String>;
    /// A file to be read; stdin for `-`.
    fn open(&self, path: &Path) -> io::Result<Source>;
    /// A file that is to take the place of the one at this path, once all of it is there.
    fn create(&self, path: &Path) -> io::Result<NewFile>;
    /// From now on SIGINT and SIGTERM do not end the process by themselves, but what comes of this. The second one does.
    fn interrupt(&self) -> io::Result<Interrupt>;
}

/// How far something has come, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Shown {
    pub task: String,
    pub done: u64,
    /// How much there is to do; none if nobody knows.
    pub total: Option<u64>,
    /// What else is to be said of it.
    pub more: String,
}

impl Shown {
    /// True if there is nothing left to do.
    pub fn is_over(&self) -> bool {
        self.total.is_some_and(|total| self.done >= total)
    }
}

/// Which streams of a process lead to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Terminals {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
}

/// Is done when the process was asked to end.
pub type Interrupt = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something to be read.
pub struct Source {
    pub reader: Box<dyn Read + Send>,
    /// Bytes, if it is a file.
    pub length: u64,
    /// Where it is, if it is a file that this process can read by itself, more than once.
    pub file: Option<PathBuf>,
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buf)
    }
}

/// A file that is being written. Unless it is kept it leaves nothing.
pub struct NewFile {
    pub writer: Box<dyn Write + Send>,
    pub keep: Keep,
}

/// Gives a new file its name, once all of it was written.
pub type Keep = Box<dyn FnOnce() -> io::Result<()> + Send>;
