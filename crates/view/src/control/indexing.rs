//! What the indexer says, and what it is told to do.

use super::{Control, Job, Progress, Turn};
use crate::{Exclusions, ViewError};
use std::sync::PoisonError;
use std::time::Duration;

impl Control {
    /// Waits for something to do; after `idle` it is time to look, unasked, or to rest if it has `looked`. Where there is but one thread that is
    /// at once.
    pub fn next(&self, idle: Duration, looked: bool) -> Job {
        let until = self.threads.elapsed() + idle;
        self.turn(Turn::None);
        let mut state = self.lock();
        loop {
            if state.closing {
                return Job::Stop;
            }
            state.parked = state.pauses > 0;
            if state.parked {
                self.changed.notify_all();
                if !self.threads.are_many() {
                    state.running = false;
                    return Job::Rest;
                }
                state = self.sleep(state);
                continue;
            }
            let left = until.saturating_sub(self.threads.elapsed());
            if state.woken || state.urged {
                (state.woken, state.urged) = (false, false);
                state.tries += 1;
                return Job::Work;
            }
            if left.is_zero() || !self.threads.are_many() {
                if looked {
                    state.running = false;
                    return Job::Rest;
                }
                state.tries += 1;
                return Job::Look;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Does a piece of upkeep, once nobody wants a pause. `None` if there is nothing more to be done: it is closed, or `stop` says
    /// so.
    pub fn piece<R>(&self, stop: impl Fn() -> bool, work: impl FnOnce() -> R) -> Option<R> {
        let mut state = self.lock();
        while state.pauses > 0 && !state.closing && !stop() && self.threads.are_many() {
            state = self.sleep(state);
        }
        if state.closing || stop() || state.pauses > 0 {
            return None;
        }
        state.pieces += 1;
        drop(state);
        let result = work();
        self.change(|state| state.pieces -= 1);
        Some(result)
    }

    /// True if work should be put down soon.
    pub fn interrupted(&self) -> bool {
        let state = self.lock();
        state.closing || state.pauses > 0
    }

    /// The number of the newest rebuild asked for, if it is not done.
    pub fn rebuild_due(&self) -> Option<u64> {
        let state = self.lock();
        (state.rebuilds_asked > state.rebuilds_done).then_some(state.rebuilds_asked)
    }

    pub fn rebuilt(&self, number: u64) {
        self.change(|state| state.rebuilds_done = number.max(state.rebuilds_done));
    }

    /// The number of the last time that somebody asked for rest, if there is none yet.
    pub fn rest_due(&self) -> Option<u64> {
        let state = self.lock();
        (state.rests_asked > state.rests_done).then_some(state.rests_asked)
    }

    /// No upkeep was due or under way since this was asked for.
    pub fn rested(&self, asked: u64) {
        self.change(|state| state.rests_done = asked);
    }

    /// A generation has gone a step forward.
    pub fn moved(&self) {
        self.change(|state| state.moves += 1);
    }

    /// What the work goes by that is done now.
    pub fn turn(&self, turn: Turn) {
        self.change(|state| {
            if turn != Turn::None {
                state.agreed = None;
            }
            state.progress.turn = turn;
        });
    }

    /// At this count of the source's exclusions they were these, and nothing is under way that goes by others.
    pub fn agree(&self, count: u64, excluded: &Exclusions) {
        self.change(|state| {
            state.agreed = Some(count).filter(|_| state.progress.excluded == *excluded);
        });
    }

    pub fn report(&self, progress: Progress) {
        self.change(|state| state.progress = progress);
    }

    /// A try went well.
    pub fn succeeded(&self) {
        self.change(|state| state.error = None);
    }

    /// A try failed; those who wait are told if it `is_hopeless` to wait for the next. Returns after `pause`, or when somebody is in a hurry.
    pub fn failed(&self, error: &ViewError, pause: Duration, is_hopeless: bool) {
        self.change(|state| {
            if is_hopeless {
                state.failed = state.tries;
            }
            state.agreed = None;
            state.error = Some(error.to_string());
            state.progress.turn = Turn::None;
        });
        let until = self.threads.elapsed() + pause;
        let mut state = self.lock();
        // Try again also if nothing else happens. Where there is but one thread the next who asks tries.
        state.woken = self.threads.are_many() || !is_hopeless;
        loop {
            let left = until.saturating_sub(self.threads.elapsed());
            if !self.threads.are_many() || state.closing || state.urged || state.pauses > 0 || left.is_zero()
            {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn ended(&self) {
        self.change(|state| state.ended = true);
    }
}
