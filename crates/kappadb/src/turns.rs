//! Taking turns at writing, in the order in which they were asked for: a long job that gives way between its steps lets in all who have waited.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// One at a time.
#[derive(Default)]
pub(crate) struct Turns {
    tickets: Mutex<Tickets>,
    changed: Condvar,
}

#[derive(Default)]
struct Tickets {
    /// The next to be given out.
    next: u64,
    /// Whose turn it is.
    current: u64,
}

/// Somebody's turn, until it is dropped.
#[must_use = "the turn ends as soon as this is dropped"]
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for its turn.
    pub fn take(&self) -> Turn<'_> {
        self.wait();
        Turn(self)
    }

    fn lock(&self) -> MutexGuard<'_, Tickets> {
        // Two numbers that are each changed at once, so a panic elsewhere cannot have left them half changed.
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) {
        let mut tickets = self.lock();
        let ticket = tickets.next;
        tickets.next += 1;
        while tickets.current != ticket {
            tickets = self.changed.wait(tickets).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn end(&self) {
        self.lock().current += 1;
        self.changed.notify_all();
    }
}

impl Turn<'_> {
    /// True if somebody waits.
    pub fn is_awaited(&self) -> bool {
        let tickets = self.0.lock();
        tickets.next > tickets.current + 1
    }

    /// Lets all who wait have their turn, and whoever comes while `work` is done.
    pub fn give_way(&mut self, work: &mut dyn FnMut()) {
        /// Whatever becomes of the work: the turn is taken again, for it is ended when it is dropped.
        struct Back<'a>(&'a Turns);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                self.0.wait();
            }
        }
        self.0.end();
        let _back = Back(self.0);
        work();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn one_at_a_time_in_the_order_in_which_they_came() {
        let (turns, order) = (Turns::default(), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            let first = turns.take();
            for n in 0..5 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let _turn = turns.take();
                    order.lock().unwrap().push(n);
                });
                // It has its ticket before the next one comes.
                while turns.lock().next < n + 2 {
                    std::thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(order.into_inner().unwrap(), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn who_gives_way_lets_in_who_waits_and_who_comes_meanwhile() {
        let turns = Turns::default();
        let (done, told) = mpsc::channel();
        std::thread::scope(|scope| {
            let mut turn = turns.take();
            assert!(!turn.is_awaited());
            let take = || {
                let done = done.clone();
                let turns = &turns;
                scope.spawn(move || {
                    let _turn = turns.take();
                    done.send(()).unwrap();
                });
            };
            take();
            while !turn.is_awaited() {
                std::thread::yield_now();
            }
            turn.give_way(&mut || {
                told.recv().unwrap();
                take();
                told.recv().unwrap();
            });
        });
        drop(turns.take());
    }
}
