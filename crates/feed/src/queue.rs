//! Where appends wait for each other, so that those that come at the same time share one commit.
//!
//! Who finds nobody leading leads: takes in what is queued by then, and leaves every outcome in its slot. The others sleep
//! until that is done; they never wait for the writer's lock, which the next leader would hold for a whole sync.

use crate::append::{Outcome, Request};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The appends of all threads.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    led: bool,
    /// Threads asleep.
    waiting: usize,
}

/// The lead, given up when dropped: also by a panic.
struct Lead<'a>(&'a Queue);

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is queued, for who leads.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().requests)
    }

    /// Queues requests, of which at least one, and waits for their outcomes, which they have in one commit. `lead`, which takes in the
    /// queue, is called if no other thread is at that. None for those of which whoever led did not come to an end.
    pub fn pass(&self, requests: Vec<Request>, lead: impl FnOnce()) -> Vec<Option<Outcome>> {
        let slots: Vec<_> = requests.iter().map(Request::slot).collect();
        let mut state = self.lock();
        state.requests.extend(requests);
        while state.led {
            state.waiting += 1;
            state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
            // Who leads takes all that is queued.
            let outcomes: Vec<_> = slots.iter().map(|slot| slot.take()).collect();
            if outcomes.iter().any(Option::is_some) {
                return outcomes;
            }
        }
        state.led = true;
        drop(state);
        let _lead = Lead(self);
        lead();
        slots.iter().map(|slot| slot.take()).collect()
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.led = false;
        if state.waiting > 0 {
            self.0.turn.notify_all();
        }
    }
}
