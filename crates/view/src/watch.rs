//! Change notices on their way to those who watch.

use crate::Notice;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Notices that wait for a watcher, at most. One that is slower loses them and is told so.
const MAX_WAITING: usize = 4_096;

/// What changed since the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order in which they became visible. A key may come again.
    pub notices: Vec<Notice>,
    /// Notices were lost, or the view was made anew: read again whatever you care for.
    pub lagged: bool,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Notice>,
    lagged: bool,
    closed: bool,
}

#[derive(Default)]
struct Channel {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives a view's change notices; dropping it ends them. Watchers do not disturb each other, nor can they slow the view.
pub struct Watcher(Arc<Channel>);

impl Watcher {
    /// Waits for changes, at most `timeout` (then they are empty). `None` once the view is closed and all was told.
    pub fn next(&self, timeout: Duration) -> Option<Changes> {
        let until = Instant::now() + timeout;
        let mut queue = self.0.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let something = !queue.waiting.is_empty() || queue.lagged;
            if !something && queue.closed {
                return None;
            }
            if something || left.is_zero() {
                let notices = queue.waiting.drain(..).collect();
                return Some(Changes { notices, lagged: std::mem::take(&mut queue.lagged) });
            }
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Everybody who watches a view.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<Channel>>>);

impl Watchers {
    pub fn add(&self) -> Watcher {
        let channel = Arc::new(Channel::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&channel));
        Watcher(channel)
    }

    fn each(&self, mut tell: impl FnMut(&mut Queue)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|channel| channel.strong_count() > 0);
        for channel in all.iter().filter_map(Weak::upgrade) {
            tell(&mut channel.lock());
            channel.changed.notify_all();
        }
    }

    pub fn tell(&self, notices: &[Notice]) {
        if notices.is_empty() {
            return;
        }
        self.each(|queue| {
            queue.waiting.extend(notices.iter().cloned());
            if queue.waiting.len() > MAX_WAITING {
                queue.waiting.clear();
                queue.lagged = true;
            }
        });
    }

    /// Everything may have changed.
    pub fn tell_all_changed(&self) {
        self.each(|queue| {
            queue.waiting.clear();
            queue.lagged = true;
        });
    }

    pub fn close(&self) {
        self.each(|queue| queue.closed = true);
    }
}
