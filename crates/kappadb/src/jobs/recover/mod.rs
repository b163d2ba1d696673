//! What a feed that is written here has beyond its fork: it counts nowhere, but it is not gone. It can be read, and appended again to the feed that
//! goes on. See `design/log.md`, "What lies beyond a fork".

mod carry;
mod heirs;
mod survey;

pub use crate::views::again::NotRecovered;
pub use crate::views::says::Says;
pub(crate) use heirs::hear_heirs;

use crate::engine;
use crate::error::{ReadError, RecoverError};
use crate::folder::recovered;
use crate::views::Parts;
use carry::Carrier;
use kappadb_core::{EntryId, FeedKey, Seq, Timestamp};
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
    /// Nothing: [`Database::recover_feed`](crate::Database::recover_feed) appends it again.
    Lost,
    /// This entry says it again.
    Recovered(EntryId),
    /// This entry was written here in its place.
    Replaced(EntryId),
    /// It was taken back, or takes back such a one.
    Withdrawn,
}

/// What came of [`Database::recover_feed`](crate::Database::recover_feed).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// What was appended again, and as what: ascending.
    pub entries: Vec<(EntryId, EntryId)>,
    /// What was not, and why.
    pub left_out: Vec<(EntryId, NotRecovered)>,
}

/// The entries that [`Database::lost_entries`](crate::Database::lost_entries) found, read one by one.
pub struct LostEntries {
    parts: Arc<Parts>,
    survey: Arc<Survey>,
    from: Seq,
}

impl LostEntries {
    pub(crate) fn new(parts: Arc<Parts>, survey: Survey) -> LostEntries {
        LostEntries { parts, survey: Arc::new(survey), from: 0 }
    }

    /// The next; none at the end. Of contents of more than 64 MiB nothing is loaded: they can be read as blobs.
    pub async fn next(&mut self) -> Result<Option<LostEntry>, ReadError> {
        let Some(seq) = self.survey.next(self.from) else { return Ok(None) };
        let survey = self.survey.clone();
        let entry = engine::run(&self.parts, move |parts| parts.lost_entry(&survey, seq)).await??;
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
    pub(crate) fn recover(&self, feed: FeedKey) -> Result<Recovered, RecoverError> {
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

    fn note_recovered(&self, feed: &FeedKey) -> Result<(), RecoverError> {
        let noted = recovered::note(&self.dir, feed, self.beyond_fork(feed));
        noted.map_err(|source| RecoverError::Note { path: recovered::path(&self.dir), source })
    }
}
