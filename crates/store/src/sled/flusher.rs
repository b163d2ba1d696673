//! The thread that flushes: it is there while there is something to flush.

use super::shared::Shared;
use super::{Core, lock};
use crate::StoreError;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Of ten parts of the time, flushing takes one at most, if little waits for it.
const SHARE: u32 = 9;
/// Between two flushes, at most, however long one takes.
const LONGEST: Duration = Duration::from_secs(15);
/// How long it waits for more before it ends.
const LINGER: Duration = Duration::from_secs(3);

/// The thread, if there is one.
#[derive(Default)]
pub(super) struct Flusher {
    /// It is there, and will see what was written.
    is_there: AtomicBool,
    thread: Mutex<Thread>,
}

#[derive(Default)]
struct Thread {
    /// By going it ends the thread.
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// There is to be none any more.
    ended: bool,
}

impl Flusher {
    /// There is something to flush. What cannot be begun now is when more is written, or at the end.
    pub fn begin(&self, shared: &Weak<Shared>) {
        if self.is_there.load(Ordering::Acquire) || self.is_there.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut thread = lock(&self.thread);
        let Some(shared) = shared.upgrade().filter(|_| !thread.ended) else { return };
        // One that ended by itself is done in a moment, and has a handle to the store until then.
        let _ = thread.thread.take().map(JoinHandle::join);
        let every = shared.core.options.flush_every;
        let (stop, stopped) = sync_channel(1);
        let spawned = std::thread::Builder::new().name("kappadb-flush".to_owned());
        match spawned.spawn(move || run(&shared, &stopped, every)) {
            Ok(begun) => (thread.stop, thread.thread) = (Some(stop), Some(begun)),
            Err(error) => {
                tracing::warn!(%error, "the system gives no thread to flush the store");
                self.is_there.store(false, Ordering::Release);
            }
        }
    }

    /// Ends the thread, which flushes once more if it is there, and lets none begin.
    pub fn end(&self, core: &Core) {
        let mut thread = lock(&self.thread);
        thread.ended = true;
        thread.stop = None;
        let running = thread.thread.take();
        drop(thread);
        if running.is_some_and(|thread| thread.join().is_err()) {
            core.poisoned("flush", &io::Error::other("the flusher panicked"));
        }
    }
}

/// Flushes until told to stop, then once more; or until nothing was written for a while.
fn run(shared: &Arc<Shared>, stopped: &Receiver<()>, every: Duration) {
    let core = &*shared.core;
    let (mut running, mut last, mut took) = (true, Instant::now(), Duration::ZERO);
    let mut written = Instant::now();
    while running {
        running = matches!(stopped.recv_timeout(every), Err(RecvTimeoutError::Timeout));
        let pause = took.saturating_mul(SHARE).min(LONGEST);
        if running && last.elapsed() < pause && !core.is_much_unflushed() {
            continue;
        }
        let begun = Instant::now();
        if !core.is_flushed() {
            written = begun;
        } else if running && written.elapsed() > LINGER && core.files.is_idle() {
            core.flusher.is_there.store(false, Ordering::Release);
            // Something may have been written just before.
            if core.is_flushed() || core.flusher.is_there.swap(true, Ordering::AcqRel) {
                return;
            }
        }
        match shared.flush().and_then(|()| if running { shared.renew_if_large() } else { Ok(()) }) {
            // The next time there may be.
            Ok(()) | Err(StoreError::DiskFull { .. }) => {}
            Err(error) => {
                tracing::error!(%error, "flushing the store failed");
                running &= core.poison.get().is_none();
            }
        }
        (last, took) = (Instant::now(), begun.elapsed());
    }
}
