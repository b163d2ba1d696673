//! What is open until it is closed: whoever does something is inside meanwhile, and closing waits for all who are.

use crate::error::ReadError;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Open at first; true once it is closed.
#[derive(Default)]
pub(crate) struct Gate(RwLock<bool>);

/// Somebody is inside, until this is dropped.
#[must_use = "it may be closed as soon as this is dropped"]
pub(crate) struct Inside<'a>(#[expect(dead_code, reason = "it is held")] RwLockReadGuard<'a, bool>);

impl Gate {
    /// Goes in. Who is inside must not go in again: it would wait for whoever closes, who waits for it.
    ///
    /// # Errors
    /// [`ReadError::Closed`] for ever after it was closed.
    pub fn enter(&self) -> Result<Inside<'_>, ReadError> {
        // It is changed once, at once: a panic elsewhere cannot have left it half changed.
        let closed = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if *closed { Err(ReadError::Closed) } else { Ok(Inside(closed)) }
    }

    /// Goes in if that needs no waiting; none also if it is closed.
    pub fn enter_at_once(&self) -> Option<Inside<'_>> {
        let closed = self.0.try_read().ok()?;
        (!*closed).then(|| Inside(closed))
    }

    /// Closes it, once nobody is inside. True for who did.
    pub fn close(&self) -> bool {
        let mut closed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        !std::mem::replace(&mut *closed, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn closing_waits_for_who_is_inside_and_lets_nobody_in() {
        let (gate, (tell, told)) = (Gate::default(), mpsc::channel());
        let inside = gate.enter().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let first = gate.close();
                tell.send("closed").unwrap();
                assert!(first);
            });
            assert!(told.try_recv().is_err());
            drop(inside);
        });
        assert!(matches!(gate.enter(), Err(ReadError::Closed)));
        assert!(!gate.close());
    }
}
