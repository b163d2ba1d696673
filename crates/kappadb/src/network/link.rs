//! One session with a peer: how it begins, and what must be known to ask in it.

use super::Network;
use super::backend::Backend;
use crate::error::AskError;
use crate::folder::peers::Peer;
use kappadb_core::FeedKey;
use kappadb_net::{Allowance, Credentials, PeerHandle};
use kappadb_node::SessionId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// For how fast a peer is taken that was not asked yet.
const UNKNOWN_PACE: Duration = Duration::from_millis(100);

/// So often somebody who asks goes on in another session with a peer, since one ended: that of a peer that has gone and come again, that of two who
/// called at once, and another may be either.
pub(super) const CALLS_AGAIN: usize = 3;

/// A session with a peer, and what must be known to ask in it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub id: SessionId,
    pub session: PeerHandle,
    /// What was held when something was asked last: where it changed, the session must not count on it.
    held: Arc<Mutex<Option<(u64, u64)>>>,
    /// How long the peer took to answer, in microseconds, of late; 0 if that is not known.
    pace: Arc<AtomicU64>,
}

impl Link {
    pub fn new(id: SessionId, session: PeerHandle) -> Link {
        Link { id, session, held: Arc::default(), pace: Arc::default() }
    }

    /// How long the peer took to answer, of late. Of one that was not asked yet it is not known, and it comes after those that are fast.
    pub fn pace(&self) -> Duration {
        match self.pace.load(Ordering::Relaxed) {
            0 => UNKNOWN_PACE,
            micros => Duration::from_micros(micros),
        }
    }

    /// The peer took so long to answer: it counts a quarter.
    pub fn note_pace(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let so_far = self.pace.load(Ordering::Relaxed);
        let pace = if so_far == 0 { took } else { so_far - so_far / 4 + took / 4 };
        self.pace.store(pace.max(1), Ordering::Relaxed);
    }

    /// True if the session ended for no fault of the peer's: in order, as one of two that began at once does, or without a word, as that of one who
    /// has gone and may be there again.
    pub fn may_be_there(&self) -> bool {
        self.session.ended().is_some_and(|why| why.is_orderly() || why.is_lost())
    }

    /// True if something that was held when this session was last asked in may not be any more. `held` counts how often that happened.
    pub fn has_lost(&self, held: (u64, u64)) -> bool {
        let mut last = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace(held).is_some_and(|last| last != held)
    }
}

/// Whom a question goes to.
pub(crate) struct Reach {
    /// Those with whom there is a session.
    pub open: Vec<Link>,
    /// Those who are being called, and are to be waited for.
    pub called: Vec<FeedKey>,
    /// Those who were called in vain lately, and are not waited for.
    pub away: Vec<(FeedKey, String)>,
}

/// How to call a peer.
pub(super) struct Call {
    peer: Peer,
    credentials: Credentials,
    allowance: Allowance,
    backend: Arc<Backend>,
}

impl Call {
    pub fn to(network: &Arc<Network>, peer: Peer) -> Call {
        let (credentials, backend) = (network.credentials(), Backend::new(network));
        Call { peer, credentials, allowance: network.allowance.clone(), backend }
    }

    /// A session with it, within the time that is waited for one.
    pub async fn dial(self) -> Result<PeerHandle, AskError> {
        let Call { peer, credentials, allowance, backend } = self;
        let dial = kappadb_net::connect_any(&peer.addresses, &credentials, peer.key, backend, &allowance);
        let dialled = timeout(allowance.patience, dial).await;
        Ok(dialled.map_err(|_| AskError::Late(allowance.patience))?.map_err(Arc::new)?)
    }
}

/// An error with what it comes from.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Some say themselves what they come from.
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        source = error.source();
    }
    words
}
