//! Deletes are honoured by whoever holds what they name: its payload goes, and does not come back. `design/chat.md`, "What is left of a delete".

use crate::database::Parts;
use crate::error::{LogError, ReadError};
use crate::network::ask::CHAT;
use kappadb_core::{EntryId, FeedKey, RangeSet};
use kappadb_entry::space;
use kappadb_view::ViewError;
use std::collections::BTreeMap;

/// Blocks that are looked at one by one.
const FEW: u64 = 1_024;

impl Parts {
    /// Erases the payloads of what was deleted or taken back and is not erased yet. To be called before anything of chat is sent to peers, and by
    /// a compaction. Durable when it returns.
    pub(crate) fn honour_deletes(&self) -> Result<(), LogError> {
        if !self.chat.runs() {
            return Ok(());
        }
        self.chat.ready()?;
        let due = self.chat.read(|index| index.named_by_deletes())?;
        let mut of_feeds: BTreeMap<FeedKey, RangeSet> = BTreeMap::new();
        for id in due.ids() {
            of_feeds.entry(id.feed).or_default().insert(id.seq..id.seq.saturating_add(1));
        }
        let mut waiting = Vec::new();
        for (feed, named) in of_feeds {
            let held = self.feeds.held(&feed);
            waiting.extend(named.minus(&held).iter().map(|seq| EntryId { feed, seq }));
            let mut erased = RangeSet::new();
            for seq in named.intersection(&self.feeds.whole(&feed)).iter() {
                if self.is_erased(EntryId { feed, seq })? {
                    erased.insert(seq..seq.saturating_add(1));
                }
            }
            if !erased.is_empty() {
                self.feeds.erase(&feed, &erased)?;
            }
        }
        Ok(self.chat.read(|index| index.seen_to(&due, waiting))?)
    }

    /// Has the words of what was deleted go from the index of words. To be called by a compaction, once there is room.
    pub(crate) fn forget_deleted_words(&self) -> Result<(), ViewError> {
        if !self.chat.runs() {
            return Ok(());
        }
        match self.chat.read(|index| index.forget_deleted())?? {
            true => self.chat.rest(),
            false => Ok(()),
        }
    }

    fn is_erased(&self, id: EntryId) -> Result<bool, ReadError> {
        let Some(entry) = self.entry(id)?.filter(|entry| entry.header.kind.space == space::CHAT) else {
            return Ok(false);
        };
        Ok(self.chat.read(|index| index.is_erased(&entry.header, id))??)
    }

    /// Of these blocks, those that are held in the form in which they are wanted: whole, or cleared for ever.
    pub(crate) fn as_wanted(
        &self,
        view: &str,
        feed: &FeedKey,
        held: &RangeSet,
    ) -> Result<RangeSet, ReadError> {
        let mut wanted = held.intersection(&self.feeds.whole(feed));
        if view == CHAT {
            let mut cleared = held.minus(&wanted);
            if cleared.count() > FEW {
                let named = self.chat.read(|index| index.named_by_deletes_of(feed))??;
                cleared = cleared.intersection(&named.into_iter().map(|id| id.seq).collect());
            }
            for seq in cleared.iter() {
                if self.is_erased(EntryId { feed: *feed, seq })? {
                    wanted.insert(seq..seq.saturating_add(1));
                }
            }
        }
        Ok(wanted)
    }
}
