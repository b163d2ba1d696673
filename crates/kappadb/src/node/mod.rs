//! Following: what a replica wants is asked live of every peer, for as long as somebody wants it, or whenever it serves.

mod delivery;
mod interest;
mod peers;

use crate::error::{FollowError, OpenError};
use crate::folder::files::{read_file, write_file};
pub use crate::network::Following;
use crate::network::{Introductions, Keeper};
use crate::views::Parts;
pub use delivery::Delivery;
pub use interest::{Interest, InterestError};
pub use peers::{Kept, PeerConnection, PeerEvent, PeerEvents, PeerState, Peers};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What is followed whenever this replica serves: `DIR/follows`, a line each.
pub(crate) struct Follows {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    list: Vec<Interest>,
    /// While it serves: how many servers there are, and what is followed.
    servers: u64,
    active: Vec<(Interest, Following)>,
}

impl Follows {
    pub fn load(dir: &Path) -> Result<Follows, OpenError> {
        let path = dir.join("follows");
        let text = read_file(&path)?.unwrap_or_default();
        let list = text.lines().map(str::parse).collect::<Result<Vec<Interest>, _>>();
        let wanted = "something that can be followed a line";
        let list = list.map_err(|_| OpenError::Damaged { path: path.clone(), wanted })?;
        Ok(Follows { path, state: Mutex::new(State { list, ..State::default() }) })
    }

    /// All of it.
    pub fn list(&self) -> Vec<Interest> {
        self.lock().list.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Only changed once the file is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the list, durably, and what is followed now with it.
    pub fn change(
        &self,
        parts: &Arc<Parts>,
        change: impl FnOnce(&mut Vec<Interest>) -> bool,
    ) -> Result<bool, FollowError> {
        let mut state = self.lock();
        let mut list = state.list.clone();
        if !change(&mut list) {
            return Ok(false);
        }
        let text: String = list.iter().map(|interest| format!("{interest}\n")).collect();
        write_file(&self.path, &text)
            .map_err(|source| FollowError::File { path: self.path.clone(), source })?;
        state.list = list;
        state.follow(parts);
        Ok(true)
    }
}

impl State {
    /// Follows what is in the list while this replica serves, and nothing else.
    fn follow(&mut self, parts: &Arc<Parts>) {
        let State { list, servers, active } = self;
        active.retain(|(interest, _)| *servers > 0 && list.contains(interest));
        for interest in list.iter().filter(|_| *servers > 0) {
            if !active.iter().any(|(followed, _)| followed == interest) {
                active.push((interest.clone(), Following::begin(parts, interest.questions(parts))));
            }
        }
    }
}

/// While it lives, sessions are kept to the known peers, and this replica follows what it was told to follow.
pub(crate) struct Serving {
    follows: Arc<Follows>,
    parts: Weak<Parts>,
    _keeper: Keeper,
}

impl Serving {
    /// It can be reached at these addresses.
    pub fn begin(parts: &Arc<Parts>, follows: &Arc<Follows>, addresses: Vec<String>) -> Serving {
        Introductions::listen(&parts.network, Some(addresses));
        let keeper = parts.links.keep(&parts.network);
        let mut state = follows.lock();
        state.servers += 1;
        state.follow(parts);
        Serving { follows: follows.clone(), parts: Arc::downgrade(parts), _keeper: keeper }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut state = self.follows.lock();
        state.servers -= 1;
        match self.parts.upgrade() {
            Some(parts) => {
                if state.servers == 0 {
                    Introductions::listen(&parts.network, None);
                }
                state.follow(&parts);
            }
            None => state.active.clear(),
        }
    }
}
