//! A stream of which nobody need know what it is made of.

use futures::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

/// The lock is never waited for, as only who has it for himself takes anything from it. With it, handles can be shared between threads.
pub(crate) struct Boxed<T>(Mutex<Pin<Box<dyn Stream<Item = T> + Send>>>);

impl<T> Boxed<T> {
    pub fn new(stream: impl Stream<Item = T> + Send + 'static) -> Boxed<T> {
        Boxed(Mutex::new(Box::pin(stream)))
    }

    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll_next(context)
    }

    /// The next item; none at the end. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|context| self.poll(context)).await
    }
}

impl<T> fmt::Debug for Boxed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Boxed")
    }
}
