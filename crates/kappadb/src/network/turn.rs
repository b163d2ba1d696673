//! What a peer is asked with while it has its turn, and how that may come to nothing.

use super::Network;
use super::links::Link;
use crate::engine;
use crate::error::{AskError, ReadError};
use kappadb_core::{FeedDefinition, FeedKey, RangeSet};
use kappadb_net::Update;
use kappadb_query::Selector;
use kappadb_sync::{Ask, Coverage, Fetch, Rest, SignedStatement, Words};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// What a peer is asked with while it has its turn.
pub(super) struct Turn {
    pub(super) parts: Arc<Network>,
    pub(super) link: Link,
}

/// Ranges that a peer may list of what it has, before it had better send it.
const LISTED: usize = 10_000;

/// What is asked of a peer.
pub(super) struct Wish {
    pub(super) view: String,
    pub(super) selector: Selector,
    /// Feeds of which nothing is wanted.
    pub(super) without: BTreeSet<FeedKey>,
    /// Feeds that are asked after by name, beside those that always are.
    pub(super) named: Vec<FeedDefinition>,
    /// The peer is to claim only what it holds whole.
    pub(super) direct: bool,
    /// Blocks are wanted, not where they are.
    pub(super) inline: bool,
    /// Of a question for everything: of which feeds the peer may have something that is held here; none if of all.
    pub(super) theirs: Option<BTreeSet<FeedKey>>,
}

/// Which blocks a peer would send, and what it says of its answer.
pub(super) struct Listed {
    pub(super) blocks: BTreeMap<FeedKey, RangeSet>,
    pub(super) stated: Stated,
}

/// What a peer says of its answer.
pub(super) struct Stated {
    /// By feed, as far as it speaks of them.
    pub(super) coverage: Vec<Coverage>,
    /// What it does not speak of.
    pub(super) rest: Rest,
    /// On whose word that is, its own among them.
    pub(super) words: Words,
    /// The same as it was signed, if it was.
    pub(super) signed: Option<Box<SignedStatement>>,
    /// Who says so.
    pub(super) peer: FeedKey,
}

impl Stated {
    /// What was said of lengths still holds; of what is in the answer nothing does.
    pub(super) fn claim_nothing(&mut self) {
        self.coverage.iter_mut().for_each(|coverage| coverage.claimed = 0);
        self.signed = None;
    }
}

/// Why a turn came to nothing.
pub(super) enum Trouble {
    /// The peer failed: it is left behind.
    Peer(AskError),
    /// This replica did.
    Here(ReadError),
}

impl Trouble {
    /// True if the peer cannot tell what came since a token.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Trouble::Peer(error) if error.is_stale())
    }
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
    /// What the peer says of its answer, and on whose `words` beside its own.
    pub(super) fn stated(&self, coverage: Vec<Coverage>, rest: Rest, words: &Words) -> Stated {
        let peer = self.link.session.peer();
        let words = words.told_by(peer, &self.parts.identity.public());
        Stated { coverage, rest, words, signed: None, peer }
    }

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

    /// Has the peer say which blocks it would send, while others send theirs. None if these are so many that it had better wait for its turn.
    pub(super) async fn list(self, wish: Wish) -> Result<Option<Listed>, Trouble> {
        let mut asked = self.link.session.question(self.prepare(wish).await?);
        let mut blocks = BTreeMap::<FeedKey, RangeSet>::new();
        let mut most = LISTED;
        while let Some(update) = asked.next().await {
            match update? {
                Update::Ranges { feed, ranges } => {
                    let Some(left) = most.checked_sub(ranges.ranges().len()) else { return Ok(None) };
                    most = left;
                    blocks.entry(feed).or_default().union_with(&ranges);
                }
                Update::Done { statement, rest, words, signed, .. } => {
                    let stated = Stated { signed, ..self.stated(statement, rest, &words) };
                    return Ok(Some(Listed { blocks, stated }));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// What a peer has stated, if all that it has listed is held here, of the same history as far as both can tell, and counts.
    pub(super) async fn holds(&self, listed: Listed) -> Result<Option<Stated>, ReadError> {
        let holds = move |parts: &Network| {
            // What came is seen once it is durable.
            parts.feeds.sync()?;
            let Listed { blocks, stated } = listed;
            let at: BTreeMap<FeedKey, u64> =
                stated.coverage.iter().map(|said| (said.definition.feed, said.at)).collect();
            for (feed, ranges) in &blocks {
                let at = at.get(feed).copied().filter(|at| *at > 0);
                let root = at.map(|at| parts.feeds.root_at(feed, at)).transpose()?.flatten();
                let lacks = !ranges.minus(&parts.feeds.whole(feed)).is_empty();
                if root.is_none() || lacks || parts.beyond(feed, ranges) > 0 {
                    return Ok(None);
                }
            }
            Ok::<_, ReadError>(Some(stated))
        };
        engine::run(&self.parts, holds).await?
    }

    /// The question as it is put to this peer now.
    pub(super) async fn prepare(&self, wish: Wish) -> Result<Ask, ReadError> {
        let link = self.link.clone();
        let look = move |parts: &Network| {
            let Wish { view, selector, without, named, direct, inline, theirs } = wish;
            // First: what is given up meanwhile is noticed the next time.
            let forget = link.has_lost(parts.losses());
            // What is written here comes first: there may be no room for all.
            let first = parts.to_name();
            let others = named.into_iter().filter(|definition| !first.contains(&definition.feed));
            let first = first.iter().filter_map(|feed| parts.feeds.definition(feed));
            let named =
                first.chain(others).filter(|definition| !without.contains(&definition.feed)).collect();
            let mut have = parts.have(&view, &selector, theirs.as_ref())?;
            have.retain(|have| !without.contains(&have.definition.feed));
            let forks = parts.forks_to_tell();
            Ok::<_, ReadError>(Ask {
                view,
                selector,
                inline,
                direct,
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
