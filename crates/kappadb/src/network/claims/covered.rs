//! What a replica covers of an answer itself, and on whose word nothing of an answer is lacking.

use crate::network::turn::Stated;
use kappadb_core::{FeedKey, Seq};
use kappadb_node::SessionId;
use kappadb_sync::statement::{Covered, gaps, merge};
use kappadb_sync::{Coverage, Words};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Which of the claims that earlier answers left here count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::network) enum Counting {
    All,
    /// Those that rest on nobody's word who was not asked.
    Direct,
    Nothing,
}

impl Counting {
    /// Those that count for who asks.
    pub fn claims(direct: bool) -> Counting {
        if direct { Counting::Direct } else { Counting::All }
    }
}

/// How a feed stands in this replica's own answer.
pub(in crate::network) struct OwnAnswer {
    pub feed: FeedKey,
    pub covered: Covered,
    /// On whose word, if it is not held whole and all the same something is claimed.
    pub words: Option<Arc<Words>>,
    /// Something of it that counts may be lacking.
    pub is_gap: bool,
    /// Blocks held.
    pub held: u64,
    /// The feed that it goes on for, as its writer says.
    pub continues: Option<FeedKey>,
}

impl OwnAnswer {
    /// What is said of the feed.
    pub fn said(&self) -> (FeedKey, Covered) {
        (self.feed, self.covered)
    }

    /// What can be said of it without earlier claims.
    fn known(&self) -> (FeedKey, Covered) {
        let claimed = if self.words.is_some() { 0 } else { self.covered.claimed };
        (self.feed, Covered { claimed, ..self.covered })
    }
}

/// On whose word these rest.
pub(in crate::network) fn words_of<'a>(all: impl Iterator<Item = &'a OwnAnswer>) -> Words {
    let different: BTreeSet<&Words> = all.filter_map(|own| own.words.as_deref()).collect();
    different.into_iter().fold(Words::default(), |all, words| all.and(words))
}

/// On whose word nothing is lacking: that of all who took part, and of those on whom earlier claims rest, where nobody who took part now covers as
/// much. None if something may be lacking.
pub(super) fn on_whose_word(
    stated: &BTreeMap<SessionId, Stated>,
    own: &[OwnAnswer],
    excluded: &BTreeMap<FeedKey, Seq>,
) -> Option<Words> {
    let words = stated.values().fold(Words::default(), |all, stated| all.and(&stated.words));
    let covered = stated.values().flat_map(|stated| stated.coverage.iter().map(Coverage::covered));
    let all = merge(covered.chain(own.iter().map(OwnAnswer::known)));
    let claimed: BTreeMap<FeedKey, &OwnAnswer> =
        own.iter().filter(|own| own.words.is_some()).map(|own| (own.feed, own)).collect();
    let filled = gaps(&all, excluded).map(|feed| {
        let (own, all) = (*claimed.get(&feed)?, all.get(&feed)?);
        let end = excluded.get(&feed).copied().unwrap_or(Seq::MAX);
        (own.covered.claimed >= all.length.min(end)).then_some(own)
    });
    let filled = filled.collect::<Option<Vec<&OwnAnswer>>>()?;
    Some(words.and(&words_of(filled.into_iter())))
}
