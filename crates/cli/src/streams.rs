//! Where the program writes: copies of what it was started with.
//!
//! The engine of derived data prints on stdout, and a backtrace on stderr, where a file is shorter than it was when it was opened. Nobody is
//! to take that for a result, or for a line of ours. So what everybody in the process writes to leads nowhere, and the program has its own.

use console::Term;
use rustix::stdio;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

struct Streams {
    out: File,
    /// Several threads write to it.
    err: Mutex<File>,
}

static STREAMS: OnceLock<Streams> = OnceLock::new();

/// To be called first, once.
pub fn keep() -> io::Result<()> {
    let copy = |stream: BorrowedFd<'_>| stream.try_clone_to_owned().map(File::from);
    let kept = Streams { out: copy(stdio::stdout())?, err: Mutex::new(copy(stdio::stderr())?) };
    let nowhere = File::options().write(true).open("/dev/null")?;
    stdio::dup2_stdout(&nowhere)?;
    stdio::dup2_stderr(&nowhere)?;
    // There are none before.
    let _ = STREAMS.set(kept);
    Ok(())
}

fn streams() -> io::Result<&'static Streams> {
    STREAMS.get().ok_or_else(|| io::ErrorKind::NotConnected.into())
}

fn with_err<T>(write: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
    write(&mut streams()?.err.lock().unwrap_or_else(PoisonError::into_inner))
}

/// The program's stdout, not buffered.
pub struct Out;

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&streams()?.out).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to the program's stderr, whole, whoever else writes to it.
pub fn tell(bytes: &[u8]) -> io::Result<()> {
    with_err(|err| err.write_all(bytes))
}

/// The stream that a path such as `/dev/stdout` leads to; none if it leads elsewhere.
pub fn named(path: &Path) -> io::Result<Option<File>> {
    let is = |number: &str| {
        let names = ["/dev/fd", "/proc/self/fd"].map(|folder| Path::new(folder).join(number));
        names.iter().any(|name| path == name || fs::read_link(path).is_ok_and(|leads| leads == *name))
    };
    match (is("1"), is("2")) {
        (true, _) => streams()?.out.try_clone().map(Some),
        (_, true) => with_err(|err| err.try_clone()).map(Some),
        _ => Ok(None),
    }
}

/// True if a person looks at stdout.
pub fn out_is_terminal() -> bool {
    streams().is_ok_and(|streams| streams.out.is_terminal())
}

/// Stderr, if a person looks at it.
pub fn err_terminal() -> Option<Term> {
    let (read, write) = with_err(|err| Ok((err.try_clone()?, err.try_clone()?))).ok()?;
    write.is_terminal().then(|| Term::read_write_pair(read, write))
}
