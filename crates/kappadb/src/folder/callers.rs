//! Who called this replica, and what it asked: small counts in a side file, so that `status` can tell of them in another process, and so that
//! those who were met before have their places before strangers.
//!
//! Nothing rests on them: they are written now and then, beside the answers, and what a crash loses of them is lost.

use crate::folder::files::write_file;
use kappadb_core::limits::MAX_CALLERS;
use kappadb_core::{Clock, FeedKey};
use kappadb_net::Happening;
use kappadb_sync::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fs, io};

/// A peer that called, and what it asked in all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// Its identity, hex.
    pub peer: String,
    /// Where it last called from.
    pub address: String,
    /// When it was last heard, in milliseconds since the Unix epoch.
    pub timestamp: i64,
    /// Its sessions.
    pub sessions: u64,
    /// Its sessions that ended in an error, or came to nothing for want of a place.
    pub failed: u64,
    /// Its questions that ended, however they did.
    pub questions: u64,
    /// Of these, those that were refused.
    pub refused: u64,
    /// Blocks that were sent to it.
    pub blocks: u64,
    /// Bytes of answers that were sent to it.
    pub bytes: u64,
}

/// All of them, by identity; at most [`MAX_CALLERS`], those who asked least and longest ago forgotten first.
pub(crate) struct Callers {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    all: BTreeMap<FeedKey, Caller>,
    /// Something is not written yet.
    is_new: bool,
}

impl Callers {
    /// As they were last written down. A file that cannot be read is as good as none.
    pub fn load(dir: &Path, clock: Arc<dyn Clock>) -> Callers {
        let path = dir.join("callers");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let all = text.lines().filter_map(read_line).collect();
        Callers { path, clock, state: Mutex::new(State { all, is_new: false }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who called, the last one first.
    pub fn list(&self) -> Vec<Caller> {
        let mut all: Vec<Caller> = self.state().all.values().cloned().collect();
        all.sort_by_key(|caller| std::cmp::Reverse(caller.timestamp));
        all
    }

    /// True if the peer got an answer here before.
    pub fn is_known(&self, peer: &FeedKey) -> bool {
        self.state().all.get(peer).is_some_and(|caller| caller.questions > caller.refused)
    }

    /// Counts what a peer did. Of those who did not show who they are nothing is kept.
    pub fn happened(&self, from: SocketAddr, happening: &Happening<'_>) {
        use kappadb_net::ServeError::Session;
        let count = |peer: &FeedKey, change: &dyn Fn(&mut Caller)| self.count(*peer, from, change);
        match happening {
            Happening::Came(peer) => count(peer, &|caller| caller.sessions += 1),
            Happening::Failed(Session { peer, .. }) => count(peer, &|caller| caller.failed += 1),
            Happening::Asked(peer, served) => count(peer, &|caller| {
                caller.questions += 1;
                caller.refused += u64::from(matches!(served.outcome, Outcome::Refused { .. }));
                caller.blocks += served.blocks;
                caller.bytes += served.bytes;
            }),
            _ => {}
        }
    }

    fn count(&self, peer: FeedKey, from: SocketAddr, change: impl Fn(&mut Caller)) {
        let mut state = self.state();
        let State { all, is_new } = &mut *state;
        if !all.contains_key(&peer) && all.len() >= MAX_CALLERS {
            let least = all.iter().min_by_key(|(_, caller)| (caller.questions, caller.timestamp));
            if let Some(least) = least.map(|(peer, _)| *peer) {
                all.remove(&least);
            }
        }
        let caller = all.entry(peer).or_default();
        (caller.peer, caller.address) = (peer.to_string(), from.ip().to_string());
        caller.timestamp = self.clock.now().0;
        change(caller);
        *is_new = true;
    }

    /// Writes down what is new. Blocks.
    pub fn save(&self) -> io::Result<()> {
        let text: String = {
            let mut state = self.state();
            if !std::mem::take(&mut state.is_new) {
                return Ok(());
            }
            state.all.values().map(line).collect()
        };
        write_file(&self.path, &text)
    }
}

fn line(caller: &Caller) -> String {
    let Caller { peer, address, timestamp, sessions, failed, questions, refused, blocks, bytes } = caller;
    format!("{peer} {address} {timestamp} {sessions} {failed} {questions} {refused} {blocks} {bytes}\n")
}

fn read_line(line: &str) -> Option<(FeedKey, Caller)> {
    let mut fields = line.split(' ');
    let peer: FeedKey = fields.next()?.parse().ok()?;
    let (address, timestamp) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
    let mut number = || fields.next()?.parse::<u64>().ok();
    let (sessions, failed, questions) = (number()?, number()?, number()?);
    let (refused, blocks, bytes) = (number()?, number()?, number()?);
    let peer_text = peer.to_string();
    let caller =
        Caller { peer: peer_text, address, timestamp, sessions, failed, questions, refused, blocks, bytes };
    Some((peer, caller))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::Timestamp;
    use kappadb_net::SessionEnd;
    use kappadb_sync::{Served, SessionError};
    use std::sync::atomic::{AtomicI64, Ordering};

    struct Ticking(AtomicI64);

    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.fetch_add(1, Ordering::Relaxed))
        }
    }

    fn callers(dir: &Path) -> Callers {
        Callers::load(dir, Arc::new(Ticking(AtomicI64::new(1_000))))
    }

    fn peer(n: u16) -> FeedKey {
        let [a, b] = n.to_be_bytes();
        FeedKey([[a; 16], [b; 16]].concat().try_into().unwrap())
    }

    fn asks(all: &Callers, peer: FeedKey, outcome: Outcome) {
        let served = Served { asked: "kv: 1 key".to_owned(), blocks: 2, bytes: 300, ms: 1, outcome };
        all.happened(([127, 0, 0, 1], 7).into(), &Happening::Asked(peer, &served));
    }

    #[test]
    fn counts_outlive_the_process_and_a_broken_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let all = callers(dir.path());
        let from = ([127, 0, 0, 1], 7).into();
        all.happened(from, &Happening::Came(peer(1)));
        asks(&all, peer(1), Outcome::Answered);
        let reason = kappadb_sync::Refusal::UnknownView;
        asks(&all, peer(1), Outcome::Refused { reason, text: String::new() });
        let end = SessionEnd::Session(SessionError::Limit("MAX_SESSIONS"));
        let failed = kappadb_net::ServeError::Session { peer: peer(2), end };
        all.happened(from, &Happening::Failed(&failed));
        all.save().unwrap();
        let again = callers(dir.path());
        assert_eq!(again.list(), all.list());
        let [last, first] = again.list().try_into().unwrap();
        assert_eq!((last.peer, last.failed, last.questions), (peer(2).to_string(), 1, 0));
        let expected = Caller {
            peer: peer(1).to_string(),
            address: "127.0.0.1".to_owned(),
            timestamp: 1_002,
            sessions: 1,
            questions: 2,
            refused: 1,
            blocks: 4,
            bytes: 600,
            ..Caller::default()
        };
        assert_eq!(first, expected);
        assert!(again.is_known(&peer(1)) && !again.is_known(&peer(2)) && !again.is_known(&peer(3)));
        fs::write(dir.path().join("callers"), "nonsense\n\u{0}").unwrap();
        assert!(callers(dir.path()).list().is_empty());
    }

    #[test]
    fn there_are_so_many_at_most_and_those_who_ask_stay() {
        let dir = tempfile::tempdir().unwrap();
        let all = callers(dir.path());
        asks(&all, peer(1), Outcome::Answered);
        let many = u16::try_from(MAX_CALLERS).unwrap();
        for n in 2..2 * many {
            all.happened(([127, 0, 0, 1], 7).into(), &Happening::Came(peer(n)));
        }
        assert_eq!(all.list().len(), MAX_CALLERS);
        assert!(all.is_known(&peer(1)));
    }
}
