//! A connection between two hosts: bytes arrive some time after they were sent, or not at all.

use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes on the way, at most: who writes more waits.
const WINDOW: usize = 256 << 10;

/// Counts what is sent.
pub(crate) type Sent = Arc<dyn Fn(usize) + Send + Sync>;

/// One direction of a connection.
#[derive(Default)]
pub(crate) struct Pipe(Mutex<State>);

#[derive(Default)]
struct State {
    coming: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// Nothing more is sent.
    ended: bool,
    /// The connection broke.
    broken: bool,
    /// Nothing arrives for now.
    stalled: bool,
    /// A byte of what comes next is changed.
    garbles: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl State {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.wake();
    }

    /// Both ends read that the connection broke. What was on the way is lost.
    pub fn break_off(&self) {
        self.change(|state| {
            state.broken = true;
            state.coming.clear();
        });
    }

    /// A byte of what is written next arrives as another.
    pub fn garble(&self) {
        self.lock().garbles = true;
    }

    /// Nothing arrives until this is called with false.
    pub fn stall(&self, stalled: bool) {
        self.change(|state| state.stalled = stalled);
    }
}

/// One end of a connection.
pub(crate) struct End {
    read: Arc<Pipe>,
    write: Arc<Pipe>,
    latency: Duration,
    sent: Sent,
    timer: Pin<Box<Sleep>>,
}

/// The two ends of a connection, and its two directions. Each end counts what it sends.
pub(crate) fn connection(latency: Duration, [first, second]: [Sent; 2]) -> ([End; 2], [Arc<Pipe>; 2]) {
    let [there, back]: [Arc<Pipe>; 2] = Default::default();
    let end = |read: &Arc<Pipe>, write: &Arc<Pipe>, sent| End {
        read: read.clone(),
        write: write.clone(),
        latency,
        sent,
        timer: Box::pin(sleep_until(Instant::now())),
    };
    ([end(&back, &there, first), end(&there, &back, second)], [there, back])
}

fn broken() -> io::Error {
    ErrorKind::ConnectionReset.into()
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let End { read, timer, .. } = &mut *self;
        loop {
            let mut state = read.lock();
            if state.broken {
                return Poll::Ready(Err(broken()));
            }
            let at = match state.coming.front() {
                Some((at, _)) if !state.stalled => *at,
                None if state.ended && !state.stalled => return Poll::Ready(Ok(())),
                _ => {
                    state.reader = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            };
            if at > Instant::now() {
                state.reader = Some(cx.waker().clone());
                drop(state);
                timer.as_mut().reset(at);
                ready!(timer.as_mut().poll(cx));
                continue;
            }
            let Some((_, bytes)) = state.coming.front_mut() else { continue };
            let count = bytes.len().min(into.remaining());
            into.put_slice(&bytes.split_to(count));
            if !bytes.has_remaining() {
                state.coming.pop_front();
            }
            state.bytes -= count;
            state.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(()));
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.write.lock();
        if state.broken || state.ended {
            return Poll::Ready(Err(broken()));
        }
        let count = bytes.len().min(WINDOW.saturating_sub(state.bytes));
        if count == 0 && !bytes.is_empty() {
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let sent = bytes.get(..count).unwrap_or(bytes);
        let mut sent = sent.to_vec();
        if let Some(byte) = sent.last_mut()
            && std::mem::take(&mut state.garbles)
        {
            *byte ^= 1;
        }
        state.coming.push_back((Instant::now() + self.latency, sent.into()));
        state.bytes += count;
        state.reader.take().into_iter().for_each(Waker::wake);
        drop(state);
        (self.sent)(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write.change(|state| state.ended = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    /// What was sent still arrives. Who sends to one who is not there any more learns of it.
    fn drop(&mut self) {
        self.write.change(|state| state.ended = true);
        self.read.change(|state| {
            state.ended = true;
            state.coming.clear();
        });
    }
}
