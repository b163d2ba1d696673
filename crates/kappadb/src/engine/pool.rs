//! Threads for work that blocks: so many at most, begun when there is work, ended when there was none for a while.
//!
//! They are the database's own. On the blocking threads of the runtime its work would stand before the application's own.

use crate::error::ReadError;
use kappadb_core::{Job, Threads};
use kappadb_view::ViewError;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(5);

thread_local! {
    /// Whether somebody waits for the job that this thread is at.
    static AWAITED: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// False if whoever waited for the job that this thread is at has dropped it: long jobs of several steps end between two of them.
pub(crate) fn is_awaited() -> bool {
    AWAITED.with_borrow(|awaited| awaited.as_ref().is_none_or(|awaited| awaited.load(Ordering::Relaxed)))
}

/// Somebody who waits for a job, until it is dropped.
struct Awaiting(Arc<AtomicBool>);

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A number of threads with a queue before them. Dropping it ends them as soon as the queue is empty.
pub(crate) struct Pool(Arc<Shared>);

struct Shared {
    name: &'static str,
    most: usize,
    threads: Arc<dyn Threads>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Threads that wait for a job.
    idle: usize,
    closed: bool,
}

impl Pool {
    /// At most so many threads; the system shows them under this name, of 15 bytes at most.
    pub fn new(threads: &Arc<dyn Threads>, name: &'static str, most: usize) -> Pool {
        let threads = threads.clone();
        Pool(Arc::new(Shared { name, most, threads, state: Mutex::default(), changed: Condvar::new() }))
    }

    /// Has a job done. It is dropped undone if there is no thread, nor the system gives one.
    pub fn start(&self, job: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock();
        state.jobs.push_back(Box::new(job));
        if state.idle >= state.jobs.len() {
            self.0.changed.notify_one();
        } else if state.threads < self.0.most {
            state.threads += 1;
            drop(state);
            self.add_thread();
        }
    }

    fn add_thread(&self) {
        let shared = self.0.clone();
        if let Err(error) = self.0.threads.spawn(self.0.name, Box::new(move || shared.work())) {
            tracing::warn!(%error, "the system gives no more threads");
            let mut state = self.0.lock();
            state.threads -= 1;
            let undone = if state.threads == 0 { std::mem::take(&mut state.jobs) } else { VecDeque::new() };
            drop(state);
            drop(undone);
        }
    }

    /// Has a job done and waits for what it gives. If this is dropped before the job has begun, it is not done; else it is done whole, unless it
    /// looks whether it is still wanted ([`is_awaited`]).
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let (tell, told) = oneshot::channel();
        let awaiting = Awaiting(Arc::new(AtomicBool::new(true)));
        let awaited = awaiting.0.clone();
        // What the application is told of while it is at work may need its runtime.
        let runtime = Handle::try_current().ok();
        self.start(move || {
            if tell.is_closed() {
                return;
            }
            let _within = runtime.as_ref().map(Handle::enter);
            AWAITED.set(Some(awaited));
            let done = guarded(job);
            AWAITED.set(None);
            let _ = tell.send(done);
        });
        told.await.unwrap_or(Err(ReadError::Closed))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No job is done under the lock, so a panic cannot have left it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // Who waits for it has been told, or finds nobody there to tell.
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job. None if the thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed || !self.threads.are_many() {
                break;
            }
            state.idle += 1;
            let (woken, waited) =
                self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if waited.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
        None
    }
}

/// Has a job done on a thread of its own, and waits for what it gives. Dropping this leaves it to come to its end.
pub(crate) async fn aside<T: Send + 'static>(
    threads: &Arc<dyn Threads>,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ReadError> {
    let (tell, told) = oneshot::channel();
    let runtime = Handle::try_current().ok();
    let job = move || {
        let _within = runtime.as_ref().map(Handle::enter);
        let _ = tell.send(guarded(job));
    };
    let thread = threads.spawn("kappadb-aside", Box::new(job)).map_err(ViewError::Thread)?;
    drop(thread);
    told.await.unwrap_or(Err(ReadError::Closed))
}

/// Does something; a panic in it is an error.
pub(crate) fn guarded<T>(job: impl FnOnce() -> T) -> Result<T, ReadError> {
    catch_unwind(AssertUnwindSafe(job)).map_err(ReadError::of_panic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_view::SystemThreads;
    use std::sync::mpsc;

    fn threads() -> Arc<dyn Threads> {
        Arc::new(SystemThreads)
    }

    #[tokio::test]
    async fn there_are_no_more_threads_than_allowed_and_all_jobs_are_done() {
        let pool = Arc::new(Pool::new(&threads(), "test", 2));
        let (go, wait) = mpsc::channel::<()>();
        let (wait, begun) = (Arc::new(Mutex::new(wait)), mpsc::channel());
        let jobs: Vec<_> = (0..5)
            .map(|n| {
                let (pool, wait, begun) = (pool.clone(), wait.clone(), begun.0.clone());
                tokio::spawn(async move {
                    let job = move || {
                        begun.send(n).unwrap();
                        let _ = wait.lock().unwrap().recv();
                        n
                    };
                    pool.run(job).await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        for _ in 0..2 {
            begun.1.recv().unwrap();
        }
        assert_eq!(pool.0.lock().threads, 2);
        drop(go);
        for (n, job) in jobs.into_iter().enumerate() {
            assert_eq!(job.await.unwrap().unwrap(), n);
        }
    }

    #[tokio::test]
    async fn a_panic_is_told_and_the_thread_goes_on() {
        let pool = Pool::new(&threads(), "test", 1);
        let error = pool.run(|| assert_eq!(1, 2, "one and one")).await.unwrap_err();
        assert!(matches!(&error, ReadError::Panicked(text) if text.contains("one and one")), "{error}");
        assert_eq!(pool.run(|| 3).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_begun() {
        let pool = Pool::new(&threads(), "test", 1);
        let (go, wait) = mpsc::channel::<()>();
        pool.start(move || {
            let _ = wait.recv();
        });
        let (told, done) = mpsc::channel();
        let job = Box::pin(pool.run(move || told.send(())));
        // It is queued behind the other and then given up.
        assert!(tokio::time::timeout(Duration::ZERO, job).await.is_err());
        drop(go);
        pool.run(|| ()).await.unwrap();
        assert!(done.recv().is_err(), "it was done");
    }
}
