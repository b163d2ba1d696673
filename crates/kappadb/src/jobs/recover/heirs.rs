//! The feeds that go on for one, here and in other copies of its folder, and what they say again.

use crate::engine;
use crate::error::{ReadError, RecoverError};
use crate::network::statement;
use crate::views::Parts;
use futures::future::join_all;
use kappadb_core::limits::MAX_RANGES;
use kappadb_core::{EntryId, FeedDefinition, FeedKey, Hash, RangeSet, Seq};
use kappadb_entry::{decode_block, origin_of};
use kappadb_net::PeerHandle;
use kappadb_sync::{Coverage, Fetch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long peers have to say what they know.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long each has to show it.
const SHOW: Duration = Duration::from_secs(60);

/// By the name of what was said again, who says it.
#[derive(Default)]
pub(super) struct Again(BTreeMap<Hash, Vec<Saying>>);

struct Saying {
    id: EntryId,
    /// Its own name, if it counts no more itself.
    name: Option<Hash>,
    /// True if it was written here.
    here: bool,
}

impl Again {
    /// An entry that counts and says it again; `here`: that was written here.
    pub fn find(&self, origin: &Hash, here: bool) -> Option<EntryId> {
        // No block can have the hash of what says it again in itself: this ends.
        let mut sayings = self.0.get(origin)?.iter();
        sayings.find_map(|saying| match &saying.name {
            Some(name) => self.find(name, here),
            None => Some(saying.id).filter(|_| saying.here || !here),
        })
    }
}

impl Parts {
    /// The feeds of this one's owner that go on for it: those that were begun here, and those that have its consent.
    pub(super) fn heirs(&self, feed: &FeedKey) -> Vec<FeedKey> {
        let goes_on = |heir: &FeedKey| match self.is_own(heir) {
            true => self.lineage(Some(*heir)).contains(feed),
            false => self.line(Some(*heir), FeedDefinition::heir_of).contains(feed),
        };
        let feeds = self.feeds.list().into_iter().map(|info| info.feed);
        feeds.filter(|heir| heir != feed && goes_on(heir)).collect()
    }

    /// What these feeds say again.
    pub(super) fn said_again(&self, heirs: &[FeedKey]) -> Result<Again, RecoverError> {
        let mut again = Again::default();
        let forks: BTreeMap<FeedKey, Seq> = self.feeds.exclusions().into_iter().collect();
        for heir in heirs {
            let counts_below = forks.get(heir).copied().unwrap_or(Seq::MAX);
            let here = self.is_own(heir);
            self.each_block(heir, &self.feeds.held(heir), &mut |id, block| {
                let origin = decode_block(block).ok().and_then(|entry| entry.header.origin());
                if let Some(origin) = origin {
                    let name = if id.seq < counts_below { None } else { origin_of(&id, block).ok() };
                    again.0.entry(origin).or_default().push(Saying { id, name, here });
                }
                Ok(())
            })?;
        }
        Ok(again)
    }

    /// What of these feeds is not here, of those that go on for `feed`. Heirs of heirs may be defined in any order.
    fn unheard(&self, feed: &FeedKey, said: &[Coverage]) -> Vec<(FeedKey, RangeSet)> {
        let told: BTreeMap<FeedKey, FeedDefinition> =
            said.iter().map(|coverage| (coverage.definition.feed, coverage.definition)).collect();
        let goes_on = |heir: &FeedDefinition| {
            let (mut seen, mut next) = (BTreeSet::from([heir.feed]), heir.heir_of());
            while let Some(before) = next.filter(|before| before != feed && seen.insert(*before)) {
                let definition = told.get(&before).copied().or_else(|| self.feeds.definition(&before));
                next = definition.and_then(|definition| definition.heir_of());
            }
            next == Some(*feed)
        };
        let heirs = said.iter().filter(|coverage| goes_on(&coverage.definition));
        heirs
            .map(|coverage| (coverage.definition.feed, coverage.length))
            .filter(|(heir, _)| !self.is_own(heir) && !self.feeds.is_dropped(heir))
            .map(|(heir, length)| (heir, RangeSet::below(length).minus(&self.feeds.held(&heir))))
            .filter(|(_, ranges)| !ranges.is_empty())
            .collect()
    }
}

/// Has the peers that answer show what other copies of the folder have said again: it is not said twice then. Who is not there now is not waited for.
pub(crate) async fn hear_heirs(parts: &Arc<Parts>, feed: FeedKey) -> Result<(), ReadError> {
    let network = &parts.network;
    let asked = network
        .links
        .each(network)
        .into_iter()
        .map(|link| timeout(PATIENCE, statement(network, link, Some(feed))));
    let answers = join_all(asked).await;
    for (link, said) in answers.into_iter().filter_map(|answer| answer.ok()?.transpose()).flatten() {
        let peer = link.session.peer();
        match timeout(SHOW, hear(parts, &link.session, feed, said)).await {
            Ok(heard) => heard?,
            Err(_) => tracing::warn!(%peer, "a peer did not show in time what another copy wrote"),
        }
    }
    engine::run(parts, |parts| parts.feeds.sync()).await??;
    Ok(())
}

async fn hear(
    parts: &Arc<Parts>,
    session: &PeerHandle,
    feed: FeedKey,
    said: Vec<Coverage>,
) -> Result<(), ReadError> {
    let unheard = engine::run(parts, move |parts| parts.unheard(&feed, &said)).await?;
    for (heir, ranges) in unheard {
        let ranges: RangeSet = ranges.ranges().iter().take(MAX_RANGES).cloned().collect();
        let known =
            engine::run(parts, move |parts| parts.feeds.known(&heir, &parts.feeds.held(&heir))).await?;
        if let Err(error) = session.fetch(Fetch { feed: heir, ranges, known, forget: false }).await {
            tracing::warn!(%heir, peer = %session.peer(), %error, "a peer did not show what another copy wrote");
        }
    }
    Ok(())
}
