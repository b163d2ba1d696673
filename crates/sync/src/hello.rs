//! What both sides say of themselves in the handshake, and what they agree on.

use bincode::{Decode, Encode};
use kappadb_core::codec::{self, DecodeError};
use kappadb_core::limits::{MAX_HELLO, MAX_HELLO_EXTRA};
use kappadb_core::limits::{MAX_OPEN_QUERIES, MAX_SESSION_FEEDS};

/// The protocol version that this crate speaks.
pub const VERSION: u16 = 2;

/// Sent by each side in the handshake, before any frame.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Oldest version spoken.
    pub min_version: u16,
    /// Newest version spoken.
    pub max_version: u16,
    /// Queries that the other side may have open here.
    pub open_queries: u32,
    /// Feeds that the other side may speak of.
    pub session_feeds: u32,
    /// What its clock shows, in milliseconds since 1970; 0 if it does not say. A hint for people whose clock is wrong, and no more.
    pub now: i64,
    /// Which opening of which folder speaks: at random. Copies of a folder have one identity, and differ in this.
    pub instance: u64,
    /// Room for later versions; not looked at. At most [`MAX_HELLO_EXTRA`] bytes.
    pub extra: Vec<u8>,
}

/// What two hellos amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The version spoken.
    pub version: u16,
    /// Queries that each side may have open at the other.
    pub open_queries: usize,
    /// Feeds that each side may speak of.
    pub session_feeds: usize,
}

/// Why two sides cannot talk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HelloError {
    /// The bytes are no hello.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// No version is spoken by both.
    #[error(
        "the peer speaks protocol versions {theirs_min} to {theirs_max}, this side {ours_min} to {ours_max}"
    )]
    Version {
        /// Oldest of the peer.
        theirs_min: u16,
        /// Newest of the peer.
        theirs_max: u16,
        /// Oldest of this side.
        ours_min: u16,
        /// Newest of this side.
        ours_max: u16,
    },
    /// The peer leaves no room for a single query or feed.
    #[error("the peer allows {open_queries} queries and {session_feeds} feeds: nothing can be asked")]
    Nothing {
        /// Queries allowed.
        open_queries: u32,
        /// Feeds allowed.
        session_feeds: u32,
    },
}

/// This version, the limits of this project.
impl Default for Hello {
    fn default() -> Self {
        let fit = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        Hello {
            min_version: VERSION,
            max_version: VERSION,
            open_queries: fit(MAX_OPEN_QUERIES),
            session_feeds: fit(MAX_SESSION_FEEDS),
            now: 0,
            instance: 0,
            extra: Vec::new(),
        }
    }
}

impl Hello {
    /// The bytes for the handshake; `extra` is cut to its limit.
    pub fn encode(&self) -> Vec<u8> {
        let mut hello = self.clone();
        hello.extra.truncate(MAX_HELLO_EXTRA);
        codec::encode(&hello)
    }

    /// Reads what [`Hello::encode`] wrote, all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Hello, HelloError> {
        let hello = codec::decode::<Hello, MAX_HELLO>("hello", bytes)?;
        match hello.extra.len() {
            0..=MAX_HELLO_EXTRA => Ok(hello),
            len => Err(DecodeError::TooLong { what: "hello extra", len, limit: MAX_HELLO_EXTRA }.into()),
        }
    }

    /// The version that both speak and the smaller of each limit. Both sides come to the same.
    pub fn agree(&self, theirs: &Hello) -> Result<Agreed, HelloError> {
        let version = self.max_version.min(theirs.max_version);
        if version < self.min_version.max(theirs.min_version) {
            return Err(HelloError::Version {
                theirs_min: theirs.min_version,
                theirs_max: theirs.max_version,
                ours_min: self.min_version,
                ours_max: self.max_version,
            });
        }
        let open_queries = self.open_queries.min(theirs.open_queries);
        let session_feeds = self.session_feeds.min(theirs.session_feeds);
        if open_queries == 0 || session_feeds == 0 {
            return Err(HelloError::Nothing { open_queries, session_feeds });
        }
        let fit = |limit: u32, ours: usize| usize::try_from(limit).unwrap_or(usize::MAX).min(ours);
        Ok(Agreed {
            version,
            open_queries: fit(open_queries, MAX_OPEN_QUERIES),
            session_feeds: fit(session_feeds, MAX_SESSION_FEEDS),
        })
    }
}

/// Two sides of this version.
impl Default for Agreed {
    fn default() -> Self {
        Agreed { version: VERSION, open_queries: MAX_OPEN_QUERIES, session_feeds: MAX_SESSION_FEEDS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn speaking(min_version: u16, max_version: u16) -> Hello {
        Hello { min_version, max_version, ..Hello::default() }
    }

    #[test]
    fn the_newest_common_version_is_spoken() {
        let agreed = |a: &Hello, b: &Hello| a.agree(b).map(|agreed| agreed.version);
        assert_eq!(agreed(&speaking(1, 4), &speaking(2, 9)), Ok(4));
        assert!(matches!(agreed(&speaking(1, 1), &speaking(2, 9)), Err(HelloError::Version { .. })));
        assert_eq!(Hello::default().agree(&Hello::default()), Ok(Agreed::default()));
    }

    #[test]
    fn the_smaller_limit_holds_and_none_is_an_error() {
        let small = Hello { open_queries: 3, ..Hello::default() };
        assert_eq!(Hello::default().agree(&small).map(|a| a.open_queries), Ok(3));
        let greedy = Hello { open_queries: u32::MAX, session_feeds: u32::MAX, ..Hello::default() };
        assert_eq!(greedy.agree(&greedy), Ok(Agreed::default()));
        let none = Hello { session_feeds: 0, ..Hello::default() };
        assert!(matches!(small.agree(&none), Err(HelloError::Nothing { .. })));
    }

    proptest! {
        #[test]
        fn round_trips(min: u16, max: u16, open: u32, feeds: u32, now: i64, extra in prop::collection::vec(any::<u8>(), 0..50)) {
            let hello = Hello { min_version: min, max_version: max, open_queries: open, session_feeds: feeds, now, instance: u64::from(open) << 7, extra };
            prop_assert_eq!(Hello::decode(&hello.encode()), Ok(hello));
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(hello) = Hello::decode(&bytes) {
                prop_assert_eq!(hello.encode(), bytes);
            }
        }
    }
}
