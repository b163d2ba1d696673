//! What a question is answered with: what was found, and how much of what there is that may be.

use super::completeness::Completeness;
use super::holdings::Holdings;
use crate::lines::fields;
use kappadb_core::{EntryId, FeedKey, Timestamp};
use kappadb_sync::Words;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::convert::Infallible;
use std::time::Duration;

/// Where a question is answered from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// From what is held here. Nobody is asked.
    #[default]
    Local,
    /// All known peers are asked first for what the question needs. What comes stays, and the answer is that over all of it.
    Peers,
}

/// The answer to a question.
///
/// It can be passed on as JSON: what was found as `items`, `next`, how complete it is, and what came of asking as `asked`.
///
/// `C` is where a page goes on: every view has a type of its own for that. Questions that are answered whole have none.
#[derive(Debug)]
#[must_use = "it says how complete it is"]
pub struct Answer<T, C = Infallible> {
    /// What was found, in the order that the question says.
    pub items: Vec<T>,
    /// Where to go on, if there may be more: what the question takes as `after`.
    pub next: Option<C>,
    /// How much of what there is it has.
    pub completeness: Completeness,
    /// What asking took, and who did not answer. Nothing if nobody was asked.
    pub asked: Asked,
}

impl<T, C> Answer<T, C> {
    /// What was found of a question that is answered whole, as far as it is known here.
    pub(crate) fn of(items: impl IntoIterator<Item = T>) -> Answer<T, C> {
        Answer::page(items.into_iter().collect(), None)
    }

    /// A part of what was found.
    pub(crate) fn page(items: Vec<T>, next: Option<C>) -> Answer<T, C> {
        Answer { items, next, completeness: Completeness::default(), asked: Asked::default() }
    }

    /// The same, if the contents of so many of the items could not be read.
    pub(crate) fn lacking(mut self, contents: usize) -> Answer<T, C> {
        if contents > 0 {
            self.asked.missing = contents as u64;
            self.completeness = Completeness::Partial;
        }
        self
    }

    /// What was found, of a question that has one answer, or none.
    pub fn one(self) -> Option<T> {
        self.items.into_iter().next()
    }

    /// True if nothing is lacking. Else [`Answer::completeness`] says more.
    pub fn is_complete(&self) -> bool {
        self.completeness.is_complete()
    }

    /// Up to when nothing is lacking, if it is not complete now.
    pub fn as_of(&self) -> Option<Timestamp> {
        self.completeness.as_of()
    }

    /// True if that is so on nobody's word who was not asked: [`Completeness::is_direct`].
    pub fn is_direct(&self) -> bool {
        self.completeness.is_direct()
    }
}

/// Where an answer goes on, as it is passed on.
pub trait GoesOn {
    /// Its text, or the bytes that it is.
    fn bytes(&self) -> Vec<u8>;
}

impl GoesOn for Vec<u8> {
    fn bytes(&self) -> Vec<u8> {
        self.clone()
    }
}

/// What goes on at what has a text.
macro_rules! goes_on_at {
    ($($type:ty)*) => {$(
        impl GoesOn for $type {
            fn bytes(&self) -> Vec<u8> {
                self.to_string().into_bytes()
            }
        }
    )*};
}

goes_on_at! { EntryId Infallible String }

impl<T: Serialize, C: GoesOn> Serialize for Answer<T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("items", &self.items)?;
        fields::bytes(&mut map, "next", self.next.as_ref().map(C::bytes).as_deref())?;
        self.completeness.put(&mut map)?;
        map.serialize_entry("asked", &self.asked)?;
        map.end()
    }
}

impl<T, C> IntoIterator for Answer<T, C> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// What came of asking the known peers.
#[derive(Debug, Default)]
pub struct Asked {
    /// As [`Answer::is_complete`], but for contents that are missing.
    pub complete: bool,
    /// As [`Answer::as_of`], but for contents that are missing.
    pub as_of: Option<Timestamp>,
    /// On whose word it is that.
    pub words: Words,
    /// Peers that answered, at least one question.
    pub peers: u64,
    /// Blocks newly stored here.
    pub blocks_fetched: u64,
    /// Bytes received, handshake included.
    pub bytes_received: u64,
    /// Bytes sent, handshake included.
    pub bytes_sent: u64,
    /// Current versions of features and values in the answer whose content could not be had whole: it is too large for a block and nobody
    /// had all of it, or it was cleared.
    pub missing: u64,
    /// Times that this replica waited for a peer, from dial to statement, the greatest over the peers.
    pub round_trips: u64,
    /// Peers that did not answer, or not to the end or in time, and why.
    pub failures: Vec<Failure>,
    /// If everything was asked for: how much there is, as far as anybody knows who took part, and how much of it is here now.
    pub holdings: Option<Holdings>,
}

/// A peer that did not answer.
#[derive(Debug)]
pub struct Failure {
    /// Its identity.
    pub peer: FeedKey,
    /// Why.
    pub error: crate::error::AskError,
}

/// `contents` is how many could not be had, `missing` are the peers that did not answer.
impl Serialize for Asked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.completeness().put(&mut map)?;
        map.serialize_entry("peers", &self.peers)?;
        map.serialize_entry("blocks_fetched", &self.blocks_fetched)?;
        map.serialize_entry("bytes_received", &self.bytes_received)?;
        map.serialize_entry("bytes_sent", &self.bytes_sent)?;
        map.serialize_entry("round_trips", &self.round_trips)?;
        map.serialize_entry("missing", &self.failures)?;
        map.serialize_entry("contents", &self.missing)?;
        map.end()
    }
}

/// The peer, and why in words.
impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("peer", &self.peer)?;
        map.serialize_entry("error", &self.error.to_string())?;
        map.end()
    }
}

impl Asked {
    /// How much of what there is the answer has.
    pub fn completeness(&self) -> Completeness {
        if self.missing > 0 { Completeness::Partial } else { self.without_contents() }
    }

    /// The same, whatever contents are missing.
    fn without_contents(&self) -> Completeness {
        match self.as_of {
            _ if self.complete => Completeness::Complete(self.words.clone()),
            Some(time) => Completeness::AsOf(time, self.words.clone()),
            None => Completeness::Partial,
        }
    }

    fn set(&mut self, completeness: Completeness) {
        (self.complete, self.as_of) = (completeness.is_complete(), completeness.as_of());
        self.words = completeness.words().cloned().unwrap_or_default();
    }

    /// The answer has no more than this.
    pub(crate) fn limit(&mut self, completeness: Completeness) {
        self.set(self.without_contents().and(completeness));
    }

    /// What asking took for several questions, one after the other. A peer that failed time and again is named once.
    pub fn and(mut self, later: Asked) -> Asked {
        self.set(self.completeness().and(later.completeness()));
        let Asked {
            peers,
            blocks_fetched,
            bytes_received,
            bytes_sent,
            missing,
            round_trips,
            failures,
            holdings,
            ..
        } = later;
        self.peers = self.peers.max(peers);
        self.blocks_fetched += blocks_fetched;
        self.bytes_received += bytes_received;
        self.bytes_sent += bytes_sent;
        self.missing += missing;
        self.round_trips += round_trips;
        self.holdings = holdings.or(self.holdings);
        for failure in failures {
            if !self.failures.iter().any(|known| known.peer == failure.peer) {
                self.failures.push(failure);
            }
        }
        self
    }
}

/// Where a question is answered from, and for how long peers are waited for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ways {
    pub source: Source,
    pub within: Option<Duration>,
    /// Nobody's word is to count who was not asked.
    pub direct: bool,
}

/// What is told with how much it has, and what asking took.
pub trait Told {
    /// Takes in what came of asking.
    fn tell(&mut self, asked: Asked);
}

impl<T, C> Told for Answer<T, C> {
    fn tell(&mut self, mut asked: Asked) {
        self.completeness = std::mem::take(&mut self.completeness).and(asked.completeness());
        asked.missing = asked.missing.max(self.asked.missing);
        self.asked = asked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_that_are_not_here_make_an_answer_partial_whoever_was_asked() {
        let mut answer = Answer::<u8>::of([7, 8]).lacking(1);
        answer.tell(Asked { complete: true, ..Asked::default() });
        assert_eq!((answer.completeness, answer.asked.missing), (Completeness::Partial, 1));
        let mut answer = Answer::<u8>::of([7, 8]).lacking(0);
        answer.tell(Asked { as_of: Some(Timestamp(3)), ..Asked::default() });
        assert_eq!((answer.as_of(), answer.one()), (Some(Timestamp(3)), Some(7)));
    }

    #[test]
    fn several_questions_rest_on_the_word_of_all_on_which_any_rests() {
        let on = |peer| Asked { complete: true, words: Words::of(FeedKey([peer; 32])), ..Asked::default() };
        let both = on(1).and(on(2));
        assert_eq!(both.words.list().len(), 2);
        let none = both.and(Asked::default());
        assert!(none.words.is_nobodys() && none.completeness() == Completeness::Partial);
    }
}
