//! Upkeep at work: a job of an index on a thread of its own.

use crate::control::Control;
use crate::generation::guarded;
use crate::{Upkeep, ViewError};
use kappadb_core::{Thread, Threads};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

/// The name of the threads that do it.
pub(crate) const UPKEEP: &str = "view-upkeep";

type Job<I> = Box<dyn Upkeep<I>>;
type Outcome<I> = Result<Job<I>, ViewError>;

/// A thread that does one job. Dropping it ends the job after the piece that is being done.
pub(crate) struct Helper<I> {
    control: Arc<Control>,
    stop: Arc<AtomicBool>,
    done: Receiver<Outcome<I>>,
    thread: Option<Box<dyn Thread>>,
}

impl<I: 'static> Helper<I> {
    /// Starts the job. Nothing of it is done during pauses, and `control` is woken when it is finished.
    pub fn start(job: Job<I>, control: &Arc<Control>, threads: &dyn Threads) -> Result<Self, ViewError> {
        let (send, done) = sync_channel(1);
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, controlled) = (stop.clone(), control.clone());
        let run = move || run(job, &controlled, &stopped, &send);
        let thread = Some(threads.spawn(UPKEEP, Box::new(run)).map_err(ViewError::Thread)?);
        Ok(Helper { control: control.clone(), stop, done, thread })
    }

    /// The finished job, or why it could not be finished; none as long as it is under way.
    pub fn outcome(&self) -> Option<Outcome<I>> {
        match self.done.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            // It could not wait for the end of a pause.
            Err(TryRecvError::Disconnected) => Some(Err(ViewError::Closed)),
        }
    }
}

impl<I> Drop for Helper<I> {
    fn drop(&mut self) {
        self.control.tell(|| self.stop.store(true, Ordering::Release));
        if self.thread.take().is_some_and(|thread| !thread.join()) {
            tracing::error!("the upkeep of a view panicked");
        }
    }
}

fn run<I>(mut job: Job<I>, control: &Control, stop: &AtomicBool, done: &SyncSender<Outcome<I>>) {
    let outcome = loop {
        match control.piece(|| stop.load(Ordering::Acquire), || guarded(|| job.work())) {
            None => return,
            Some(Ok(true)) => {}
            Some(Ok(false)) => break Ok(job),
            Some(Err(error)) => break Err(error),
        }
    };
    // Nobody waits for it any more if the helper is being dropped.
    let _ = done.send(outcome);
    control.wake();
}
