use super::Network;
use crate::engine::{OnProgress, Progress};
use kappadb_net::Allowance;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// What every handle has: what all share, and the name under which it reads and writes.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub network: Arc<Network>,
    pub name: Arc<str>,
    pub manner: Manner,
}

/// What a handle does otherwise than the database was opened to do.
#[derive(Clone, Default)]
pub(crate) struct Manner {
    /// Who is told how far long work has come.
    pub progress: Option<OnProgress>,
    /// For how long a peer may let a question wait, if not as long as the database was opened with.
    pub patience: Option<Duration>,
}

impl fmt::Debug for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manner").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Handle {
    /// Tells how far some long work has come.
    pub fn progress(&self, task: &'static str, done: u64, total: u64) {
        match &self.manner.progress {
            Some(tell) => tell(Progress { task, done, total }),
            None => self.network.progress(task, done, total),
        }
    }
}

/// The same, with this patience.
pub(crate) fn patient(allowance: &Allowance, patience: Duration) -> Allowance {
    Allowance { question_bytes: allowance.question_bytes, ..Allowance::patient(patience) }
}

impl Deref for Handle {
    type Target = Network;

    fn deref(&self) -> &Network {
        &self.network
    }
}

/// What a handle of a view rests on.
pub(crate) trait OnHandle: Send + Sync + 'static {
    fn handle(&self) -> &Handle;
}

impl OnHandle for Handle {
    fn handle(&self) -> &Handle {
        self
    }
}

impl<T: Deref<Target: OnHandle> + Send + Sync + 'static> OnHandle for T {
    fn handle(&self) -> &Handle {
        (**self).handle()
    }
}
