use super::Network;
use kappadb_core::FeedKey;
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

/// What every handle has: what all share, and the name under which it reads and writes.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    pub network: Arc<Network>,
    pub name: Arc<str>,
}

impl Handle {
    /// The feeds that are "me" for this handle: the one that it writes, and those that this one continues. Other writers of this replica, such as the
    /// authors of an import, are others.
    pub fn me(&self) -> BTreeSet<FeedKey> {
        self.lineage(self.feed_of(&self.name))
    }
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
