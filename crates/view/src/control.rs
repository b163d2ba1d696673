//! What an indexer and everybody else say to each other: one lock, one condition.

mod indexing;

use crate::upkeep::UPKEEP;
use crate::{Exclusions, ViewError};
use kappadb_core::{Lseq, Threads};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// What the indexer goes by in the piece of work that it is at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is at none.
    #[default]
    None,
    /// It is about to find out what is to be left out.
    Begun,
    /// It leaves this out, whatever became of that meanwhile.
    Excluding(Exclusions),
}

/// How far the generation that answers has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// False if none answers: the view is being made, and the rest tells of that.
    pub answering: bool,
    /// True if a generation is being made beside.
    pub rebuilding: bool,
    pub next: Lseq,
    pub skipped: u64,
    pub excluded: Exclusions,
    pub turn: Turn,
}

/// What the indexer is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Look for work: there is some, or may be.
    Work,
    /// Look for work that nobody asked for.
    Look,
    /// End until somebody does: the thread is not there any more.
    Rest,
    /// End.
    Stop,
}

#[derive(Default)]
struct State {
    closing: bool,
    /// The indexer has ended.
    ended: bool,
    /// It has a thread.
    running: bool,
    /// There is no indexer, nor will be.
    off: bool,
    pauses: usize,
    /// The indexer stands still because of a pause.
    parked: bool,
    /// Pieces of upkeep that are being done.
    pieces: usize,
    /// Something arrived.
    woken: bool,
    /// Somebody waits: try now, whatever failed before.
    urged: bool,
    rebuilds_asked: u64,
    rebuilds_done: u64,
    rests_asked: u64,
    rests_done: u64,
    /// How often the indexer has set to work.
    tries: u64,
    /// The last of these that failed.
    failed: u64,
    error: Option<String>,
    progress: Progress,
    /// Counts steps forward of any generation.
    moves: u64,
    /// The view leaves out just what the source did at this count of its exclusions, and no work is under way that goes by another.
    agreed: Option<u64>,
}

/// How long somebody waits for a view.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// As long as it goes forward at least this often: what is near may be far, but not stuck.
    WhileMoving(Duration),
    /// No longer than this.
    AtMost(Duration),
}

impl Patience {
    /// That of the replica's owner. A batch of the slowest view that is of use takes a small part of it.
    pub const OWN: Patience = Patience::WhileMoving(Duration::from_secs(30));
}

pub(crate) struct Control {
    name: String,
    threads: Arc<dyn Threads>,
    state: Mutex<State>,
    changed: Condvar,
    /// Gives the indexer a thread.
    start: OnceLock<Start>,
}

type Start = Box<dyn Fn() -> std::io::Result<()> + Send + Sync>;

/// The name of the thread that indexes for a view.
pub(crate) fn thread_name(view: &str) -> String {
    format!("view-{view}")
}

impl Control {
    pub fn new(name: &str, threads: Arc<dyn Threads>) -> Arc<Self> {
        let state = Mutex::new(State { woken: true, ..State::default() });
        let (changed, start) = (Condvar::new(), OnceLock::new());
        Arc::new(Control { name: name.to_owned(), threads, state, changed, start })
    }

    /// That of a view that does not run.
    pub fn off(name: &str, threads: Arc<dyn Threads>) -> Arc<Self> {
        let control = Control::new(name, threads);
        control.lock().off = true;
        control
    }

    pub fn is_off(&self) -> bool {
        self.lock().off
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    // What others say.

    /// There may be something to do.
    pub fn wake(&self) {
        self.change(|state| state.woken = true);
        self.run();
    }

    /// How the indexer gets a thread when there is something to do and it has none.
    pub fn start_with(&self, start: impl Fn() -> std::io::Result<()> + Send + Sync + 'static) {
        let _ = self.start.set(Box::new(start));
    }

    /// Sees to it that the indexer has a thread.
    fn run(&self) {
        let Some(start) = self.start.get() else { return };
        let mut state = self.lock();
        if state.running || state.closing || state.ended {
            return;
        }
        state.running = true;
        drop(state);
        if let Err(error) = start() {
            tracing::warn!(view = self.name, %error, "the system gives no thread to index");
            self.change(|state| {
                state.running = false;
                state.tries += 1;
                state.failed = state.tries;
                state.error = Some(error.to_string());
            });
        }
    }

    pub fn close(&self) {
        self.change(|state| state.closing = true);
    }

    /// Changes something that a thread may look at before it sleeps.
    pub fn tell(&self, change: impl FnOnce()) {
        self.change(|_| change());
    }

    /// Returns when the indexer and its upkeep stand still. Each call needs its own [`Control::resume`].
    pub fn pause(&self) {
        self.change(|state| state.pauses += 1);
        let mut state = self.lock();
        while (state.running && !(state.parked || state.ended)) || state.pieces > 0 {
            if self.threads.are_many() {
                state = self.sleep(state);
                continue;
            }
            drop(state);
            if !self.lend() {
                return;
            }
            state = self.lock();
        }
    }

    pub fn resume(&self) {
        let is_due = self.change(|state| {
            state.pauses = state.pauses.saturating_sub(1);
            state.woken && state.pauses == 0
        });
        // Where it could not wait for this it has ended.
        if is_due {
            self.run();
        }
    }

    /// Where there is but one thread: has some of the view's work done on it. False if there is none.
    fn lend(&self) -> bool {
        self.threads.lend(&thread_name(&self.name)) || self.threads.lend(UPKEEP)
    }

    /// Waits until the generation that answers has come as far as is `wanted`. An error if indexing was tried and failed meanwhile.
    pub fn wait(&self, patience: Patience, wanted: impl Fn(&Progress) -> bool) -> Result<(), ViewError> {
        self.wait_until(Some(patience), |state| state.progress.answering && wanted(&state.progress))
    }

    /// Has the view made anew, and waits for it.
    pub fn rebuild(&self) -> Result<(), ViewError> {
        let asked = self.change(|state| {
            state.rebuilds_asked += 1;
            state.woken = true;
            state.rebuilds_asked
        });
        self.run();
        self.wait_until(None, |state| state.rebuilds_done >= asked)
    }

    /// Has the upkeep done that is due, and waits until none is.
    pub fn rest(&self) -> Result<(), ViewError> {
        let asked = self.change(|state| {
            (state.woken, state.rests_asked) = (true, state.rests_asked + 1);
            state.rests_asked
        });
        self.run();
        self.wait_until(None, |state| state.rests_done >= asked)
    }

    fn wait_until(
        &self,
        patience: Option<Patience>,
        reached: impl Fn(&State) -> bool,
    ) -> Result<(), ViewError> {
        let mut state = self.lock();
        let (mut since, mut moves) = (self.threads.elapsed(), state.moves);
        let tries = state.tries;
        // Mostly it is there: then nobody need be woken for it.
        if !reached(&state) {
            state.urged = true;
            drop(state);
            self.changed.notify_all();
            self.run();
            state = self.lock();
        }
        loop {
            if reached(&state) {
                return Ok(());
            }
            if state.off {
                return Err(ViewError::Off(self.name.clone()));
            }
            if state.closing || state.ended {
                return Err(ViewError::Closed);
            }
            // A try that began before this call may have failed for want of what is there by now.
            if state.failed > tries {
                let reason = state.error.clone().unwrap_or_default();
                return Err(ViewError::Stalled { view: self.name.clone(), reason });
            }
            let moving = matches!(patience, Some(Patience::WhileMoving(_)));
            if moving && (state.moves != moves || state.pauses > 0) {
                (since, moves) = (self.threads.elapsed(), state.moves);
            }
            if !self.threads.are_many() {
                drop(state);
                if !self.lend() {
                    return Err(ViewError::Late(self.name.clone()));
                }
                state = self.lock();
                continue;
            }
            state = match patience {
                None => self.sleep(state),
                Some(Patience::WhileMoving(most) | Patience::AtMost(most)) => {
                    let left = (since + most).saturating_sub(self.threads.elapsed());
                    if left.is_zero() {
                        return Err(ViewError::Late(self.name.clone()));
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// True if the generation that answers has come so far, and leaves out just what it should: without a look at what that is, so it may be false
    /// although it is so.
    pub fn is_at(&self, lseq: Lseq, exclusions: u64) -> bool {
        let state = self.lock();
        let is_there = state.progress.answering && state.progress.next >= lseq;
        is_there && state.agreed == Some(exclusions) && !state.closing && !state.ended
    }

    pub fn progress(&self) -> Progress {
        self.lock().progress.clone()
    }

    pub fn error(&self) -> Option<String> {
        self.lock().error.clone()
    }
}
