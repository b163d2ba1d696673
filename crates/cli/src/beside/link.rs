//! A caller as the node has it: orders go out, reports come in, on a thread each, so that nobody but its own command ever waits for it.

use super::outbox::Outbox;
use super::wire::{self, Answer, Failure, Order, PIECE, Report, Request};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The connection to a caller.
pub struct Link {
    socket: UnixStream,
    outbox: Outbox,
    state: Mutex<State>,
    /// True once the caller was asked to end.
    interrupted: watch::Sender<bool>,
    /// True once the caller has gone.
    gone: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    last: u32,
    /// Who waits for which answer.
    asked: HashMap<u32, SyncSender<Result<Answer, Failure>>>,
    /// Files that take nothing more.
    failed: HashMap<u32, Failure>,
    gone: bool,
}

impl Link {
    pub fn new(socket: UnixStream) -> Link {
        let (interrupted, gone) = (watch::Sender::new(false), watch::Sender::new(false));
        Link { socket, outbox: Outbox::default(), state: Mutex::default(), interrupted, gone }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that nothing else has.
    pub fn number(&self) -> u32 {
        let mut state = self.state();
        state.last += 1;
        state.last
    }

    /// Has something done and waits for it.
    ///
    /// # Errors
    /// The caller's, or [`ErrorKind::BrokenPipe`] if it has gone.
    pub fn ask(&self, request: Request) -> io::Result<Answer> {
        let (number, (tell, told)) = (self.number(), sync_channel(1));
        let mut state = self.state();
        if state.gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        state.asked.insert(number, tell);
        drop(state);
        self.outbox.put(wire::pack(&Order::Ask { number, request })?)?;
        Ok(told.recv().map_err(|_| io::Error::from(ErrorKind::BrokenPipe))??)
    }

    /// Writes to stdout or to a new file.
    ///
    /// # Errors
    /// That of an earlier write, too.
    pub fn write(&self, file: u32, bytes: &[u8]) -> io::Result<()> {
        if let Some(failure) = self.state().failed.get(&file) {
            return Err(failure.clone().into());
        }
        bytes
            .chunks(PIECE)
            .try_for_each(|piece| self.outbox.put(wire::pack(&Order::Write { file, bytes: piece.to_vec() })?))
    }

    /// Has something done that is not answered.
    pub fn order(&self, order: &Order) {
        let _ = wire::pack(order).and_then(|message| self.outbox.put(message));
    }

    /// The same without waiting.
    pub fn order_soon(&self, order: &Order) {
        let _ = wire::pack(order).and_then(|message| self.outbox.put_now(message));
    }

    /// Nothing more is sent.
    pub fn finish(&self) {
        self.outbox.close();
    }

    /// Sends what is to be sent, until [`Link::finish`].
    pub fn send_all(&self) {
        while let Some(message) = self.outbox.take() {
            if io::Write::write_all(&mut &self.socket, &message).is_err() {
                break;
            }
        }
    }

    /// Takes in what the caller reports, until it has gone.
    pub fn receive_all(&self) {
        while let Ok(report) = wire::receive(&self.socket) {
            match report {
                Report::Answer { number, answer } => {
                    let asked = self.state().asked.remove(&number);
                    let _ = asked.map(|tell| tell.try_send(answer));
                }
                Report::Failed { file, failure } => drop(self.state().failed.insert(file, failure)),
                Report::Interrupted => drop(self.interrupted.send_replace(true)),
            }
        }
        let mut state = self.state();
        state.gone = true;
        state.asked.clear();
        drop(state);
        self.outbox.close();
        self.gone.send_replace(true);
    }

    /// Hangs up: whoever waits for the caller waits no more.
    pub fn close(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Waits until the caller has gone.
    pub fn gone(&self) -> impl Future<Output = ()> + use<> {
        until(self.gone.subscribe())
    }

    /// Waits until the caller was asked to end.
    pub fn interrupted(&self) -> impl Future<Output = ()> + use<> {
        until(self.interrupted.subscribe())
    }
}

async fn until(mut so: watch::Receiver<bool>) {
    // An error: nobody is left who could say it.
    let _ = so.wait_for(|so| *so).await;
}
