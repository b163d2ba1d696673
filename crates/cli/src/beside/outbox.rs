//! Messages on their way to a caller. Whoever writes much waits for one who reads slowly, but for those that others wait for.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bytes that may wait before their writer does.
const MOST: usize = 1 << 20;

/// A queue with one reader.
#[derive(Default)]
pub struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
    closed: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message when there is room.
    ///
    /// # Errors
    /// [`ErrorKind::BrokenPipe`] if the caller has gone.
    pub fn put(&self, message: Vec<u8>) -> io::Result<()> {
        let full = |waiting: &mut Waiting| waiting.bytes > MOST && !waiting.closed;
        let waiting = self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        self.add(waiting, message)
    }

    /// Adds a message at once.
    ///
    /// # Errors
    /// As [`Outbox::put`].
    pub fn put_now(&self, message: Vec<u8>) -> io::Result<()> {
        self.add(self.lock(), message)
    }

    fn add(&self, mut waiting: MutexGuard<'_, Waiting>, message: Vec<u8>) -> io::Result<()> {
        if waiting.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        waiting.bytes += message.len();
        waiting.messages.push_back(message);
        drop(waiting);
        self.changed.notify_all();
        Ok(())
    }

    /// The next message; none once it is closed and empty.
    pub fn take(&self) -> Option<Vec<u8>> {
        let idle = |waiting: &mut Waiting| waiting.messages.is_empty() && !waiting.closed;
        let mut waiting = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let message = waiting.messages.pop_front()?;
        waiting.bytes -= message.len();
        drop(waiting);
        self.changed.notify_all();
        Some(message)
    }

    /// Nothing more is added.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn who_writes_much_waits_and_who_others_wait_for_does_not() {
        let outbox = Arc::new(Outbox::default());
        outbox.put(vec![0; MOST + 1]).unwrap();
        let writer = {
            let outbox = outbox.clone();
            thread::spawn(move || outbox.put(vec![2]))
        };
        thread::sleep(Duration::from_millis(50));
        assert!(!writer.is_finished());
        outbox.put_now(vec![1]).unwrap();
        assert_eq!(outbox.take().unwrap().len(), MOST + 1);
        writer.join().unwrap().unwrap();
        assert_eq!((outbox.take(), outbox.take()), (Some(vec![1]), Some(vec![2])));
        outbox.put(vec![0; MOST + 1]).unwrap();
        let writer = {
            let outbox = outbox.clone();
            thread::spawn(move || outbox.put(vec![2]))
        };
        outbox.close();
        assert_eq!(writer.join().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert!(outbox.take().is_some() && outbox.take().is_none());
    }
}
