//! Threads of the system.

use kappadb_core::{Job, Thread, Threads};
use std::io;
use std::sync::LazyLock;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// The threads of the system, and its time.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemThreads;

static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Threads for SystemThreads {
    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>> {
        let thread = Builder::new().name(name.to_owned()).spawn(job)?;
        Ok(Box::new(Joining(thread)))
    }

    fn elapsed(&self) -> Duration {
        BEGUN.elapsed()
    }
}

struct Joining(JoinHandle<()>);

impl Thread for Joining {
    fn join(self: Box<Self>) -> bool {
        self.0.join().is_ok()
    }
}
