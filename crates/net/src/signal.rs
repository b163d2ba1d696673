//! Something that happened, told to whoever waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Counts something, and wakes those who wait for more of it in the order in which they came. `tokio::sync::watch` wakes them in an order that chance
/// decides: what a simulation has seen could not be seen again.
#[derive(Debug, Default)]
pub struct Signal {
    count: AtomicU64,
    waiting: Notify,
}

impl Signal {
    /// It happened.
    pub fn raise(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.waiting.notify_waiters();
    }

    /// How often it did so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until it has happened more than `seen` times. Safe to cancel.
    pub async fn beyond(&self, seen: u64) {
        loop {
            // Made before the look, it is woken by whatever comes after that.
            let waiting = self.waiting.notified();
            if self.count() > seen {
                return;
            }
            waiting.await;
        }
    }

    /// Waits until it has happened. Safe to cancel.
    pub async fn raised(&self) {
        self.beyond(0).await;
    }
}
