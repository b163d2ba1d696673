//! What a feed that is written here has beyond its fork: it counts nowhere, but it is not gone. It can be read, and appended again to the feed that
//! goes on. See `design/log.md`, "What lies beyond a fork".

mod carry;
mod heirs;
mod says;
mod survey;

pub use says::Says;

use crate::database::{self, Database, Parts};
use crate::error::{ReadError, RecoverError};
use crate::folder::files::write_file;
use carry::Carrier;
use kappadb_core::{EntryId, FeedKey, RangeSet, Seq, Timestamp};
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use survey::Survey;

/// An entry that counts nowhere, for its feed forked before it.
#[derive(Debug, Clone, PartialEq)]
pub struct LostEntry {
    /// The entry.
    pub id: EntryId,
    /// When, as its writer says; 0 if it cannot be read.
    pub time: Timestamp,
    /// What it says.
    pub says: Says,
    /// What became of it.
    pub standing: Standing,
}

/// What became of an entry that counts nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing: [`Database::recover_feed`] appends it again.
    Lost,
    /// This entry says it again.
    Recovered(EntryId),
    /// This entry was written here in its place.
    Replaced(EntryId),
    /// It was taken back, or takes back such a one.
    Withdrawn,
}

/// Why an entry was not appended again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecovered {
    /// Its content is not here.
    #[error("its content is not held here")]
    NotHeld,
    /// It takes back or changes what its feed said before the fork.
    #[error("it takes back or changes what the feed said before its fork, which only that feed could")]
    Withdrawal,
    /// It is a private message that cannot be opened.
    #[error("it is a private message that cannot be opened, and so not be sealed again")]
    Sealed,
    /// It would break a limit.
    #[error("it can be no entry: {0}")]
    Entry(String),
}

/// What came of [`Database::recover_feed`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// What was appended again, and as what: ascending.
    pub entries: Vec<(EntryId, EntryId)>,
    /// What was not, and why.
    pub left_out: Vec<(EntryId, NotRecovered)>,
}

/// The entries that [`Database::lost_entries`] found, read one by one.
pub struct LostEntries {
    parts: Arc<Parts>,
    survey: Arc<Survey>,
    from: Seq,
}

impl Database {
    /// What is held of a feed that is written here, at or beyond its fork. None if it did not fork.
    ///
    /// # Errors
    /// [`RecoverError::NotOurs`], [`RecoverError::Unknown`].
    pub async fn lost_entries(&self, feed: FeedKey) -> Result<LostEntries, RecoverError> {
        let survey = self.run(move |parts| parts.survey(feed)).await??;
        Ok(LostEntries { parts: self.parts.clone(), survey: Arc::new(survey), from: 0 })
    }

    /// Appends what [`Database::lost_entries`] finds again, to the feed that goes on for this one: of the same kind, key, time, places, references
    /// and content, in the place of what it replaced. What was appended again before, here or in another copy of the folder as far as peers that
    /// answer know, taken back, or replaced by what was written here since, is left as it is. After a crash, or when more has come, it can be called
    /// again. Durable when it returns.
    ///
    /// # Errors
    /// [`RecoverError::NotOurs`], [`RecoverError::Unknown`].
    pub async fn recover_feed(&self, feed: FeedKey) -> Result<Recovered, RecoverError> {
        heirs::hear_heirs(&self.parts, feed).await?;
        database::run_in_turn(&self.parts, move |parts, _turn| parts.recover(feed)).await?
    }
}

impl LostEntries {
    /// The next; none at the end. Of contents of more than 64 MiB nothing is loaded: they can be read as blobs.
    pub async fn next(&mut self) -> Result<Option<LostEntry>, ReadError> {
        let Some(seq) = self.survey.next(self.from) else { return Ok(None) };
        let survey = self.survey.clone();
        let entry = database::run(&self.parts, move |parts| parts.lost_entry(&survey, seq)).await??;
        self.from = seq.saturating_add(1);
        Ok(Some(entry))
    }
}

impl Parts {
    fn lost_entry(&self, survey: &Survey, seq: Seq) -> Result<LostEntry, ReadError> {
        let (id, standing) = (EntryId { feed: survey.fork.feed, seq }, survey.standing(seq));
        let (time, says) = match self.entry(id)? {
            Some(entry) => (entry.header.time, self.says(id, &entry)?),
            None => (Timestamp(0), Says::Unreadable),
        };
        Ok(LostEntry { id, time, says, standing })
    }

    /// The caller has the turn.
    fn recover(&self, feed: FeedKey) -> Result<Recovered, RecoverError> {
        let survey = self.survey(feed)?;
        let mut recovered = Recovered::default();
        if !survey.lost().is_empty() {
            let to = self.writer_after(&feed)?;
            let mut carrier = Carrier::new(self, &survey, to);
            self.each_block(&feed, &survey.lost(), &mut |id, block| carrier.carry(id, block))?;
            recovered = carrier.finish()?;
        }
        if !recovered.left_out.iter().any(|(_, why)| *why == NotRecovered::NotHeld) {
            self.note_recovered(&feed)?;
        }
        Ok(recovered)
    }

    /// The feed to go on with for the writer of one that is over.
    fn writer_after(&self, feed: &FeedKey) -> Result<FeedKey, RecoverError> {
        let writers = self.writers();
        let goes_on = |(_, now): &(&String, &FeedKey)| self.lineage(Some(**now)).contains(feed);
        let name = writers.iter().find(goes_on).map(|(name, _)| name.as_str());
        Ok(self.writer_named(name.unwrap_or(&self.name))?)
    }

    /// How many blocks a feed has at or beyond its fork.
    fn beyond_fork(&self, feed: &FeedKey) -> u64 {
        let fork = self.feeds.exclusions().into_iter().find(|(of, _)| of == feed);
        fork.map_or(0, |(_, seq)| self.feeds.held(feed).minus(&RangeSet::below(seq)).count())
    }

    /// Of each feed, how many blocks beyond its fork people need not be told of any more.
    fn recovered(&self) -> BTreeMap<FeedKey, u64> {
        let text = fs::read_to_string(self.dir.join("recovered")).unwrap_or_default();
        let line = |line: &str| {
            let (feed, count) = line.split_once(' ')?;
            Some((feed.parse().ok()?, count.parse().ok()?))
        };
        text.lines().filter_map(line).collect()
    }

    fn note_recovered(&self, feed: &FeedKey) -> Result<(), RecoverError> {
        let mut recovered = self.recovered();
        recovered.insert(*feed, self.beyond_fork(feed));
        let text: String = recovered.iter().map(|(feed, count)| format!("{feed} {count}\n")).collect();
        let path = self.dir.join("recovered");
        write_file(&path, &text).map_err(|source| RecoverError::Note { path, source })
    }

    /// True if something of a feed counts nowhere, and was not looked after.
    pub(crate) fn has_lost(&self, feed: &FeedKey) -> bool {
        let beyond = self.beyond_fork(feed);
        beyond > 0 && self.recovered().get(feed) != Some(&beyond)
    }
}
