//! What an answer rests on: what peers say that they sent, what this replica holds whole, and what earlier answers have shown.

mod book;
mod claim;
mod covered;

use super::Network;
use super::ask::{FEEDS, KV};
use super::completeness::Completeness;
use super::forks::{Answers, Ground};
use super::statements::Judge;
use super::turn::Stated;
use crate::error::ReadError;
pub(super) use book::Book;
pub(super) use book::Footing;
use book::Question;
use claim::{AsOf, Claim, Claims, keep_better};
use covered::on_whose_word;
pub(super) use covered::{Counting, OwnAnswer, words_of};
use kappadb_core::{EntryId, FeedDefinition, FeedKey, RangeSet, Seq, Timestamp};
use kappadb_feed::FeedInfo;
use kappadb_query::Selector;
use kappadb_sync::statement::{Covered, gaps, merge};
use kappadb_sync::{Have, Words};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What answers from here alone rest on, kept at hand.
#[derive(Default)]
pub(super) struct Here {
    /// What is held once it has changed so often, less one, is all of every feed. 0: not looked at.
    all: AtomicU64,
    /// What claims about keys have to rest on, and when it was looked up.
    footing: Mutex<Option<(u64, Footing)>>,
}

impl Here {
    fn lock(&self) -> MutexGuard<'_, Option<(u64, Footing)>> {
        self.footing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network {
    /// Notes what the peers claimed for `selector`, now that what they sent is durable, and says what the answer lacks. It is
    /// complete if the claims of all that took part, this replica among them, reach as far as any of them knows. `asked` is when
    /// the question was put; what it shows is kept for later ones if it `remembers`.
    pub(super) fn conclude(
        self: &Arc<Self>,
        reader: &Arc<str>,
        view: &str,
        selector: &Selector,
        mut answers: Answers,
        asked: Timestamp,
        remembers: bool,
    ) -> Result<Completeness, ReadError> {
        if !answers.ground.is_shared() || answers.ground != self.ground_of(view, reader)? {
            answers.claim_nothing();
        }
        // Nothing is written if nothing came.
        self.feeds.sync()?;
        let cut_short = answers.is_cut_short();
        let Answers { ground, mut stated, direct } = answers;
        let signed = stated.values_mut().filter_map(|stated| Some((stated.peer, *stated.signed.take()?)));
        signed.for_each(|(peer, signed)| Judge(self).keep(peer, &ground, signed));
        let heard = !stated.is_empty();
        let claimed = claimed(stated.values());
        let own = self.covered(view, selector, &BTreeSet::new(), None, Counting::claims(direct));
        let words =
            on_whose_word(&stated, &own, ground.excluded()).filter(|words| !direct || words.is_direct());
        let complete = words.filter(|_| (heard || self.peers.is_empty()) && !cut_short);
        let (footing, question) = (self.footing(&ground), self.timeless(view, selector, asked));
        if heard && remembers {
            // Of words that only a view understands nothing follows for other questions.
            let claimed = if matches!(selector, Selector::Custom(_)) { Claims::new() } else { claimed };
            let complete = complete.clone().map(|words| (asked, words));
            self.claims.record(question.clone(), footing, claimed, complete);
        }
        Judge(self).look();
        Ok(match complete {
            Some(words) => Completeness::Complete(words),
            None => self.earlier(self.claims.complete_as_of(&question, &footing, direct)),
        })
    }

    /// How much an answer has of which the book says this.
    fn earlier(&self, shown: Option<AsOf>) -> Completeness {
        let shown = shown.filter(|_| self.is_sound());
        shown.map_or(Completeness::Partial, |(time, words)| Completeness::AsOf(time, words))
    }

    /// Forgets whatever may rest on the word of this peer.
    pub(crate) fn forget_word(&self, peer: &FeedKey) {
        self.claims.forget(peer);
    }

    /// Notes what news about a question have shown since.
    pub(super) fn note_shown(
        &self,
        view: &str,
        selector: &Selector,
        ground: &Ground,
        shown: Shown,
        now: Timestamp,
    ) {
        if ground.is_shared() && !matches!(selector, Selector::Custom(_)) {
            let (question, footing) = (self.timeless(view, selector, now), self.footing(ground));
            let complete = shown.complete.map(|words| (now, words));
            self.claims.record(question, footing, shown.claims, complete);
            Judge(self).look();
        }
    }

    /// True if this replica knows no peer and holds all of every feed that it knows of: then what it says is complete.
    pub(crate) fn has_all(&self) -> bool {
        self.peers.is_empty() && self.is_sound() && self.holds_all()
    }

    /// True if this replica holds all of every feed that it knows of.
    fn holds_all(&self) -> bool {
        let Here { all, .. } = &self.here;
        // Counted before it is looked at: what changes meanwhile is looked at again.
        let changes = self.feeds.changes() + 1;
        let is_known = all.load(Ordering::Relaxed) == changes;
        is_known || {
            let has_all = self.feeds.has_all();
            if has_all {
                all.store(changes, Ordering::Relaxed);
            }
            has_all
        }
    }

    /// How much of what there is the answer from here alone has. `now` is when it is asked, `reader` who asks. If it is to be `direct`, nobody's word
    /// counts who was not asked.
    pub(crate) fn here(
        self: &Arc<Self>,
        reader: &Arc<str>,
        view: &str,
        selector: impl FnOnce() -> Selector,
        now: Timestamp,
        direct: bool,
    ) -> Result<Completeness, ReadError> {
        if self.has_all() {
            return Ok(Completeness::default());
        }
        let (changes, selector) = (self.feeds.changes(), &selector());
        let ground = self.ground_of(view, reader)?;
        if self.peers.is_empty() && self.is_sound() && ground.is_shared() {
            let own = self.covered(view, selector, &BTreeSet::new(), None, Counting::claims(direct));
            if let Some(words) = on_whose_word(&BTreeMap::new(), &own, ground.excluded()) {
                return Ok(Completeness::Complete(words));
            }
        }
        let footing = self.footing(&ground);
        if view == KV {
            *self.here.lock() = Some((changes, footing));
        }
        let question = self.timeless(view, selector, now);
        Ok(self.earlier(self.claims.complete_as_of(&question, &footing, direct)))
    }

    /// The same for keys, if that needs no waiting and no disk.
    pub(crate) fn here_at_once(&self, selector: impl FnOnce() -> Selector) -> Option<Completeness> {
        if self.has_all() {
            return Some(Completeness::default());
        }
        // Who knows no peer may hold all that the question needs: that takes a look at every feed.
        if self.peers.is_empty() {
            return None;
        }
        let known =
            self.here.footing.try_lock().ok()?.filter(|(changes, _)| *changes == self.feeds.changes());
        let question = Question { view: KV.to_owned(), selector: selector() };
        let earlier = self.claims.complete_as_of_at_once(&question, &known?.1)?;
        Some(self.earlier(earlier))
    }

    pub(super) fn footing(&self, ground: &Ground) -> Footing {
        let forgotten = self.feeds.forgotten().into_values().max().unwrap_or_default();
        Footing { ground: ground.name(), forgotten }
    }

    /// Earlier claims rest on what was held then, and damage takes some of it away.
    fn is_sound(&self) -> bool {
        self.sound
    }

    /// What this replica holds of the answer: what a peer need not send, and what it may take as known in proofs. Where everything is asked for, of
    /// `theirs` alone, if these are known: of other feeds the peer would send nothing that is held.
    pub(super) fn have(
        &self,
        view: &str,
        selector: &Selector,
        theirs: Option<&BTreeSet<FeedKey>>,
    ) -> Result<Vec<Have>, ReadError> {
        if view == FEEDS {
            let mut all = self.feeds.list();
            all.retain(|info| info.held > 0 && theirs.is_none_or(|theirs| theirs.contains(&info.feed)));
            let held = |info: FeedInfo| {
                let definition = self.feeds.definition(&info.feed)?;
                Some(Have { definition, known: self.feeds.known(&info.feed, &self.feeds.held(&info.feed)) })
            };
            return Ok(all.into_iter().filter_map(held).collect());
        }
        self.views.ready(view)?;
        let held = group(self.views.matches(view, selector, &BTreeSet::new())?);
        // What was cleared here is not told, so that it comes again whole where a peer has it.
        let have = held.into_iter().filter_map(|(feed, ranges)| {
            let definition = self.feeds.definition(&feed)?;
            Some((definition, ranges))
        });
        let have = have.map(|(definition, ranges)| {
            let feed = definition.feed;
            let mut wanted = ranges.intersection(&self.feeds.whole(&feed));
            wanted.union_with(&self.rules.of(view).gone_for_good(self, &feed, ranges.minus(&wanted))?);
            Ok(Have { definition, known: self.feeds.known(&feed, &wanted) })
        });
        have.collect()
    }

    /// How much of each feed this replica's own answer to `selector` has, for somebody who has dropped the feeds `without`: of these nothing is said. Of
    /// feeds that are not among `only` nothing either, if there are such. `counting` says which earlier claims count.
    pub(super) fn covered(
        &self,
        view: &str,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
        only: Option<&BTreeSet<FeedKey>>,
        counting: Counting,
    ) -> Vec<OwnAnswer> {
        let ground = self.ground();
        let claims = match counting {
            Counting::All | Counting::Direct if ground.serves(without) => {
                self.shown(view, selector, &ground, counting == Counting::Direct)
            }
            _ => Claims::new(),
        };
        let mut feeds = self.feeds.list();
        feeds.retain(|info| {
            !without.contains(&info.feed) && only.is_none_or(|only| only.contains(&info.feed))
        });
        let own = feeds.into_iter().map(|FeedInfo { feed, length, held, fork, whole, continues, .. }| {
            // Beyond a fork nothing counts, so there is nothing to hold.
            let end = length.min(fork.unwrap_or(Seq::MAX));
            let claim = claims.get(&feed).filter(|_| !whole);
            let claimed = if whole { end } else { claim.map_or(0, |claim| claim.length.min(end)) };
            let (covered, words) = (Covered { claimed, length }, claim.map(|claim| claim.words.clone()));
            OwnAnswer { feed, covered, words, is_gap: claimed < end, held, continues }
        });
        own.collect()
    }

    /// The feeds of which this replica's own answer may lack something: peers are asked for them by name.
    pub(super) fn own_gaps(
        &self,
        view: &str,
        selector: &Selector,
        ground: &Ground,
        direct: bool,
    ) -> Vec<FeedDefinition> {
        if self.holds_all() {
            return Vec::new();
        }
        let own = self.covered(view, selector, &BTreeSet::new(), None, Counting::claims(direct));
        let own = merge(own.iter().map(OwnAnswer::said));
        gaps(&own, ground.excluded()).filter_map(|feed| self.feeds.definition(&feed)).collect()
    }

    /// Up to which seq of each feed earlier answers have shown all that `selector` matches to be held here, and on whose word.
    fn shown(&self, view: &str, selector: &Selector, ground: &Ground, direct: bool) -> Claims {
        if !self.is_sound() {
            return Claims::new();
        }
        let question = Question { view: view.to_owned(), selector: selector.clone() };
        self.claims.claims(&question, &self.footing(ground), direct)
    }

    /// The question by which to look an answer up later. Questions that go up to the moment at which they are put may name that
    /// moment: later on, what was asked up to then is what is known as of then.
    fn timeless(&self, view: &str, selector: &Selector, asked: Timestamp) -> Question {
        let timeless = match selector {
            Selector::Custom(words) => self.rules.of(view).timeless(words, asked),
            _ => None,
        };
        Question { view: view.to_owned(), selector: timeless.unwrap_or_else(|| selector.clone()) }
    }
}

/// What a live question has shown since it was last noted.
#[derive(Debug)]
pub(super) struct Shown {
    /// The answer was complete when it was first given: so it still is, as far as the peer goes. On whose word.
    pub complete: Option<Words>,
    pub claims: Claims,
}

impl Shown {
    /// What the first answer has shown is noted already.
    pub fn first(completeness: Completeness) -> Shown {
        let complete = completeness.words().filter(|_| completeness.is_complete()).cloned();
        Shown { complete, claims: Claims::new() }
    }

    pub fn add(&mut self, stated: &Stated) {
        self.complete = self.complete.take().map(|words| words.and(&stated.words));
        claimed(std::iter::once(stated)).into_iter().for_each(|(feed, claim)| {
            keep_better(&mut self.claims, feed, claim);
        });
    }
}

/// The greatest length claimed for each feed, and on whose word.
fn claimed<'a>(all: impl Iterator<Item = &'a Stated>) -> Claims {
    let mut claims = Claims::new();
    for stated in all {
        let words = Arc::new(stated.words.clone());
        for coverage in stated.coverage.iter().filter(|coverage| coverage.claimed > 0) {
            let claim = Claim { length: coverage.claimed, words: words.clone() };
            keep_better(&mut claims, coverage.definition.feed, claim);
        }
    }
    claims
}

/// Entry ids as ranges of their feeds.
pub(super) fn group(ids: Vec<EntryId>) -> BTreeMap<FeedKey, RangeSet> {
    let mut seqs: BTreeMap<FeedKey, Vec<u64>> = BTreeMap::new();
    for id in ids {
        seqs.entry(id.feed).or_default().push(id.seq);
    }
    let ranges = seqs.into_iter().map(|(feed, mut seqs)| {
        seqs.sort_unstable();
        (feed, seqs.into_iter().collect())
    });
    ranges.collect()
}

#[cfg(test)]
mod tests;
