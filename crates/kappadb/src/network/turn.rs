//! What a peer is asked with while it has its turn, and how that may come to nothing.

use super::Network;
use super::links::Link;
use crate::engine;
use crate::error::{AskError, ReadError};
use kappadb_core::{FeedDefinition, FeedKey, Lseq, RangeSet};
use kappadb_query::Selector;
use kappadb_sync::{Ask, Coverage, Fetch, Rest};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// What a peer is asked with while it has its turn.
pub(super) struct Turn {
    pub(super) parts: Arc<Network>,
    pub(super) link: Link,
}

/// What is asked of a peer.
pub(super) struct Wish {
    pub(super) view: String,
    pub(super) selector: Selector,
    /// Feeds of which nothing is wanted.
    pub(super) without: BTreeSet<FeedKey>,
    /// Feeds that are asked after by name, beside those that always are.
    pub(super) named: Vec<FeedDefinition>,
    /// Blocks are wanted, not where they are.
    pub(super) inline: bool,
    /// Where the log ended when the peer's answer to this was last taken in: of what came before it sends nothing.
    pub(super) met: Option<Lseq>,
}

/// Which blocks a peer would send, and what it says of feeds.
pub(super) struct Listed {
    pub(super) blocks: BTreeMap<FeedKey, RangeSet>,
    pub(super) statement: Vec<Coverage>,
    pub(super) rest: Rest,
}

/// Why a turn came to nothing.
pub(super) enum Trouble {
    /// The peer failed: it is left behind.
    Peer(AskError),
    /// This replica did.
    Here(ReadError),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Peer(error) => error.fmt(f),
            Trouble::Here(error) => error.fmt(f),
        }
    }
}

impl From<kappadb_net::AskError> for Trouble {
    fn from(error: kappadb_net::AskError) -> Self {
        Trouble::Peer(error.into())
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Trouble::Here(error)
    }
}

impl Turn {
    /// How to ask for what of these blocks is not held here whole; none if all is.
    pub(super) async fn lacking(&self, feed: FeedKey, ranges: RangeSet) -> Result<Option<Fetch>, ReadError> {
        let link = self.link.clone();
        let look = move |parts: &Network| {
            let forget = link.has_lost(parts.losses());
            let whole = parts.feeds.whole(&feed);
            let ranges = ranges.minus(&whole);
            let known = parts.feeds.known(&feed, &whole);
            (!ranges.is_empty()).then_some(Fetch { feed, ranges, known, forget })
        };
        engine::run(&self.parts, look).await
    }

    /// What a peer has stated, if all that it has listed is held here, of the same history as far as both can tell, and counts.
    pub(super) async fn holds(&self, listed: Listed) -> Result<Option<(Vec<Coverage>, Rest)>, ReadError> {
        let holds = move |parts: &Network| {
            // What came is seen once it is durable.
            parts.feeds.sync()?;
            let Listed { blocks, statement, rest } = listed;
            let at = |feed: &FeedKey| {
                statement.iter().find(|said| said.definition.feed == *feed).map(|said| said.at)
            };
            for (feed, ranges) in &blocks {
                let at = at(feed).filter(|at| *at > 0);
                let root = at.map(|at| parts.feeds.root_at(feed, at)).transpose()?.flatten();
                let lacks = !ranges.minus(&parts.feeds.whole(feed)).is_empty();
                if root.is_none() || lacks || parts.beyond(feed, ranges) > 0 {
                    return Ok(None);
                }
            }
            Ok::<_, ReadError>(Some((statement, rest)))
        };
        engine::run(&self.parts, holds).await?
    }

    /// The question as it is put to this peer now.
    pub(super) async fn prepare(&self, wish: Wish) -> Result<Ask, ReadError> {
        let link = self.link.clone();
        let look = move |parts: &Network| {
            let Wish { view, selector, without, named, inline, met } = wish;
            // First: what is given up meanwhile is noticed the next time.
            let forget = link.has_lost(parts.losses());
            // What is written here comes first: there may be no room for all.
            let first = parts.to_name();
            let others = named.into_iter().filter(|definition| !first.contains(&definition.feed));
            let first = first.iter().filter_map(|feed| parts.feeds.definition(feed));
            let named =
                first.chain(others).filter(|definition| !without.contains(&definition.feed)).collect();
            let mut have = parts.have(&view, &selector, met)?;
            have.retain(|have| !without.contains(&have.definition.feed));
            let forks = parts.forks_to_tell();
            Ok::<_, ReadError>(Ask {
                view,
                selector,
                inline,
                have,
                named,
                forks,
                without,
                live: None,
                forget,
            })
        };
        engine::run(&self.parts, look).await?
    }
}
