//! Feeds whose writers signed two histories: what answers then rest on, how a fork is found, what people should know of it.
//!
//! Whatever a peer leaves out of an answer, it leaves out because of entries that count there. So both must leave out the same forked
//! feeds: the asker tells what it knows before it asks, the peer before it states; and if the asker learns of a fork
//! meanwhile, it asks again. Feeds that were dropped here are named in the question, and the peer answers as if it held nothing of them.
//! What the claims rest on is their *ground*. See `design/model.md`, "Forks" and "Dropped feeds".

use super::Network;
use super::claims::OwnAnswer;
use super::link::Call;
use super::turn::{Stated, Trouble, Turn};
use crate::engine::{self, Engine};
use crate::error::{AskError, ReadError};
use crate::folder::recovered;
use kappadb_core::limits::{FORKS_TOLD_FIRST, MAX_FEED_BLOCKS, MAX_FORKS_TOLD, MAX_NAMED_FEEDS, MAX_WITHOUT};
use kappadb_core::{FeedDefinition, FeedKey, Hash, RangeSet, Seq, blake2b256, codec};
use kappadb_feed::FeedInfo;
use kappadb_merkle::ForkEvidence;
use kappadb_net::AskError as Unanswered;
use kappadb_net::PeerHandle;
use kappadb_node::SessionId;
use kappadb_sync::statement::{gaps, merge};
use kappadb_sync::{Coverage, Fetch, Fork, QueryError, RootTag};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks asked for to have a fork proved.
const PROBES: usize = 64;

/// What an answer rests on, beside what is held: the entries that are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ground {
    /// Of each feed, from which seq on. Of those dropped, all.
    excluded: BTreeMap<FeedKey, Seq>,
    /// On the block list, or of whom a reader of chat wants nothing.
    dropped: BTreeSet<FeedKey>,
    /// How often something that had come was let go of because the disk did not take it: what peers sent meanwhile may be gone.
    setbacks: u64,
}

impl Ground {
    /// From which seq on a feed is left out.
    pub fn excluded(&self) -> &BTreeMap<FeedKey, Seq> {
        &self.excluded
    }

    /// The feeds of which nothing is wanted here, as far as a question can name them.
    pub fn without(&self) -> BTreeSet<FeedKey> {
        self.dropped.iter().take(MAX_WITHOUT).copied().collect()
    }

    /// True if peers can be told of all of it.
    pub fn is_shared(&self) -> bool {
        self.dropped.len() <= MAX_WITHOUT
    }

    /// True if what was claimed on this ground holds for somebody who has dropped the feeds `without`: of an answer in which nothing of
    /// more feeds was, nothing is lacking because of them.
    pub fn serves(&self, without: &BTreeSet<FeedKey>) -> bool {
        without.is_subset(&self.dropped)
    }

    /// Its name in claims.
    pub fn name(&self) -> Option<Hash> {
        let ground = (&self.excluded, &self.dropped);
        (!self.excluded.is_empty()).then(|| blake2b256(&[&codec::encode(&ground)]))
    }
}

/// The feeds whose forks mattered last: found, heard of, or met in an answer. The latest last.
#[derive(Default)]
pub(super) struct LateForks(Mutex<VecDeque<FeedKey>>);

impl LateForks {
    pub fn note(&self, feed: FeedKey) {
        let mut late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        late.retain(|earlier| *earlier != feed);
        late.push_back(feed);
        if late.len() > MAX_FORKS_TOLD - FORKS_TOLD_FIRST {
            late.pop_front();
        }
    }

    fn list(&self) -> Vec<FeedKey> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// What the peers said to one question.
pub(super) struct Answers {
    pub ground: Ground,
    /// Nobody's word counts who was not asked.
    pub direct: bool,
    /// By session.
    pub stated: BTreeMap<SessionId, Stated>,
}

impl Answers {
    pub fn new(ground: Ground, direct: bool) -> Answers {
        Answers { ground, direct, stated: BTreeMap::new() }
    }

    /// What one peer said.
    pub fn of(ground: Ground, peer: SessionId, stated: Stated) -> Answers {
        Answers { ground, direct: false, stated: BTreeMap::from([(peer, stated)]) }
    }

    /// True if a peer lacks something of feeds that it did not speak of, for there were too many.
    pub fn is_cut_short(&self) -> bool {
        self.stated.values().any(|stated| stated.rest.lacking > 0)
    }

    /// Feeds, as peers define them, of which something is lacking and nobody was asked by name, if peers have feeds whole that they did not speak of,
    /// which may be these. `own` is what this replica says itself.
    pub fn unspoken(&self, own: &[OwnAnswer], named: &[FeedDefinition]) -> Vec<FeedDefinition> {
        if self.stated.values().all(|stated| stated.rest.whole == 0) {
            return Vec::new();
        }
        let said = || self.stated.values().flat_map(|stated| &stated.coverage);
        let all = merge(said().map(Coverage::covered).chain(own.iter().map(OwnAnswer::said)));
        let named: BTreeSet<FeedKey> = named.iter().map(|definition| definition.feed).collect();
        let gaps: BTreeSet<FeedKey> =
            gaps(&all, &self.ground.excluded).filter(|feed| !named.contains(feed)).collect();
        let definitions = said().map(|coverage| coverage.definition);
        definitions.filter(|definition| gaps.contains(&definition.feed)).collect()
    }

    /// What was said of lengths still holds; of what is in the answer nothing does.
    pub fn claim_nothing(&mut self) {
        self.stated.values_mut().for_each(Stated::claim_nothing);
    }
}

/// What a statement says of a root.
pub(super) fn tag(root: &Hash) -> RootTag {
    root.0.first_chunk().copied().unwrap_or_default()
}

/// What is to be fetched after a peer's answer.
#[derive(Debug, Default)]
struct Followups {
    /// Blocks of feeds of which the peer has another history than this replica.
    suspects: Vec<(FeedKey, RangeSet)>,
    /// Blocks that link heads to the newest one, or show that they cannot be, and the ends of own feeds that are longer there.
    wanted: Vec<(FeedKey, RangeSet)>,
}

impl Network {
    pub(crate) fn ground(&self) -> Ground {
        let dropped: BTreeSet<FeedKey> = self.feeds.dropped().into_iter().collect();
        // Also those of which nothing is held here.
        let all = dropped.iter().map(|feed| (*feed, 0));
        let excluded = self.feeds.exclusions().into_iter().chain(all).collect();
        Ground { excluded, dropped, setbacks: self.feeds.setbacks() }
    }

    /// What a question of a view rests on. Of whom its reader wants nothing ([`ViewRules::unwanted`](super::ViewRules::unwanted)) peers are asked as if
    /// these feeds were dropped, and what is shown so holds only as long as it is the same ones.
    pub(super) fn ground_of(self: &Arc<Self>, view: &str, reader: &Arc<str>) -> Result<Ground, ReadError> {
        let mut ground = self.ground();
        let unwanted = self.rules.of(view).unwanted(self, reader)?;
        ground.excluded.extend(unwanted.iter().map(|feed| (*feed, 0)));
        ground.dropped.extend(unwanted);
        Ok(ground)
    }

    /// The forks that peers are told of: those that mattered last, and those of the feeds that most is held of. If another one matters to an
    /// answer, what comes shows it ([`Network::beyond`]), and then it is told.
    pub(super) fn forks_to_tell(&self) -> Vec<Fork> {
        let mut forked: Vec<FeedInfo> =
            self.feeds.list().into_iter().filter(|info| info.fork.is_some() && !info.dropped).collect();
        forked.sort_by_key(|info| Reverse(info.held));
        let most = forked.iter().take(FORKS_TOLD_FIRST).map(|info| info.feed);
        let due: BTreeSet<FeedKey> = self.late_forks.list().into_iter().chain(most).collect();
        let fork = |feed| {
            Some(Fork { definition: self.feeds.definition(&feed)?, evidence: self.feeds.fork(&feed)? })
        };
        due.into_iter().filter_map(fork).take(MAX_FORKS_TOLD).collect()
    }

    /// How many of these blocks count nowhere, for their feed forked before them.
    pub(super) fn beyond(&self, feed: &FeedKey, ranges: &RangeSet) -> u64 {
        let below = |fork| ranges.intersection(&RangeSet::below(fork)).count();
        self.feeds.forked_from(feed).map_or(0, |fork| ranges.count() - below(fork))
    }

    /// The evidence that an answer goes with: for forked feeds of which the asker `may_have` something. Of the others it need not know: they
    /// are said to be as long as they count.
    pub(super) fn state_forks(
        &self,
        coverage: &mut [Coverage],
        may_have: impl Fn(&FeedKey) -> bool,
    ) -> Vec<ForkEvidence> {
        let mut evidence = Vec::new();
        for coverage in coverage {
            let feed = coverage.definition.feed;
            let Some(fork) = self.feeds.forked_from(&feed) else { continue };
            if may_have(&feed) {
                evidence.extend(self.feeds.fork(&feed));
            } else {
                coverage.length = coverage.length.min(fork);
                (coverage.at, coverage.root) = (0, [0; 16]);
            }
        }
        evidence
    }

    /// Those of these definitions that hold, one of a feed, as many as can be named: what one peer says of a feed is not to fall back on another.
    pub(super) fn true_ones(&self, mut said: Vec<FeedDefinition>) -> Vec<FeedDefinition> {
        let holds = |definition: &FeedDefinition| {
            let known = self.feeds.definition(&definition.feed);
            known.map_or_else(
                || definition.verify(&self.access.database).is_ok(),
                |known| known == *definition,
            )
        };
        let mut seen = BTreeSet::new();
        said.retain(|definition| {
            let is_new = seen.len() < MAX_NAMED_FEEDS && !seen.contains(&definition.feed);
            is_new && holds(definition) && seen.insert(definition.feed)
        });
        said
    }

    /// Feeds of which every peer is asked how they stand: those that are written here, and those with heads that nothing links.
    pub(super) fn to_name(&self) -> BTreeSet<FeedKey> {
        let loose: BTreeSet<FeedKey> = self.feeds.loose_ends().into_iter().map(|(feed, _)| feed).collect();
        let named = |info: &FeedInfo| info.writable || loose.contains(&info.feed);
        self.feeds.list().iter().filter(|info| named(info)).map(|info| info.feed).collect()
    }

    /// The root to compare trees of `length` blocks by, and of how many blocks it is: of those that the asker `declared` if these are fewer.
    pub(super) fn tip(
        &self,
        feed: &FeedKey,
        length: u64,
        declared: Option<u64>,
    ) -> Result<(u64, RootTag), ReadError> {
        let at = declared.map_or(length, |declared| declared.min(length));
        let root = if at > 0 { self.feeds.root_at(feed, at)? } else { None };
        Ok(root.map_or((0, [0; 16]), |root| (at, tag(&root))))
    }

    fn followups(&self, statement: &[Coverage]) -> Result<Followups, ReadError> {
        let mut found = Followups::default();
        let forked = self.feeds.exclusions();
        let own: BTreeMap<FeedKey, u64> = self
            .feeds
            .list()
            .into_iter()
            .filter(|info| info.writable)
            .map(|info| (info.feed, info.length))
            .collect();
        let loose: BTreeMap<FeedKey, RangeSet> = self.feeds.loose_ends().into_iter().collect();
        for coverage in
            statement.iter().filter(|c| !forked.iter().any(|(feed, _)| *feed == c.definition.feed))
        {
            let feed = coverage.definition.feed;
            if self.is_other_history(coverage)? {
                found.suspects.push((feed, self.telling(coverage)));
                continue;
            }
            // Who holds only parts is not bothered: it would rarely have the one block.
            if let Some(ends) = loose.get(&feed).filter(|_| coverage.claimed == coverage.length) {
                found.wanted.push((feed, ends.intersection(&RangeSet::below(coverage.length))));
            }
            if let Some(length) = own.get(&feed).filter(|length| coverage.length > **length) {
                let tail = *length..coverage.length.min(MAX_FEED_BLOCKS);
                found.wanted.push((feed, std::iter::once(tail).collect()));
            }
        }
        found.wanted.retain(|(_, ranges)| !ranges.is_empty());
        Ok(found)
    }

    /// True if the peer has another tree than this replica, of a length at which both can tell.
    fn is_other_history(&self, coverage: &Coverage) -> Result<bool, ReadError> {
        if coverage.at == 0 {
            return Ok(false);
        }
        let known = self.feeds.root_at(&coverage.definition.feed, coverage.at)?;
        Ok(known.is_some_and(|known| tag(&known) != coverage.root))
    }

    /// Blocks whose proofs show that. The path to block `at` passes by all roots before it, which differ; and every path ends at
    /// the roots of the peer's tree.
    fn telling(&self, coverage: &Coverage) -> RangeSet {
        let mut blocks =
            RangeSet::below(coverage.length).intersection(&std::iter::once(coverage.at).collect());
        let held = self.feeds.held(&coverage.definition.feed).intersection(&RangeSet::below(coverage.length));
        // Histories go apart towards the end, so that the last blocks tell most.
        let skip = usize::try_from(held.count()).unwrap_or(usize::MAX).saturating_sub(PROBES);
        blocks.union_with(&held.iter().skip(skip).collect());
        blocks
    }
}

/// What happened to feeds that are written here, a sentence each.
pub(crate) fn fork_warnings(engine: &Engine) -> Vec<String> {
    let feeds = engine.feeds.list().into_iter().filter(|info| engine.is_own(&info.feed));
    feeds.filter_map(|info| fork_warning(engine, &info)).collect()
}

/// What happened to an own feed, if anything did that people should know of.
pub(super) fn fork_warning(engine: &Engine, info: &FeedInfo) -> Option<String> {
    let feed = info.feed;
    if let Some(seq) = info.fork {
        return has_lost(engine, &feed).then(|| {
            format!(
                "feed {feed}, which is written here, forked: another copy of this folder wrote to it too; what is here of it from \
                 {seq} on counts nowhere any more. `kappa feed recover {feed}` appends it again, to the feed that goes on; with \
                 `--list` it only shows it"
            )
        });
    }
    // Of one that was given up it was said why, and there is nothing more to do about it.
    (info.behind && !info.given_up).then(|| {
        format!(
            "peers know more of feed {feed}, which is written here, than was written here; what is written from now on goes \
             on in a new feed"
        )
    })
}

/// True if something of a feed counts nowhere, and was not looked after.
fn has_lost(engine: &Engine, feed: &FeedKey) -> bool {
    let beyond = engine.beyond_fork(feed);
    beyond > 0 && recovered::load(&engine.dir).get(feed) != Some(&beyond)
}

impl Turn {
    /// After a peer's answer: has it prove another history if it has one, and fetches what is missing between heads and of own feeds.
    /// The number of blocks that were stored.
    pub(super) async fn follow_up(&self, statement: &[Coverage]) -> Result<u64, Trouble> {
        let said = statement.to_vec();
        let Followups { suspects, wanted } =
            engine::run(&self.parts, move |parts| parts.followups(&said)).await??;
        let mut blocks = 0;
        for (feed, ranges) in wanted {
            if let Some(fetch) = self.lacking(feed, ranges).await? {
                blocks += take(&self.link.session, fetch).await?;
            }
        }
        if !suspects.is_empty() {
            let patience = self.parts.allowance.patience;
            let shown = tokio::time::timeout(patience, self.prove(suspects)).await;
            blocks += shown.unwrap_or(Err(Trouble::Peer(AskError::Late(patience))))?;
        }
        Ok(blocks)
    }

    /// Has the peer show what it has of feeds of which it seems to have another history, in a session of its own, where nothing counts as
    /// known.
    async fn prove(&self, suspects: Vec<(FeedKey, RangeSet)>) -> Result<u64, Trouble> {
        let known = self.parts.peers.list().into_iter().find(|peer| peer.key == self.link.session.peer());
        let Some(peer) = known else { return Ok(0) };
        let fresh = Call::to(&self.parts, peer).dial().await.map_err(Trouble::Peer)?;
        let mut blocks = 0;
        for (feed, ranges) in suspects {
            blocks += take(&fresh, Fetch { feed, ranges, known: Default::default(), forget: false }).await?;
        }
        fresh.close().await;
        engine::run(&self.parts, |parts| parts.feeds.sync()).await?.map_err(ReadError::from)?;
        Ok(blocks)
    }
}

/// Fetches blocks; a peer that cannot read them now is not to blame.
async fn take(session: &PeerHandle, fetch: Fetch) -> Result<u64, Trouble> {
    let feed = fetch.feed;
    match session.fetch(fetch).await {
        Ok(answered) => Ok(answered.stats.blocks_stored),
        Err(error @ Unanswered::Query(QueryError::Refused { .. })) => {
            tracing::warn!(%feed, %error, "a peer did not show what it has of a feed");
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}
