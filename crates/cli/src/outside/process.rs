//! The streams, files and signals of this process.
//!
//! It writes to copies of the streams that it was started with. The engine of derived data prints on stdout, and a backtrace on stderr, where a file
//! is shorter than it was when it was opened. Nobody is to take that for a result, or for a line of ours. So what everybody in the process writes to
//! leads nowhere, and the program has its own.

use super::bar::Bar;
use super::{Interrupt, NewFile, Outside, Shown, Source, Terminals, replace, signals};
use console::Term;
use rustix::stdio;
use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Bytes of an answer that are looked at.
const MAX_ANSWER: u64 = 1024;

/// This process, as it was started.
pub struct Process {
    out: File,
    /// Several threads write to it.
    err: Mutex<File>,
    bar: Option<Bar>,
    terminals: Terminals,
}

impl Process {
    /// To be called first, once.
    pub fn begin() -> io::Result<Process> {
        let copy = |stream: BorrowedFd<'_>| stream.try_clone_to_owned().map(File::from);
        let (out, err) = (copy(stdio::stdout())?, copy(stdio::stderr())?);
        let nowhere = File::options().write(true).open("/dev/null")?;
        stdio::dup2_stdout(&nowhere)?;
        stdio::dup2_stderr(&nowhere)?;
        let terminals = Terminals {
            stdin: io::stdin().is_terminal(),
            stdout: out.is_terminal(),
            stderr: err.is_terminal(),
        };
        let bar = match terminals.stderr {
            true => Some(Bar::new(Term::read_write_pair(err.try_clone()?, err.try_clone()?))),
            false => None,
        };
        Ok(Process { out, err: Mutex::new(err), bar, terminals })
    }

    fn with_err<T>(&self, write: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        write(&mut self.err.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Outside for Process {
    fn terminals(&self) -> Terminals {
        self.terminals
    }

    fn out(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.out).write_all(bytes)
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn err(&self, lines: &[u8]) {
        let _ = self.with_err(|err| err.write_all(lines));
    }

    fn err_soon(&self, lines: &[u8]) {
        self.err(lines);
    }

    fn bar(&self, shown: &Shown) {
        self.bar.iter().for_each(|bar| bar.show(shown));
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        self.err(question.as_bytes());
        let mut answer = String::new();
        io::stdin().lock().take(MAX_ANSWER).read_line(&mut answer)?;
        Ok(answer)
    }

    fn open(&self, path: &Path) -> io::Result<Source> {
        if path == Path::new("-") {
            return Ok(Source { reader: Box::new(io::stdin()), length: 0, file: None });
        }
        let file = File::open(path)?;
        let found = file.metadata()?;
        let (length, again) = if found.is_file() { (found.len(), Some(path.to_owned())) } else { (0, None) };
        Ok(Source { reader: Box::new(file), length, file: again })
    }

    fn create(&self, path: &Path) -> io::Result<NewFile> {
        match replace::stream(path) {
            Some(1) => Ok(replace::as_it_is(self.out.try_clone()?)),
            Some(_) => Ok(replace::as_it_is(self.with_err(|err| err.try_clone())?)),
            None => replace::create(path),
        }
    }

    fn interrupt(&self) -> io::Result<Interrupt> {
        signals::interrupt()
    }
}
