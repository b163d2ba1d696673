use std::io;
use std::time::Duration;

/// Work that may block.
pub type Job = Box<dyn FnOnce() + Send>;

/// Who does work that blocks, and how time passes for it. Passed in everywhere, as [`Clock`](crate::Clock) is: beside threads of the system there can
/// be a simulation, in which one thread does all the work, in an order that a number decides.
pub trait Threads: Send + Sync {
    /// Begins a thread of this name, of which the system shows 15 bytes. It does the job and ends.
    ///
    /// # Errors
    /// If the system gives no more threads; the job is dropped undone.
    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>>;

    /// False if there is but one thread for all: who waited for another's work would wait for ever. Default: true.
    fn are_many(&self) -> bool {
        true
    }

    /// Where there is but one thread, does on it the work of one that was begun under this name. False if there is none, or if there are
    /// many threads. Default: false.
    fn lend(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// The time since some moment, which is always the same. Unlike a clock it never goes back.
    fn elapsed(&self) -> Duration;
}

/// A thread that was begun. Dropping this leaves it to itself.
pub trait Thread: Send {
    /// Waits until it has ended. False if it panicked.
    fn join(self: Box<Self>) -> bool;
}
