use crate::entry::is_kv;
use crate::reader::{KvReader, KvSnapshot};
use kappadb_core::{EntryId, FeedKey};
use kappadb_entry::rules;
use kappadb_query::Selector;
use kappadb_store::Overlay;
use kappadb_view::keyed::{Active, ActiveRows};
use kappadb_view::{Change, Index, KeyUpdate, Keyed, Notice, Upkeep, ViewError};
use std::collections::BTreeSet;

/// The key-value view's index.
pub struct KvIndex {
    keyed: Keyed,
}

impl Index for KvIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        let ours: Vec<Change<'_>> = changes.iter().filter(|change| is_kv(change)).copied().collect();
        let updates = self.keyed.apply_all(rows, &ours)?;
        Ok(updates.iter().filter_map(KeyUpdate::notice).collect())
    }

    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        self.read().matches(selector, without)
    }

    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        self.keyed.upkeep(idle, |index| &mut index.keyed)
    }

    fn check(&self) -> Result<Vec<String>, ViewError> {
        let mut wrong = 0_u64;
        let mut rows = self.read().walk(&crate::KeyRange::ALL, false)?;
        while rows.advance()? {
            let active = rows.active()?.versions;
            let ascends = active.is_sorted_by(|a, b| a.id < b.id);
            let redundant = active.iter().any(|e| active.iter().any(|f| rules::makes_redundant(f, e)));
            wrong += u64::from(active.is_empty() || !ascends || redundant);
        }
        let text = format!("the versions of {wrong} keys are not those that nothing makes redundant");
        let mut found = self.keyed.audit()?;
        found.extend((wrong > 0).then_some(text));
        Ok(found)
    }

    /// Key by key, in order, so that nothing is held whole. What is kept of payloads must be what they are; what is not kept is in the log.
    fn compare(&self, fresh: &Self) -> Result<Vec<String>, ViewError> {
        let (mut kept, mut fresh) = (Rows::of(self)?, Rows::of(fresh)?);
        let mut wrong = Vec::new();
        while let Some(key) = kept.key().into_iter().chain(fresh.key()).min().map(<[u8]>::to_vec) {
            let (kept, fresh) = (kept.take(&key)?, fresh.take(&key)?);
            wrong.extend(differences(&key, &kept, &fresh));
        }
        Ok(wrong)
    }
}

/// Keys in order, of which the next can be looked at.
struct Rows<'a>(Option<ActiveRows<'a>>);

impl<'a> Rows<'a> {
    fn of(index: &'a KvIndex) -> Result<Rows<'a>, ViewError> {
        let mut rows = Rows(Some(index.read().walk(&crate::KeyRange::ALL, false)?));
        rows.advance()?;
        Ok(rows)
    }

    fn advance(&mut self) -> Result<(), ViewError> {
        let more = self.0.as_mut().map_or(Ok(false), ActiveRows::advance)?;
        if !more {
            self.0 = None;
        }
        Ok(())
    }

    fn key(&self) -> Option<&[u8]> {
        self.0.as_ref().map(ActiveRows::key)
    }

    /// What it says of a key, if that is the next.
    fn take(&mut self, key: &[u8]) -> Result<Active, ViewError> {
        let Some(rows) = self.0.as_ref().filter(|rows| rows.key() == key) else {
            return Ok(Active::default());
        };
        let active = rows.active()?;
        self.advance()?;
        Ok(active)
    }
}

/// Says how what is kept of a key differs from what it should be.
fn differences(key: &[u8], kept: &Active, fresh: &Active) -> Vec<String> {
    let ids = |active: &Active| active.versions.iter().map(|version| version.id).collect::<Vec<_>>();
    let (had, should_have) = (ids(kept), ids(fresh));
    let mut wrong = kappadb_view::differences(&had, &should_have);
    let is_other = |id: &EntryId| match (kept.payload(id), fresh.payload(id)) {
        (Some(kept), Some(fresh)) => kept != fresh,
        _ => false,
    };
    let other = had.iter().filter(|id| is_other(id));
    let key = String::from_utf8_lossy(key);
    wrong.extend(other.map(|id| format!("of key {key} it has another value than entry {id}")));
    if kept.versions != fresh.versions && had == should_have {
        wrong.push(format!("of key {key} it has other headers than the log"));
    }
    wrong
}

impl KvIndex {
    pub(crate) fn new(keyed: Keyed) -> Self {
        KvIndex { keyed }
    }

    /// Looks at it.
    pub fn read(&self) -> KvReader<'_> {
        KvReader(self.keyed.read())
    }

    /// As it is now: for several questions against one moment, and for long ones. Costs next to nothing; while it lives, a batch that is indexed
    /// may cost the copy of what is in memory.
    pub fn snapshot(&self) -> KvSnapshot {
        KvSnapshot(self.keyed.snapshot())
    }

    /// Has the payloads go that may not be kept any more, by the upkeep that comes next.
    pub fn strip(&self, may_keep: impl Fn(&EntryId) -> bool + Send + Sync + 'static) {
        self.keyed.strip(may_keep);
    }
}
