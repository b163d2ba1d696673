//! What this view can be asked beyond the common selectors.

use bincode::{Decode, Encode};
use kappadb_chat::Lane;
use kappadb_core::{FeedKey, Timestamp, codec};
use kappadb_query::Selector;

/// A question in this view's words. Channels are folded names.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Ask {
    /// The first messages of a window from one of its ends on, and what it takes to show them: topic, archive, the names of their
    /// authors, flags. With limit 0 all of the window. Who holds messages that the peer does not hold, or asks several peers, must ask
    /// for the names of all authors by key as well: a peer knows only those of its own messages.
    Screen {
        /// The channel.
        channel: String,
        /// Milliseconds, included.
        from: i64,
        /// Milliseconds, included.
        to: i64,
        /// Messages wanted that are there.
        limit: u32,
        /// True to begin with the latest.
        backwards: bool,
        /// Where `to` is the asker's clock: so many of the first messages after it are wanted too. They are not shown, but tell that
        /// a clock is wrong.
        ahead: u32,
    },
    /// What came lately to some channels, and what it takes to show it: of each the latest messages of a window, and of those before it the
    /// ones that came last to the peer.
    Lately {
        /// At most [`Ask::MAX_CHANNELS`].
        channels: Vec<Lately>,
        /// Of all channels that are not named, if they are wanted. Its own name says nothing.
        others: Option<Lately>,
        /// The asker's clock, in milliseconds.
        to: i64,
    },
    /// Topic, archive, members and their names, flags. As to names, see [`Ask::Screen`].
    State {
        /// The channel.
        channel: String,
        /// The asker's clock, in milliseconds: what is not due counts only where nothing is.
        to: i64,
    },
    /// A piece of evidence for each channel, and all topics and archives.
    Channels {
        /// The asker's clock, in milliseconds: what is not due counts only where nothing is.
        to: i64,
    },
    /// All that a feed wrote.
    Author(FeedKey),
    /// All flags.
    Flags,
    /// What a feed says of itself.
    Profile(FeedKey),
    /// A piece of evidence for each feed that wrote private messages in a window, whoever they are for: its nickname, or if it has none one of the
    /// messages. So who asks learns that there is such a feed, and holds no more of what is others'.
    Correspondents {
        /// Milliseconds, included.
        from: i64,
        /// Milliseconds, included.
        to: i64,
    },
    /// The private messages of some lanes, and what it takes to show them: the names of their authors, flags.
    Private {
        /// At most [`Ask::MAX_LANES`].
        lanes: Vec<Lane>,
        /// Milliseconds, included.
        from: i64,
        /// Milliseconds, included.
        to: i64,
    },
}

/// What is asked of a channel in [`Ask::Lately`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Lately {
    /// The channel.
    pub channel: String,
    /// Order time in milliseconds, included.
    pub from: i64,
    /// Messages wanted of the window.
    pub limit: u32,
    /// Messages wanted, and deletes, and edits, that stand before the window and came last.
    pub late: u32,
}

impl Ask {
    /// Channels in one question, at most.
    pub const MAX_CHANNELS: usize = 100;
    /// Lanes in one question, at most.
    pub const MAX_LANES: usize = 1024;
    const MAX: usize = 32 << 10;

    /// As a selector.
    pub fn selector(&self) -> Selector {
        Selector::Custom(codec::encode(self))
    }

    /// The same question without an end in time, if these are the words of one that goes up to `now` or beyond: that of everybody
    /// who asks for all up to a moment that has come.
    pub fn timeless(words: &[u8], now: Timestamp) -> Option<Selector> {
        let mut ask = Ask::decode(words)?;
        let to = match &mut ask {
            Ask::Screen { to, .. }
            | Ask::Lately { to, .. }
            | Ask::State { to, .. }
            | Ask::Channels { to } => to,
            Ask::Correspondents { to, .. } | Ask::Private { to, .. } => to,
            Ask::Author(_) | Ask::Flags | Ask::Profile(_) => return None,
        };
        (*to >= now.0).then(|| *to = i64::MAX)?;
        Some(ask.selector())
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Ask> {
        codec::decode::<Ask, { Ask::MAX }>("chat question", bytes).ok()
    }
}
