//! Change notices on their way to those who watch.

use crate::Notice;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Notices that wait for a watcher, at most. One that is slower loses them and is told so.
const MAX_WAITING: usize = 4_096;
/// Ids in them, at most.
const MAX_IDS: usize = 16_384;

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
    /// The ids in them.
    ids: usize,
    lagged: bool,
    closed: bool,
    /// Who polls, if somebody does.
    waker: Option<Waker>,
}

impl Queue {
    /// What is to be told: `Some(None)` at the end, nothing while there is nothing to tell.
    fn take(&mut self) -> Option<Option<Changes>> {
        if self.waiting.is_empty() && !self.lagged {
            return self.closed.then_some(None);
        }
        let notices = self.waiting.drain(..).collect();
        self.ids = 0;
        Some(Some(Changes { notices, lagged: std::mem::take(&mut self.lagged) }))
    }

    /// Drops what waits; the watcher is told so.
    fn lose(&mut self) {
        self.waiting.clear();
        self.ids = 0;
        self.lagged = true;
    }
}

/// Which keys a watcher cares for.
type Wanted = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

struct Channel {
    queue: Mutex<Queue>,
    changed: Condvar,
    wanted: Wanted,
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
            if let Some(told) = queue.take() {
                return told;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(Changes::default());
            }
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same without waiting, for async tasks: if there is nothing to tell, the task is woken when there is. One task a watcher.
    pub fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Changes>> {
        let mut queue = self.0.lock();
        match queue.take() {
            Some(told) => Poll::Ready(told),
            None => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Everybody who watches a view.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<Channel>>>);

impl Watchers {
    pub fn add(&self, wanted: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Watcher {
        let channel =
            Channel { queue: Mutex::default(), changed: Condvar::default(), wanted: Box::new(wanted) };
        let channel = Arc::new(channel);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&channel));
        Watcher(channel)
    }

    fn each(&self, mut tell: impl FnMut(&mut Queue, &Wanted)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|channel| channel.strong_count() > 0);
        for channel in all.iter().filter_map(Weak::upgrade) {
            let mut queue = channel.lock();
            tell(&mut queue, &channel.wanted);
            let waker = queue.waker.take();
            drop(queue);
            channel.changed.notify_all();
            waker.into_iter().for_each(Waker::wake);
        }
    }

    pub fn tell(&self, notices: &[Notice]) {
        if notices.is_empty() {
            return;
        }
        self.each(|queue, wanted| {
            let wanted = notices.iter().filter(|notice| wanted(&notice.key)).cloned();
            queue.waiting.extend(wanted.inspect(|n| queue.ids += n.heads.len() + n.gone.len()));
            if queue.waiting.len() > MAX_WAITING || queue.ids > MAX_IDS {
                queue.lose();
            }
        });
    }

    /// Everything may have changed.
    pub fn tell_all_changed(&self) {
        self.each(|queue, _| queue.lose());
    }

    pub fn close(&self) {
        self.each(|queue, _| queue.closed = true);
    }
}
