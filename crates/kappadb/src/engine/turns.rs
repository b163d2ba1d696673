//! Turns at writing: one at a time, in the order in which they were asked for. Nobody blocks a thread while he waits.
//!
//! Writes that wait side by side share a turn ([`Batch`]). Who wants it for longer is given a [`Turn`] of his own, and lets in all who
//! have waited whenever he gives way.

use crate::engine::batch::{Batch, Job, Promise};
use crate::engine::pool::Pool;
use crate::error::ReadError;
use kappadb_core::Threads;
use kappadb_feed::Feeds;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::time::Instant;

/// The name of the thread that writes.
const WRITER: &str = "kappadb-write";

/// Writes that share a turn, at most: whoever comes after them is not to wait long.
const SHARED: usize = 1_000;

/// What part of the time that a turn took is waited for those who shared it to come again. Without that the first of them would have a sync
/// for itself, while the others wait for the next.
const GATHERING: u32 = 8;

pub(crate) struct Turns {
    feeds: Feeds,
    threads: Arc<dyn Threads>,
    line: Mutex<Line>,
    /// There are as many as are wanted.
    gathered: Condvar,
    /// The thread that does what is short.
    thread: Pool,
    /// The turn was let go of.
    free: Condvar,
    /// For syncs that nobody waits for.
    pool: Arc<Pool>,
    /// When what was promised is to be on the disk next.
    due: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// Somebody has the turn.
    taken: bool,
    /// There are no more turns.
    closed: bool,
    /// How many whoever has it waits for.
    wanted: usize,
}

enum Waiting {
    /// A write that may share its turn.
    Write(Job),
    /// One that may not: it looks at what others may be about to change.
    Apart(Job),
    /// Somebody who wants the turn as such.
    Turn(oneshot::Sender<Turn>),
}

enum Next {
    Writes(Vec<Job>),
    Turn(oneshot::Sender<Turn>),
}

/// Somebody's turn, until it is dropped.
#[must_use = "the turn ends as soon as this is dropped"]
pub(crate) struct Turn(Arc<Turns>);

impl Turns {
    pub fn new(feeds: Feeds, threads: Arc<dyn Threads>, pool: Arc<Pool>) -> Turns {
        let thread = Pool::new(&threads, WRITER, 1);
        let (line, due) = (Mutex::default(), Mutex::default());
        Turns { feeds, threads, line, gathered: Condvar::new(), thread, free: Condvar::new(), pool, due }
    }

    /// Sees to it that what was written is on the disk when it was promised to be.
    fn keep(self: &Arc<Self>, Promise { within, runtime }: Promise) {
        let at = Instant::now() + within;
        let mut due = self.due();
        if due.is_some_and(|due| due <= at) {
            return;
        }
        *due = Some(at);
        // Who lets go of the database closes it, and that makes everything durable.
        let turns = Arc::downgrade(self);
        runtime.spawn(async move {
            tokio::time::sleep_until(at).await;
            if let Some(turns) = turns.upgrade() {
                let sync = turns.clone();
                turns.pool.start(move || sync.sync_what_is_due(at));
            }
        });
    }

    fn sync_what_is_due(&self, at: Instant) {
        self.due().take_if(|due| *due == at);
        if let Err(error) = self.feeds.settle() {
            tracing::error!(%error, "what was written lately may not be on the disk");
        }
    }

    fn due(&self) -> MutexGuard<'_, Option<Instant>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Each change of it is whole before the lock goes, so a panic elsewhere cannot have left it half changed.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a write done when its turn has come, with those beside it.
    pub fn write(self: &Arc<Self>, job: Job) {
        self.join(Waiting::Write(job));
    }

    /// Has a write done in a turn of its own.
    pub fn write_apart(self: &Arc<Self>, job: Job) {
        self.join(Waiting::Apart(job));
    }

    fn join(self: &Arc<Self>, waiting: Waiting) {
        let mut line = self.line();
        if line.closed {
            drop(line);
            return drop(waiting);
        }
        line.waiting.push_back(waiting);
        if line.waiting.len() == line.wanted {
            self.gathered.notify_all();
        }
        if !std::mem::replace(&mut line.taken, true) {
            drop(line);
            self.serve();
        }
    }

    /// Gives no more turns, and returns when whoever has one has let go of it. Those who wait are told that it is closed.
    pub fn close(&self) {
        let mut line = self.line();
        line.closed = true;
        let waiting = std::mem::take(&mut line.waiting);
        drop(line);
        drop(waiting);
        while self.threads.lend(WRITER) {}
        if !self.threads.are_many() {
            return;
        }
        let line = self.line();
        drop(self.free.wait_while(line, |line| line.taken).unwrap_or_else(PoisonError::into_inner));
    }

    /// The turn, as soon as those before have had theirs.
    ///
    /// # Errors
    /// [`ReadError::Closed`] after [`Turns::close`], or if the system gives no thread to those before.
    pub async fn wait(self: &Arc<Self>) -> Result<Turn, ReadError> {
        self.ask().await.map_err(|_| ReadError::Closed)
    }

    /// The same for who may block.
    pub fn take(self: &Arc<Self>) -> Result<Turn, ReadError> {
        let mut told = self.ask();
        while !self.threads.are_many() {
            match told.try_recv() {
                Ok(turn) => return Ok(turn),
                Err(TryRecvError::Empty) if self.threads.lend(WRITER) => {}
                Err(_) => return Err(ReadError::Closed),
            }
        }
        told.blocking_recv().map_err(|_| ReadError::Closed)
    }

    fn ask(self: &Arc<Self>) -> oneshot::Receiver<Turn> {
        let (tell, told) = oneshot::channel();
        let mut line = self.line();
        if line.taken && !line.closed {
            line.waiting.push_back(Waiting::Turn(tell));
        } else if !line.closed {
            line.taken = true;
            drop(line);
            // Whoever asked is there.
            let _ = tell.send(Turn(self.clone()));
        }
        told
    }

    /// Has those served who wait. The turn is taken.
    fn serve(self: &Arc<Self>) {
        /// Where there is no thread nobody must wait for one.
        struct Undone(Option<Arc<Turns>>);
        impl Drop for Undone {
            fn drop(&mut self) {
                let Some(turns) = self.0.take() else { return };
                let mut line = turns.line();
                let waiting = std::mem::take(&mut line.waiting);
                line.taken = false;
                drop(line);
                turns.free.notify_all();
                drop(waiting);
            }
        }
        let mut undone = Undone(Some(self.clone()));
        self.thread.start(move || undone.0.take().into_iter().for_each(|turns| Turn(turns).serve()));
    }

    /// Waits until so many wait, but no longer than that.
    fn gather(&self, count: usize, time: Duration) {
        let mut line = self.line();
        line.wanted = count;
        let is_few = |line: &mut Line| line.waiting.len() < count;
        let waited = self.gathered.wait_timeout_while(line, time, is_few);
        waited.unwrap_or_else(PoisonError::into_inner).0.wanted = 0;
    }

    fn next(&self) -> Option<Next> {
        let mut line = self.line();
        Some(match line.waiting.pop_front()? {
            Waiting::Turn(tell) => Next::Turn(tell),
            Waiting::Apart(job) => Next::Writes(vec![job]),
            Waiting::Write(job) => {
                let mut jobs = vec![job];
                while jobs.len() < SHARED
                    && let Some(Waiting::Write(_)) = line.waiting.front()
                    && let Some(Waiting::Write(job)) = line.waiting.pop_front()
                {
                    jobs.push(job);
                }
                Next::Writes(jobs)
            }
        })
    }
}

impl Turn {
    /// Serves those who wait, in their order.
    fn serve(mut self) {
        while let Some(next) = self.0.next() {
            match next {
                Next::Writes(jobs) => {
                    let (count, begun) = (jobs.len(), Instant::now());
                    Batch::write(&self.0.feeds, jobs).into_iter().for_each(|promise| self.0.keep(promise));
                    if count > 1 && self.0.threads.are_many() {
                        self.0.gather(count, begun.elapsed() / GATHERING);
                    }
                }
                Next::Turn(tell) => match tell.send(self) {
                    Ok(()) => return,
                    // He waits no more.
                    Err(back) => self = back,
                },
            }
        }
    }

    /// True if somebody waits.
    pub fn is_awaited(&self) -> bool {
        !self.0.line().waiting.is_empty()
    }

    /// Lets all who wait have their turn, and whoever comes while `work` is done. Blocks.
    ///
    /// # Errors
    /// As [`Turns::take`].
    pub fn give_way(self, work: impl FnOnce()) -> Result<Turn, ReadError> {
        let turns = self.0.clone();
        drop(self);
        work();
        turns.take()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.taken = !line.waiting.is_empty();
        if line.taken {
            drop(line);
            self.0.serve();
        } else {
            self.0.free.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::DatabaseId;
    use kappadb_store::MemoryStore;
    use std::sync::mpsc;
    use tempfile::TempDir;

    fn turns() -> (TempDir, Arc<Turns>) {
        let threads: Arc<dyn Threads> = Arc::new(kappadb_view::SystemThreads);
        let dir = tempfile::tempdir().unwrap();
        let random = Arc::new(|bytes: &mut [u8]| bytes.fill(7));
        let config =
            kappadb_feed::Config::new(dir.path(), Arc::new(MemoryStore::new()), DatabaseId([1; 32]), random);
        let (feeds, _) = Feeds::open(config, &mut |_, _| ()).unwrap();
        (dir, Arc::new(Turns::new(feeds, threads.clone(), Arc::new(Pool::new(&threads, "test", 2)))))
    }

    /// A write that says when it is done, and that it was told.
    fn say(what: &'static str, to: &mpsc::Sender<&'static str>) -> Job {
        let to = to.clone();
        Box::new(move |_| {
            to.send(what).unwrap();
            Box::new(move |_| to.send("told").unwrap())
        })
    }

    #[test]
    fn one_at_a_time_in_the_order_in_which_they_came_and_writes_side_by_side_share_a_turn() {
        let (_dir, turns) = turns();
        let (tell, told) = mpsc::channel();
        let first = turns.take().unwrap();
        turns.write(say("one", &tell));
        turns.write(say("two", &tell));
        turns.write_apart(say("apart", &tell));
        let wait = turns.ask();
        turns.write(say("last", &tell));
        assert!(first.is_awaited());
        drop(first);
        let turn = wait.blocking_recv().unwrap();
        let so_far: Vec<_> = told.try_iter().collect();
        assert_eq!(so_far, ["one", "two", "told", "told", "apart", "told"]);
        drop(turn);
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], ["last", "told"]);
    }

    #[test]
    fn who_gives_way_lets_in_who_waits_and_who_comes_meanwhile() {
        let (_dir, turns) = turns();
        let (tell, told) = mpsc::channel();
        let turn = turns.take().unwrap();
        assert!(!turn.is_awaited());
        turns.write(say("waited", &tell));
        let turn = turn.give_way(|| {
            assert_eq!([told.recv().unwrap(), told.recv().unwrap()], ["waited", "told"]);
            turns.write(say("came", &tell));
            assert_eq!([told.recv().unwrap(), told.recv().unwrap()], ["came", "told"]);
        });
        drop(turn.unwrap());
        drop(turns.take().unwrap());
    }

    #[test]
    fn who_closes_waits_for_the_turn_that_is_under_way_and_all_others_are_told() {
        let (_dir, turns) = turns();
        let turn = turns.take().unwrap();
        let waits = turns.ask();
        std::thread::scope(|scope| {
            let closing = scope.spawn(|| turns.close());
            assert!(waits.blocking_recv().is_err());
            assert!(!closing.is_finished());
            assert!(turn.give_way(|| ()).is_err());
        });
        assert!(turns.take().is_err());
    }

    #[test]
    fn who_waits_no_more_is_passed_over() {
        let (_dir, turns) = turns();
        let first = turns.take().unwrap();
        drop(turns.ask());
        let next = turns.ask();
        drop(first);
        drop(next.blocking_recv().unwrap());
    }
}
