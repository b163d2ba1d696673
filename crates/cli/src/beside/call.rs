//! A command that a node carries out, from the side of whoever called: does what the node asks for with this process's streams, files and signals.

use super::greeting::{Folder, Greeting, VERSION, Word};
use super::place;
use super::wire::{self, Answer, Failure, Order, PIECE, Report, Request, STDOUT, Wanted};
use crate::exit::{Exit, InUse, NodeEnded};
use crate::outside::{NewFile, Outside, Source};
use anyhow::{Context as _, bail};
use kappadb::Database;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// For how long a folder may be in use by somebody who is not a node, or not yet, before that is a matter of the lock.
const LEAST_WAIT: Duration = Duration::from_millis(450);
const PAUSE: Duration = Duration::from_millis(20);
/// For how long a node may say nothing: longer than it lets others wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// For how long a node may take to end.
const ENDING: Duration = Duration::from_secs(60);

/// A node that takes this process's command.
pub struct Call {
    socket: UnixStream,
    pid: u32,
}

/// The node on a folder. None if there is none: then the folder is free, or it is in use by something else for longer than `wait`.
pub fn find(dir: &Path, wait: Duration) -> anyhow::Result<Option<Call>> {
    let until = Instant::now() + wait.max(LEAST_WAIT);
    loop {
        if let Some(call) = connect(dir)? {
            return Ok(Some(call));
        }
        // It may be a node that is about to listen.
        if !Database::builder(dir).is_in_use() || Instant::now() >= until {
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
}

fn connect(dir: &Path) -> anyhow::Result<Option<Call>> {
    let Ok(Some(socket)) = place::connect(dir) else { return Ok(None) };
    socket.set_read_timeout(Some(PATIENCE))?;
    let Greeting { word, pid, version, folder } = match Greeting::receive(&socket) {
        Ok(greeting) => greeting,
        Err(error) => match error.kind() {
            // It has just ended.
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => return Ok(None),
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                bail!(InUse(format!("{} is in use by a process that does not answer", dir.display())))
            }
            _ => return Err(error).with_context(|| format!("{} cannot be used", dir.join("node").display())),
        },
    };
    // The socket of another folder, of which this one is a copy.
    if fs::metadata(dir).is_ok_and(|found| Folder::from(&found) != folder) {
        return Ok(None);
    }
    let used = format!("{} is in use by process {pid}", dir.display());
    match word {
        Word::Foreign => bail!(InUse(format!("{used} of another user, which works for that one alone"))),
        Word::Busy => {
            bail!(InUse(format!("{used}, which carries out as many commands as it can; try again")))
        }
        Word::Welcome if version != VERSION => bail!(InUse(format!(
            "{used}, which is kappa {version} and works for that version alone; this is {VERSION}. Use that one, or end the process"
        ))),
        Word::Welcome => {}
    }
    socket.set_read_timeout(None)?;
    Ok(Some(Call { socket, pid }))
}

impl Call {
    /// Has the command carried out, to its end.
    ///
    /// # Errors
    /// [`NodeEnded`] if the node ends before.
    pub fn carry_out(self, wanted: &Wanted, outside: &dyn Outside) -> anyhow::Result<Exit> {
        let Call { socket, pid } = self;
        let ended = |error: io::Error| match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                NodeEnded(pid).into()
            }
            _ => anyhow::Error::from(error).context(format!("process {pid} cannot be understood")),
        };
        wire::send(&socket, wanted).map_err(ended)?;
        let reports = Reports(Arc::new(Mutex::new(socket.try_clone()?)));
        let mut hands = Hands {
            outside,
            reports,
            sources: HashMap::new(),
            new: HashMap::new(),
            failed: HashMap::new(),
            runtime: None,
        };
        loop {
            match wire::receive(&socket).map_err(ended)? {
                Order::End(code) => return Ok(Exit::from(code)),
                order => hands.follow(order)?,
            }
        }
    }
}

impl Call {
    /// Has the node told to end, and waits until the folder is free.
    ///
    /// # Errors
    /// [`InUse`] if it does not end.
    pub fn stop(self, wanted: &Wanted, outside: &dyn Outside, dir: &Path) -> anyhow::Result<Exit> {
        let (pid, until) = (self.pid, Instant::now() + ENDING);
        match self.carry_out(wanted, outside) {
            Err(error) if !error.is::<NodeEnded>() => return Err(error),
            _ => {}
        }
        while Database::builder(dir).is_in_use() {
            if Instant::now() >= until {
                bail!(InUse(format!("process {pid} was asked to end, and still has {} open", dir.display())));
            }
            thread::sleep(PAUSE);
        }
        Ok(Exit::Done)
    }
}

/// Where reports go; several threads have some.
#[derive(Clone)]
struct Reports(Arc<Mutex<UnixStream>>);

impl Reports {
    /// Sends one. If the node has gone, that is noticed where its orders are received.
    fn send(&self, report: &Report) {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = wire::send(&*socket, report);
    }

    fn answer(&self, number: u32, answer: io::Result<Answer>) {
        self.send(&Report::Answer { number, answer: answer.map_err(Failure::from) });
    }
}

/// What does the node's orders.
struct Hands<'a> {
    outside: &'a dyn Outside,
    reports: Reports,
    /// Files that are read, each on a thread: a pipe may give nothing for long. They are told which request is for how much.
    sources: HashMap<u32, Sender<(u32, u32)>>,
    new: HashMap<u32, NewFile>,
    failed: HashMap<u32, Failure>,
    /// For signals, once they are wanted.
    runtime: Option<Runtime>,
}

impl Hands<'_> {
    fn follow(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Write { file, bytes } => self.write(file, &bytes),
            Order::Tell(lines) => self.outside.err(&lines),
            Order::Bar(shown) => self.outside.bar(&shown),
            Order::Ask { number, request: Request::Read { file, most } } => {
                let sent = self.sources.get(&file).is_some_and(|source| source.send((number, most)).is_ok());
                if !sent {
                    self.reports.answer(number, Err(unknown()));
                }
            }
            Order::Ask { number, request } => {
                let answer = self.answer(request);
                self.reports.answer(number, answer);
            }
            Order::Close(file) => {
                self.sources.remove(&file);
                self.new.remove(&file);
            }
            Order::End(_) => {}
        }
        Ok(())
    }

    fn write(&mut self, file: u32, bytes: &[u8]) {
        if self.failed.contains_key(&file) {
            return;
        }
        let written = match (file, self.new.get_mut(&file)) {
            (STDOUT, _) => self.outside.out(bytes),
            (_, Some(new)) => new.writer.write_all(bytes),
            (_, None) => Err(unknown()),
        };
        if let Err(error) = written {
            let failure = Failure::from(error);
            self.failed.insert(file, failure.clone());
            self.reports.send(&Report::Failed { file, failure });
        }
    }

    fn answer(&mut self, request: Request) -> io::Result<Answer> {
        match request {
            Request::Flush => self.sound(STDOUT).and_then(|()| self.outside.flush()).map(|()| Answer::Done),
            Request::Question(text) => self.outside.ask(&text).map(Answer::Text),
            Request::Open { file, path } => {
                let source = self.outside.open(&path_of(path))?;
                let length = source.length;
                let (wanted, reports) = (channel(), self.reports.clone());
                thread::Builder::new().spawn(move || read(source, &wanted.1, &reports))?;
                self.sources.insert(file, wanted.0);
                Ok(Answer::Open(length))
            }
            Request::Create { file, path } => {
                self.new.insert(file, self.outside.create(&path_of(path))?);
                Ok(Answer::Done)
            }
            Request::Keep(file) => {
                let NewFile { writer, keep } = self.new.remove(&file).ok_or_else(unknown)?;
                drop(writer);
                self.sound(file).and_then(|()| keep()).map(|()| Answer::Done)
            }
            Request::Interrupt => self.watch_signals().map(|()| Answer::Done),
            Request::Read { .. } => Err(unknown()),
        }
    }

    /// Whether all writes went well.
    fn sound(&self, file: u32) -> io::Result<()> {
        self.failed.get(&file).map_or(Ok(()), |failure| Err(failure.clone().into()))
    }

    fn watch_signals(&mut self) -> io::Result<()> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let inside = runtime.enter();
        let (interrupt, reports) = (self.outside.interrupt()?, self.reports.clone());
        runtime.spawn(async move {
            interrupt.await;
            reports.send(&Report::Interrupted);
        });
        drop(inside);
        self.runtime = Some(runtime);
        Ok(())
    }
}

impl Drop for Hands<'_> {
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

fn unknown() -> io::Error {
    io::Error::other("a file that is not open")
}

fn path_of(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// Reads what is wanted, until nothing is any more.
fn read(mut source: Source, wanted: &Receiver<(u32, u32)>, reports: &Reports) {
    while let Ok((number, most)) = wanted.recv() {
        let mut bytes = vec![0; usize::try_from(most).unwrap_or(PIECE).min(PIECE)];
        let read = loop {
            match source.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        reports.answer(
            number,
            read.map(|length| {
                bytes.truncate(length);
                Answer::Bytes(bytes)
            }),
        );
    }
}
