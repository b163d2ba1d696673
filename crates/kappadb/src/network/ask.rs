//! Asking neighbours: which feed ranges answer a selector, fetched and proved.

use super::Network;
use super::claims::Counting;
use super::completeness::Completeness;
use super::follow::Follow;
use super::forks::{Answers, Ground};
use super::holdings::Holdings;
use super::neighbours::Neighbours;
use super::turn::{Listed, Stated, Trouble, Turn, Wish};
use crate::engine;
use crate::error::ReadError;
use futures::future::BoxFuture;
use kappadb_core::limits::{MAX_SELECTOR, MAX_SELECTOR_KEYS};
use kappadb_core::{FeedDefinition, FeedKey, RangeSet};
use kappadb_entry::space;
use kappadb_net::Answered;
use kappadb_query::Selector;
use std::collections::BTreeSet;

/// The map view's name in queries.
pub(crate) const MAP: &str = "map";
/// The chat view's.
pub(crate) const CHAT: &str = "chat";
/// The key-value view's.
pub(crate) const KV: &str = "kv";
/// That of blobs.
pub(crate) const BLOBS: &str = "blobs";
/// What is asked for all that is held, whatever it is: answered by the log, not by a view.
pub(crate) const FEEDS: &str = "feeds";

/// The space that a view of this library looks at; none for others, which may look at any.
pub(crate) fn space_of_view(view: &str) -> Option<u32> {
    match view {
        MAP => Some(space::MAP),
        CHAT => Some(space::CHAT),
        KV => Some(space::KV),
        _ => None,
    }
}

/// The view of this library that looks at a space.
pub(crate) fn view_of(space: u32) -> Option<&'static str> {
    match space {
        space::MAP => Some(MAP),
        space::CHAT => Some(CHAT),
        space::KV => Some(KV),
        _ => None,
    }
}

/// The space of the entries whose contents belong to the answers of a view of this library.
pub(super) fn space_of(view: &str) -> Option<u32> {
    // No answer of chat brings contents along.
    space_of_view(view).filter(|space| *space != space::CHAT)
}

/// Asks for what a selector needs.
pub(crate) fn one(
    view: impl Into<String>,
    selector: Selector,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    let view = view.into();
    move |neighbours| Box::pin(async move { neighbours.ask(&view, selector).await.map(drop) })
}

/// Asks, once, for all that is wanted.
pub(crate) fn all(
    wanted: Vec<Follow>,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    move |neighbours| {
        Box::pin(async move {
            for one in wanted {
                neighbours.ask(&one.view, one.selector()?).await?;
            }
            Ok(())
        })
    }
}

/// Asks for some keys, however many: several are one question.
pub(crate) fn keys(
    view: &'static str,
    keys: impl IntoIterator<Item = Vec<u8>>,
    selector: fn(Vec<Vec<u8>>) -> Selector,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    let keys: BTreeSet<Vec<u8>> = keys.into_iter().collect();
    move |neighbours| Box::pin(neighbours.ask_in_parts(view, keys, selector))
}

/// How often a question is put in all, if forks are found meanwhile: once to find one, once to be told apart from what lies before it,
/// once more because there may be another.
const ROUNDS: usize = 3;

/// Bytes of a selector for each key beside the key, and for all of them: numbers that say how many and how long.
const KEY_OVERHEAD: usize = 9;

impl Neighbours {
    /// Fetches, proves and indexes what the peers have of the answer. True if the own answer is complete now.
    pub(crate) async fn ask(&mut self, view: &str, selector: Selector) -> Result<bool, ReadError> {
        let (dialled, remembers, asked) = (self.dialled, self.remembers, view.to_owned());
        let (network, reader, direct) = (self.parts().clone(), self.reader.clone(), self.direct);
        let completeness = if self.is_local {
            let here = move |_: &Network| network.here(&reader, &asked, || selector, dialled, direct);
            engine::run(self.parts(), here).await??
        } else {
            let answers = self.question(view, &selector).await?;
            let said = (view == FEEDS).then(|| answers.lengths());
            let conclude =
                move |_: &Network| network.conclude(&reader, &asked, &selector, answers, dialled, remembers);
            let completeness = engine::run(self.parts(), conclude).await??;
            if let Some(said) = said {
                self.asked.holdings =
                    Some(engine::run(self.parts(), move |parts| Holdings::of(parts, &said)).await?);
            }
            completeness
        };
        self.incomplete += u64::from(completeness == Completeness::Partial);
        let is_complete = completeness.is_complete();
        self.asked.limit(completeness);
        Ok(is_complete)
    }

    /// The same without concluding anything from it: a first look, before it is known what the answer is to rest on.
    pub(crate) async fn look(&mut self, view: &str, selector: Selector) -> Result<(), ReadError> {
        if self.is_local {
            return Ok(());
        }
        self.question(view, &selector).await?;
        Ok(engine::run(self.parts(), |parts| parts.feeds.sync()).await??)
    }

    /// Puts a question to the peers, and again to all if it turns out meanwhile that a feed forked, or that one did of which they had not
    /// been told: what they left out may count then. And once more if what one lacks may be what another did not speak of.
    pub(super) async fn question(&mut self, view: &str, selector: &Selector) -> Result<Answers, ReadError> {
        let (ground, mut named) = self.grounds(view, selector).await?;
        let mut answers = Answers::new(ground, self.direct);
        let mut all_named = false;
        for _ in 0..ROUNDS {
            let untold = self.round(view, selector, &named, &mut answers).await?;
            let ground = self.ground(view).await?;
            if untold || ground != answers.ground {
                answers.claim_nothing();
                answers.ground = ground;
                continue;
            }
            if all_named {
                break;
            }
            // Mostly there are none, and then nothing has to be looked up here.
            let lacking: BTreeSet<FeedKey> =
                answers.unspoken(&[], &named).into_iter().map(|definition| definition.feed).collect();
            if lacking.is_empty() {
                break;
            }
            let (asked, wanted) = (view.to_owned(), selector.clone());
            let counting = Counting::claims(self.direct);
            let own = move |parts: &Network| {
                parts.covered(&asked, &wanted, &BTreeSet::new(), Some(&lacking), counting)
            };
            let unspoken = answers.unspoken(&engine::run(self.parts(), own).await?, &named);
            let unspoken = engine::run(self.parts(), move |parts| parts.true_ones(unspoken)).await?;
            if unspoken.is_empty() {
                break;
            }
            named.extend(unspoken);
            all_named = true;
        }
        self.selectors.extend(space_of(view).map(|space| (space, selector.clone())));
        Ok(answers)
    }

    async fn ground(&self, view: &str) -> Result<Ground, ReadError> {
        let (network, reader, view) = (self.parts().clone(), self.reader.clone(), view.to_owned());
        engine::run(self.parts(), move |_| network.ground_of(&view, &reader)).await?
    }

    /// What an answer is to rest on, and of which feeds the peers are asked by name.
    async fn grounds(
        &self,
        view: &str,
        selector: &Selector,
    ) -> Result<(Ground, Vec<FeedDefinition>), ReadError> {
        let (network, reader, direct) = (self.parts().clone(), self.reader.clone(), self.direct);
        let (view, selector) = (view.to_owned(), selector.clone());
        let look = move |_: &Network| {
            // A question tells peers how far one's own feeds go.
            network.feeds.settle()?;
            let ground = network.ground_of(&view, &reader)?;
            let gaps = network.own_gaps(&view, &selector, &ground, direct);
            Ok((ground, gaps))
        };
        engine::run(self.parts(), look).await?
    }

    /// True if a peer did not know of a fork that is known here, and it mattered.
    async fn round(
        &mut self,
        view: &str,
        selector: &Selector,
        named: &[FeedDefinition],
        answers: &mut Answers,
    ) -> Result<bool, ReadError> {
        let wish = |inline| Wish {
            view: view.to_owned(),
            selector: selector.clone(),
            without: answers.ground.without(),
            named: named.to_vec(),
            direct: answers.direct,
            inline,
            theirs: None,
        };
        let said = self
            .in_turn_after(
                |turn| turn.list(wish(false)),
                |turn, listed| put(turn, wish(true), listed.flatten()),
            )
            .await?;
        let mut any_untold = false;
        for (session, Said { stated, blocks, untold }) in said {
            self.count_blocks(blocks);
            answers.stated.insert(session, stated);
            any_untold |= untold;
        }
        Ok(any_untold)
    }

    /// As [`Neighbours::ask`] for any number of keys, in selectors that each keep to their limits.
    pub(crate) async fn ask_in_parts(
        &mut self,
        view: &str,
        keys: BTreeSet<Vec<u8>>,
        selector: fn(Vec<Vec<u8>>) -> Selector,
    ) -> Result<(), ReadError> {
        let mut part = Vec::new();
        let mut bytes = 0;
        for key in keys {
            let len = key.len() + KEY_OVERHEAD;
            if part.len() == MAX_SELECTOR_KEYS || bytes + len > MAX_SELECTOR - KEY_OVERHEAD {
                self.ask(view, selector(std::mem::take(&mut part))).await?;
                bytes = 0;
            }
            bytes += len;
            part.push(key);
        }
        if !part.is_empty() {
            self.ask(view, selector(part)).await?;
        }
        Ok(())
    }

    /// Fetches and proves blocks by name, from whoever holds them; those that nobody holds are still missing then.
    pub(crate) async fn fetch(&mut self, feed: FeedKey, ranges: RangeSet) -> Result<(), ReadError> {
        for (_, blocks) in self.in_turn(|turn| take(turn, feed, ranges.clone())).await? {
            self.count_blocks(blocks);
        }
        Ok(())
    }
}

/// What a peer said to a question.
struct Said {
    stated: Stated,
    /// Blocks newly stored.
    blocks: u64,
    /// It did not know of a fork that is known here.
    untold: bool,
}

/// Puts a question to a peer, and does what its answer calls for. It is told what is held by now, so it sends nothing that came from those
/// before it. One that has `listed` nothing but what is held by now need not send anything.
async fn put(turn: Turn, wish: Wish, listed: Option<Listed>) -> Result<Said, Trouble> {
    let held = match listed {
        Some(listed) => turn.holds(listed).await?,
        None => None,
    };
    if let Some(stated) = held {
        let blocks = turn.follow_up(&stated.coverage).await?;
        return Ok(Said { stated, blocks, untold: false });
    }
    let Answered { statement, rest, words, signed, stats, .. } =
        turn.link.session.ask(turn.prepare(wish).await?).await?;
    let mut stated = Stated { signed, ..turn.stated(statement, rest, &words) };
    let blocks = stats.blocks_stored + turn.follow_up(&stated.coverage).await?;
    if stats.contradicted > 0 {
        stated.claim_nothing();
    }
    Ok(Said { stated, blocks, untold: stats.beyond > 0 })
}

/// Fetches what is missing of these blocks. The number that were stored.
async fn take(turn: Turn, feed: FeedKey, ranges: RangeSet) -> Result<u64, Trouble> {
    match turn.lacking(feed, ranges).await? {
        Some(fetch) => Ok(turn.link.session.fetch(fetch).await?.stats.blocks_stored),
        None => Ok(0),
    }
}
