//! Keys of what is said of channels and writers.
//!
//! ```text
//! t | channel                                  what a channel is about
//! a | channel                                  whether it is archived
//! m | channel length u16 | channel | feed      whether a writer is in a channel
//! p | feed | field                             what a writer says of itself
//! f | scope length u16 | scope | feed | by     the flags that one sets on another, in a channel or (empty) everywhere
//! ```
//!
//! Channels are folded names, feeds 32 bytes, lengths big-endian: names may have any character, and no key can be read in two ways.

use crate::{Channel, code};
use kappadb_core::FeedKey;

/// Keys of topics begin so.
pub const TOPICS: &[u8] = b"t";
/// Keys of archives begin so.
pub const ARCHIVES: &[u8] = b"a";
/// Keys of memberships begin so.
pub const MEMBERS: &[u8] = b"m";
/// Keys of what writers say of themselves begin so.
pub const PROFILES: &[u8] = b"p";
/// Keys of flags begin so.
pub const FLAGS: &[u8] = b"f";

/// What an entry of the chat's space is about, if it has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateKey<'a> {
    /// What a channel is about.
    Topic(&'a str),
    /// Whether it is archived.
    Archive(&'a str),
    /// Whether a writer is in a channel.
    Member {
        /// The channel.
        channel: &'a str,
        /// The writer: only it may say so.
        feed: FeedKey,
    },
    /// What a writer says of itself.
    Profile {
        /// The writer: only it may say so.
        feed: FeedKey,
        /// Which part, of 1 to 32 characters.
        field: &'a str,
    },
    /// The flags that one writer sets on another.
    Flags {
        /// The channel; empty is everywhere.
        scope: &'a str,
        /// On whom.
        target: FeedKey,
        /// Who: only it may say so.
        by: FeedKey,
    },
}

fn counted(prefix: &[u8], name: &str) -> Vec<u8> {
    // Names have at most 256 bytes.
    let len = u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes();
    [prefix, &len, name.as_bytes()].concat()
}

fn read_counted(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

fn read_feed(bytes: &[u8]) -> Option<(FeedKey, &[u8])> {
    let (feed, rest) = bytes.split_first_chunk::<32>()?;
    Some((FeedKey(*feed), rest))
}

/// Keys of memberships of a channel begin so.
pub fn members_of(channel: &str) -> Vec<u8> {
    counted(MEMBERS, channel)
}

/// Keys of flags that are set in a channel (or, for an empty name, everywhere) begin so.
pub fn flags_in(scope: &str) -> Vec<u8> {
    counted(FLAGS, scope)
}

/// Keys of what a writer says of itself begin so.
pub fn profile_of(feed: &FeedKey) -> Vec<u8> {
    [PROFILES, &feed.0].concat()
}

impl<'a> StateKey<'a> {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            StateKey::Topic(channel) => [b"t", channel.as_bytes()].concat(),
            StateKey::Archive(channel) => [b"a", channel.as_bytes()].concat(),
            StateKey::Member { channel, feed } => [&members_of(channel)[..], &feed.0].concat(),
            StateKey::Profile { feed, field } => [&profile_of(feed)[..], field.as_bytes()].concat(),
            StateKey::Flags { scope, target, by } => [&flags_in(scope)[..], &target.0, &by.0].concat(),
        }
    }

    /// Reads a key; none if it is none of these, or its names cannot be.
    pub fn decode(key: &'a [u8]) -> Option<StateKey<'a>> {
        let (tag, rest) = key.split_first()?;
        let whole = || std::str::from_utf8(rest).ok().filter(|name| Channel::is_folded(name));
        match tag {
            b't' => Some(StateKey::Topic(whole()?)),
            b'a' => Some(StateKey::Archive(whole()?)),
            b'm' => {
                let (channel, rest) = read_counted(rest)?;
                let (feed, rest) = read_feed(rest)?;
                (rest.is_empty() && Channel::is_folded(channel)).then_some(StateKey::Member { channel, feed })
            }
            b'p' => {
                let (feed, field) = read_feed(rest)?;
                let field = std::str::from_utf8(field).ok()?;
                (1..=32).contains(&field.chars().count()).then_some(StateKey::Profile { feed, field })
            }
            b'f' => {
                let (scope, rest) = read_counted(rest)?;
                let (target, rest) = read_feed(rest)?;
                let (by, rest) = read_feed(rest)?;
                let sound = rest.is_empty() && (scope.is_empty() || Channel::is_folded(scope));
                sound.then_some(StateKey::Flags { scope, target, by })
            }
            _ => None,
        }
    }

    /// True if an entry of this kind can be about this.
    pub fn is_of(&self, code: u8) -> bool {
        match self {
            StateKey::Topic(_) => code == code::TOPIC,
            StateKey::Archive(_) => matches!(code, code::ARCHIVE | code::UNARCHIVE),
            StateKey::Member { .. } => matches!(code, code::JOIN | code::LEAVE),
            StateKey::Profile { .. } => code == code::PROFILE,
            StateKey::Flags { .. } => code == code::FLAGS,
        }
    }

    /// True if what this feed says under this key counts.
    pub fn may_be_written_by(&self, writer: &FeedKey) -> bool {
        match self {
            StateKey::Topic(_) | StateKey::Archive(_) => true,
            StateKey::Member { feed: subject, .. }
            | StateKey::Profile { feed: subject, .. }
            | StateKey::Flags { by: subject, .. } => subject == writer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_written_and_in_one_way_only() {
        let (a, b) = (FeedKey([0x2f; 32]), FeedKey([b'm'; 32]));
        let keys = [
            StateKey::Topic("a/b"),
            StateKey::Archive("grösse"),
            StateKey::Member { channel: "a", feed: a },
            StateKey::Member { channel: "a/b", feed: b },
            StateKey::Profile { feed: a, field: "nick/x" },
            StateKey::Flags { scope: "", target: a, by: b },
            StateKey::Flags { scope: "a/b", target: b, by: a },
        ];
        for key in keys {
            let bytes = key.encode();
            assert_eq!(StateKey::decode(&bytes), Some(key));
            let longer = [&bytes[..], &[0]].concat();
            assert_ne!(StateKey::decode(&longer), Some(key));
            assert_ne!(StateKey::decode(&bytes[..bytes.len() - 1]), Some(key));
        }
        assert!(
            members_of("a/b").starts_with(&members_of("a")[..1])
                && !members_of("a/b").starts_with(&members_of("a"))
        );
        for bad in [&b""[..], b"x", b"t", b"tA", b"t\n", b"p", b"m\0\x01a", b"f\0\0", &[b't', 0xff]] {
            assert_eq!(StateKey::decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn only_its_subject_may_write_a_key() {
        let (a, b) = (FeedKey([1; 32]), FeedKey([2; 32]));
        let allowed = |key: StateKey<'_>| [key.may_be_written_by(&a), key.may_be_written_by(&b)];
        assert_eq!(allowed(StateKey::Topic("x")), [true, true]);
        assert_eq!(allowed(StateKey::Archive("x")), [true, true]);
        assert_eq!(allowed(StateKey::Member { channel: "x", feed: a }), [true, false]);
        assert_eq!(allowed(StateKey::Profile { feed: a, field: "nick" }), [true, false]);
        assert_eq!(allowed(StateKey::Flags { scope: "", target: b, by: a }), [true, false]);
    }
}
