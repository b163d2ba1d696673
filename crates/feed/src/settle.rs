//! Going on after damage: own feeds of which blocks may have been lost are given up, the others take appends again.

use crate::CommitError;
use crate::index::Index;
use crate::rows;
use crate::writer::Writer;
use kappadb_core::FeedKey;
use kappadb_journal::{Damage, Position, Record};
use std::collections::BTreeMap;
use std::sync::PoisonError;

type Place = (u32, u64, u64);

fn place(damage: &Damage) -> Place {
    (damage.segment, damage.from, damage.to)
}

impl Writer {
    /// Damage that keeps own feeds from taking appends.
    pub fn unsettled(&self) -> Option<&Damage> {
        let visible = self.index.visible.read().unwrap_or_else(PoisonError::into_inner);
        self.damage.iter().find(|damage| !visible.settled.contains(&place(damage)))
    }

    /// Settles the damage there is, durably. Returns the own feeds that are given up for it.
    pub fn settle_damage(&mut self) -> Result<Vec<FeedKey>, CommitError> {
        self.commit()?;
        if self.unsettled().is_none() {
            return Ok(Vec::new());
        }
        let lossy = self.damage.iter().filter(|damage| !damage.lseqs.is_empty());
        let last = lossy.map(|damage| Position { segment: damage.segment, offset: damage.to }).max();
        let spoken = self.last_words()?;
        let doubtful = |feed: &&FeedKey| {
            // What was appended before its last head is known by number, so that it is seen if it lacks.
            let certain = last.is_none_or(|last| spoken.get(*feed).is_some_and(|at| *at >= last));
            let sound = self.index.with(feed, |state| state.is_whole() && !state.is_over());
            sound.is_some_and(|sound| !(sound && certain))
        };
        let given_up: Vec<FeedKey> = self.keys.feeds().filter(doubtful).copied().collect();
        let damage: Vec<Place> = self.damage.iter().map(place).collect();
        self.write(&Record::Settled { damage: damage.clone(), given_up: given_up.clone() })?;
        self.index.settle(&damage, &given_up);
        self.appending.clear();
        self.commit()?;
        Ok(given_up)
    }

    /// Own feeds take no more appends, for good: there may be more of them than is here. Durable on return.
    pub fn give_up(&mut self, feeds: &[FeedKey]) -> Result<(), CommitError> {
        self.commit()?;
        self.write(&Record::Settled { damage: Vec::new(), given_up: feeds.to_vec() })?;
        self.index.settle(&[], feeds);
        feeds.iter().for_each(|feed| drop(self.appending.remove(feed)));
        self.commit()
    }

    /// Where the last head of each own feed is, or its definition if it has none.
    fn last_words(&mut self) -> Result<BTreeMap<FeedKey, Position>, CommitError> {
        let mut spoken = BTreeMap::new();
        for located in self.journal()?.reader().scan(Position::START).flatten() {
            match located.record {
                Record::Head { feed, .. } => spoken.insert(feed, located.at),
                Record::Definition(definition) => spoken.insert(definition.feed, located.at),
                _ => None,
            };
        }
        Ok(spoken)
    }
}

impl Index {
    /// This damage was settled, and these feeds were given up for it.
    pub fn settle(&mut self, damage: &[Place], given_up: &[FeedKey]) {
        self.settled.extend(damage);
        let mut settled = self.settled.clone();
        settled.extend(&self.visible.read().unwrap_or_else(PoisonError::into_inner).settled);
        let settled: Vec<Place> = settled.into_iter().collect();
        self.replace(rows::settled_key(), Some(kappadb_core::codec::encode(&settled)));
        for feed in given_up {
            if let Some(state) = self.change(feed) {
                state.given_up = true;
            }
        }
    }
}
