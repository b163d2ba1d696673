//! The streams, files and signals of a caller, as a command that the node carries out has them.

use super::link::Link;
use super::wire::{Answer, Order, PIECE, Request, STDOUT};
use crate::outside::{Interrupt, NewFile, Outside, Shown, Source, Terminals};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bars are told of no more often.
const BARS: Duration = Duration::from_millis(50);

/// The process that called.
pub struct Remote {
    link: Arc<Link>,
    terminals: Terminals,
    bar: Mutex<Option<Instant>>,
}

impl Remote {
    pub fn new(link: Arc<Link>, terminals: Terminals) -> Remote {
        Remote { link, terminals, bar: Mutex::default() }
    }

    /// Asks for something that gives no more than that it is done.
    fn done(&self, request: Request) -> io::Result<()> {
        self.link.ask(request).map(drop)
    }
}

impl Outside for Remote {
    fn terminals(&self) -> Terminals {
        self.terminals
    }

    fn out(&self, bytes: &[u8]) -> io::Result<()> {
        self.link.write(STDOUT, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.done(Request::Flush)
    }

    fn err(&self, lines: &[u8]) {
        lines.chunks(PIECE).for_each(|piece| self.link.order(&Order::Tell(piece.to_vec())));
    }

    fn err_soon(&self, lines: &[u8]) {
        lines.chunks(PIECE).for_each(|piece| self.link.order_soon(&Order::Tell(piece.to_vec())));
    }

    fn bar(&self, shown: &Shown) {
        if !self.terminals.stderr {
            return;
        }
        let mut last = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_over() || last.is_none_or(|last| last.elapsed() >= BARS) {
            *last = Some(Instant::now());
            self.link.order_soon(&Order::Bar(shown.clone()));
        }
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        match self.link.ask(Request::Question(question.to_owned()))? {
            Answer::Text(text) => Ok(text),
            _ => Err(odd()),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Source> {
        let file = self.link.number();
        match self.link.ask(Request::Open { file, path: path.as_os_str().as_bytes().to_vec() })? {
            Answer::Open(length) => {
                let reader = Box::new(Reader(Handle { link: self.link.clone(), file }));
                Ok(Source { reader, length, file: None })
            }
            _ => Err(odd()),
        }
    }

    fn create(&self, path: &Path) -> io::Result<NewFile> {
        let file = self.link.number();
        self.done(Request::Create { file, path: path.as_os_str().as_bytes().to_vec() })?;
        let handle = Handle { link: self.link.clone(), file };
        let keep = move || handle.link.ask(Request::Keep(file)).map(drop);
        Ok(NewFile { writer: Box::new(Writer { link: self.link.clone(), file }), keep: Box::new(keep) })
    }

    fn interrupt(&self) -> io::Result<Interrupt> {
        let interrupted = self.link.interrupted();
        self.done(Request::Interrupt)?;
        Ok(Box::pin(interrupted))
    }
}

/// An answer to another question.
fn odd() -> io::Error {
    io::Error::other("the caller answered what it was not asked")
}

/// A file at the caller; closed when dropped.
struct Handle {
    link: Arc<Link>,
    file: u32,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.order_soon(&Order::Close(self.file));
    }
}

struct Reader(Handle);

impl Read for Reader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Handle { link, file } = &self.0;
        let most = u32::try_from(buf.len().min(PIECE)).unwrap_or(u32::MAX);
        let Answer::Bytes(bytes) = link.ask(Request::Read { file: *file, most })? else { return Err(odd()) };
        let room = buf.get_mut(..bytes.len()).ok_or_else(odd)?;
        room.copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// Whether all of it was written is said when the file is kept.
struct Writer {
    link: Arc<Link>,
    file: u32,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.link.write(self.file, bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
