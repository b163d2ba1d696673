//! What an import reads: a file or a pipe, to its end or until the program is asked to end.

use crate::console::Console;
use kappadb::Progress;
use std::io::{self, BufRead, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// Bytes read at a time, and how many of these may wait.
const CHUNK: usize = 64 << 10;
const WAITING: usize = 4;
/// For how long nothing may come before that is said.
const TICK: Duration = Duration::from_millis(100);

/// A file, or stdin for `-`. Where nothing comes for a while, it says [`ErrorKind::TimedOut`] and can be read on.
pub struct Input {
    chunks: Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    read: usize,
    stopped: Stopped,
    console: Console,
    progress: Progress,
}

/// Whether the program was asked to end before the input did.
#[derive(Clone)]
pub struct Stopped(Arc<AtomicBool>);

impl Stopped {
    /// Tells that the import is not whole. True if so.
    pub fn tell(&self, console: &Console) -> bool {
        let stopped = self.is_so();
        if stopped {
            console.warn("stopped before the end of the input; what came until then is kept");
        }
        stopped
    }

    fn is_so(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// How far an import came that failed, and how it goes on.
pub fn progress(file: &Path, safe: &str) -> String {
    format!(
        "{}: the first {safe} are imported, and the same import run again goes on from there",
        file.display()
    )
}

impl Input {
    /// From now on SIGINT and SIGTERM are the end of the input.
    pub fn open(console: &Console, file: &Path) -> anyhow::Result<(Input, Stopped)> {
        let interrupt = console.interrupt()?;
        let source = console.open(file)?;
        let stopped = Stopped(Arc::new(AtomicBool::new(false)));
        let flag = stopped.clone();
        tokio::spawn(async move {
            interrupt.await;
            flag.0.store(true, Ordering::Relaxed);
        });
        let progress = Progress { task: "importing", done: 0, total: source.length };
        let (chunk, console) = (Vec::new(), console.clone());
        let input =
            Input { chunks: read_all(source)?, chunk, read: 0, stopped: stopped.clone(), console, progress };
        Ok((input, stopped))
    }

    /// True if there is a chunk; false at the end.
    fn next_chunk(&mut self) -> io::Result<bool> {
        let next = self.chunks.recv_timeout(TICK);
        if self.stopped.is_so() {
            return Ok(false);
        }
        match next {
            Ok(chunk) => self.chunk = chunk?,
            Err(RecvTimeoutError::Timeout) => return Err(ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => return Ok(false),
        }
        self.read = 0;
        self.progress.done += self.chunk.len() as u64;
        if self.progress.total > 0 {
            self.console.bar(self.progress);
        }
        Ok(true)
    }
}

/// On a thread of its own, which may wait for a pipe for ever: nobody waits for it.
fn read_all(mut source: impl Read + Send + 'static) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (chunks, received) = sync_channel(WAITING);
    thread::Builder::new().name("kappa-input".to_owned()).spawn(move || {
        loop {
            let mut chunk = vec![0; CHUNK];
            let read = source.read(&mut chunk);
            let chunk = match read {
                Ok(0) => return,
                Ok(read) => {
                    chunk.truncate(read);
                    Ok(chunk)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if chunks.send(chunk).is_err() || failed {
                return;
            }
        }
    })?;
    Ok(received)
}

impl Read for Input {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buf)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read >= self.chunk.len() && !self.next_chunk()? {
            return Ok(&[]);
        }
        Ok(self.chunk.get(self.read..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.read += amount;
    }
}
