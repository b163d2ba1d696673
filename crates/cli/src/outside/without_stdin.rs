//! The streams, files and signals of this process as the commands of a batch have them: what comes on stdin is the commands.

use super::{Interrupt, NewFile, Outside, Process, Shown, Source, Terminals};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The same process, but nothing is to be had from its stdin.
pub struct WithoutStdin(pub Arc<Process>);

fn taken<T>() -> io::Result<T> {
    Err(io::Error::other("what comes on stdin are the commands of the batch"))
}

impl Outside for WithoutStdin {
    fn terminals(&self) -> Terminals {
        Terminals { stdin: false, ..self.0.terminals() }
    }

    fn out(&self, bytes: &[u8]) -> io::Result<()> {
        self.0.out(bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }

    fn err(&self, lines: &[u8]) {
        self.0.err(lines);
    }

    fn err_soon(&self, lines: &[u8]) {
        self.0.err_soon(lines);
    }

    fn bar(&self, shown: &Shown) {
        self.0.bar(shown);
    }

    fn ask(&self, _question: &str) -> io::Result<String> {
        taken()
    }

    fn open(&self, path: &Path) -> io::Result<Source> {
        if path == Path::new("-") { taken() } else { self.0.open(path) }
    }

    fn create(&self, path: &Path) -> io::Result<NewFile> {
        self.0.create(path)
    }

    fn interrupt(&self) -> io::Result<Interrupt> {
        self.0.interrupt()
    }
}
