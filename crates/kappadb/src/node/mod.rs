//! Following: what a replica wants is asked live of every peer, for as long as somebody wants it, or whenever it serves.

mod delivery;
mod interest;
mod peers;

use crate::database::Database;
use crate::error::{FollowError, OpenError};
use crate::folder::files::{read_file, write_file};
pub use crate::network::Following;
use crate::network::{Follow, Keeper};
use crate::views::Parts;
pub use delivery::Delivery;
pub use interest::{Interest, InterestError};
pub use peers::{PeerConnection, PeerEvent, PeerEvents, PeerState, Peers};
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

    fn lock(&self) -> MutexGuard<'_, State> {
        // Only changed once the file is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the list, durably, and what is followed now with it.
    fn change(
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
    pub fn begin(parts: &Arc<Parts>, follows: &Arc<Follows>) -> Serving {
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
            Some(parts) => state.follow(&parts),
            None => state.active.clear(),
        }
    }
}

impl Database {
    /// Follows something until what this returns is dropped: every peer that is or will be connected is asked for it live, so that it is here within
    /// moments after it was written anywhere. Nothing is waited for.
    pub fn follow(&self, interest: &Interest) -> Following {
        Following::begin(&self.parts, interest.questions(&self.parts))
    }

    /// The same for what comes from now on: what peers have already is not fetched. For watchers, who ask for what is there themselves.
    pub fn follow_from_now(&self, interest: &Interest) -> Following {
        let questions = interest.questions(&self.parts).into_iter().map(Follow::from_now).collect();
        Following::begin(&self.parts, questions)
    }

    /// What is followed whenever this replica serves, in the order in which it was added.
    pub fn follows(&self) -> Vec<Interest> {
        self.shared.follows.lock().list.clone()
    }

    /// Follows something whenever this replica serves, from now on. Durable when it returns. False if it did so before.
    ///
    /// # Errors
    /// If it could not be written down.
    pub async fn add_follow(&self, interest: Interest) -> Result<bool, FollowError> {
        let (parts, follows) = (self.parts.clone(), self.shared.follows.clone());
        self.run_in(move || {
            follows.change(&parts, |list| {
                let is_new = !list.contains(&interest);
                if is_new {
                    list.push(interest);
                }
                is_new
            })
        })
        .await
    }

    /// Does not follow something any more. What came stays. Durable when it returns. False if it did not.
    ///
    /// # Errors
    /// If it could not be written down.
    pub async fn remove_follow(&self, interest: Interest) -> Result<bool, FollowError> {
        let (parts, follows) = (self.parts.clone(), self.shared.follows.clone());
        self.run_in(move || {
            follows.change(&parts, |list| {
                let before = list.len();
                list.retain(|followed| *followed != interest);
                list.len() < before
            })
        })
        .await
    }

    async fn run_in(
        &self,
        work: impl FnOnce() -> Result<bool, FollowError> + Send + 'static,
    ) -> Result<bool, FollowError> {
        // Tasks are begun by what is followed: where there is a runtime.
        let runtime = tokio::runtime::Handle::current();
        self.run(move |_| {
            let _runtime = runtime.enter();
            work()
        })
        .await?
    }
}
