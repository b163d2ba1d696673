//! One thread that does the work of all.

use crate::Random;
use kappadb_core::{Job, Thread, Threads};
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

/// What a piece of work takes at most, in the time of the world, before it is done at once.
const LONGEST: Duration = Duration::from_millis(3);

/// Does what threads would, one piece after the other, each a while after it was begun. Clones share the thread.
#[derive(Clone)]
pub struct OneThread {
    state: Arc<Mutex<State>>,
    began: Instant,
}

struct State {
    random: Random,
    next: u64,
    waiting: VecDeque<Work>,
    /// Those that ended in a panic.
    panicked: Vec<u64>,
}

struct Work {
    id: u64,
    name: String,
    job: Job,
}

impl OneThread {
    /// In the runtime that this is called in; how long things take is drawn from `random`.
    pub(crate) fn new(random: Random) -> OneThread {
        let state = State { random, next: 0, waiting: VecDeque::new(), panicked: Vec::new() };
        OneThread { state: Arc::new(Mutex::new(state)), began: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No job is done under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the first of the waiting that is meant, if there is one.
    fn take(&self, is_meant: impl Fn(&Work) -> bool) -> bool {
        let mut state = self.lock();
        let Some(place) = state.waiting.iter().position(is_meant) else { return false };
        let Some(Work { id, job, .. }) = state.waiting.remove(place) else { return false };
        drop(state);
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            self.lock().panicked.push(id);
        }
        true
    }
}

impl Threads for OneThread {
    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
        let runtime = Handle::try_current().map_err(|_| io::Error::other("the world has ended"))?;
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let took = LONGEST.mul_f64(state.random.below(1_000) as f64 / 1_000.0);
        state.waiting.push_back(Work { id, name: name.to_owned(), job });
        drop(state);
        let all = self.clone();
        runtime.spawn(async move {
            sleep(took).await;
            all.take(|work| work.id == id);
        });
        Ok(Box::new(Begun { id, all: self.clone() }))
    }

    fn are_many(&self) -> bool {
        false
    }

    fn lend(&self, name: &str) -> bool {
        self.take(|work| work.name == name)
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

struct Begun {
    id: u64,
    all: OneThread,
}

impl Thread for Begun {
    /// If it is under way, this is called from within it, or from what it lent itself to: there is nothing to wait for.
    fn join(self: Box<Self>) -> bool {
        self.all.take(|work| work.id == self.id);
        !self.all.lock().panicked.contains(&self.id)
    }
}
