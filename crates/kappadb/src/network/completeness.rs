//! How much of what there is an answer has, and on whose word.

use kappadb_core::{FeedKey, Timestamp};
use kappadb_sync::{Word, Words};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// How much of what there is an answer has, and on whose word that is so.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Completeness {
    /// All that anybody knows who took part, this replica among them. Of an answer from here alone: this replica knows no peer, and holds
    /// all feeds that it knows of whole, or all of them that the question needs.
    Complete(Words),
    /// All that was known at this time, by this replica's clock, to those who answered then. Earlier questions that cover this one were
    /// answered completely, and nothing of that was lost since. So an answer read offline is as good as it was.
    AsOf(Timestamp, Words),
    /// It may lack anything: nothing says how much of it is here, or contents of what was found could not be had.
    Partial,
}

/// Nothing is lacking, and that is nobody else's word.
impl Default for Completeness {
    fn default() -> Completeness {
        Completeness::Complete(Words::default())
    }
}

impl Completeness {
    /// That of several answers together: they are no better than the worst of them, as old as the oldest, and rest on the word of all on whose
    /// word any rests.
    pub fn and(self, other: Completeness) -> Completeness {
        use Completeness::{AsOf, Complete, Partial};
        match (self, other) {
            (Partial, _) | (_, Partial) => Partial,
            (Complete(words), Complete(others)) => Complete(words.and(&others)),
            (AsOf(one, words), AsOf(two, others)) => AsOf(one.min(two), words.and(&others)),
            (AsOf(time, words), Complete(others)) | (Complete(others), AsOf(time, words)) => {
                AsOf(time, words.and(&others))
            }
        }
    }

    /// True if nothing is lacking.
    pub fn is_complete(&self) -> bool {
        matches!(self, Completeness::Complete(_))
    }

    /// Up to when nothing is lacking, if it is not complete now.
    pub fn as_of(&self) -> Option<Timestamp> {
        match self {
            Completeness::AsOf(time, _) => Some(*time),
            _ => None,
        }
    }

    /// On whose word: whoever took part, and those on whose word they rested in turn. None if it is partial. If it turns out to be wrong, one of
    /// them has lied.
    pub fn words(&self) -> Option<&Words> {
        match self {
            Completeness::Complete(words) | Completeness::AsOf(_, words) => Some(words),
            Completeness::Partial => None,
        }
    }

    /// True if nothing is lacking, now or as of a time, on nobody's word who was not asked by this replica. Else [`Words::indirect`] says on whose.
    pub fn is_direct(&self) -> bool {
        self.words().is_some_and(Words::is_direct)
    }

    /// Its fields: `complete`, `as_of` if it is that, and, if it is not direct, `word_of`: on whose word who were not asked, and through how many
    /// hands; with `more` if these are not all.
    pub(super) fn put<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("complete", &self.is_complete())?;
        if let Some(time) = self.as_of() {
            map.serialize_entry("as_of", &time)?;
        }
        let Some(words) = self.words().filter(|words| !words.is_direct()) else { return Ok(()) };
        let named: Vec<Named> = words.indirect().map(Named::from).collect();
        map.serialize_entry("word_of", &named)?;
        if words.has_more() { map.serialize_entry("more", &true) } else { Ok(()) }
    }
}

/// [`Completeness`] as its fields.
impl Serialize for Completeness {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.put(&mut map)?;
        map.end()
    }
}

/// Somebody on whose word it is.
#[derive(serde::Serialize)]
struct Named {
    peer: FeedKey,
    hands: u8,
}

impl From<&Word> for Named {
    fn from(word: &Word) -> Named {
        Named { peer: word.peer, hands: word.hands }
    }
}

#[cfg(test)]
mod tests {
    use super::Completeness::{AsOf, Complete, Partial};
    use super::*;

    fn peer(n: u8) -> FeedKey {
        FeedKey([n; 32])
    }

    #[test]
    fn several_answers_are_as_good_as_the_worst() {
        let none = Words::default;
        let (early, late) = (AsOf(Timestamp(1), none()), AsOf(Timestamp(2), none()));
        let worse_first = [Partial, early, late, Complete(none())];
        for (rank, one) in worse_first.iter().enumerate() {
            for (other_rank, other) in worse_first.iter().enumerate() {
                let worse = &worse_first[rank.min(other_rank)];
                assert_eq!(one.clone().and(other.clone()), *worse, "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn several_answers_rest_on_the_word_of_all_on_which_any_rests() {
        let (one, two) = (Words::of(peer(1)), Words::of(peer(2)));
        let both = Complete(one.clone()).and(AsOf(Timestamp(1), two.clone()));
        assert_eq!(both, AsOf(Timestamp(1), one.and(&two)));
        assert!(both.is_direct());
        assert!(
            !both.clone().and(Complete(one.told_by(peer(2), &peer(9)))).words().unwrap().list().is_empty()
        );
        assert!(!Partial.is_direct() && both.and(Partial).words().is_none());
    }

    #[test]
    fn as_json_it_names_those_who_were_not_asked() {
        let json = |completeness: &Completeness| serde_json::to_value(completeness).unwrap();
        assert_eq!(json(&Complete(Words::of(peer(1)))), serde_json::json!({ "complete": true }));
        let relayed = Words::of(peer(1)).told_by(peer(2), &peer(9));
        let named = serde_json::json!([{ "peer": peer(1), "hands": 1 }]);
        let expected = serde_json::json!({ "complete": false, "as_of": 5, "word_of": named });
        assert_eq!(json(&AsOf(Timestamp(5), relayed)), expected);
    }
}
