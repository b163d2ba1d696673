//! The handle's methods for what is no longer wanted, and for going on after damage.

use crate::feeds::Feeds;
use crate::writer::Writer;
use crate::{ClearError, Cleared, CommitError, CompactError, Compacted, DropError, compact};
use kappadb_core::{FeedKey, RangeSet};
use kappadb_journal::Damage;
use std::collections::BTreeMap;
use std::sync::PoisonError;

impl Feeds {
    /// Clears the payloads of what is held of `ranges`: headers stay, and every view and proof is what it was. What is not held,
    /// would be no shorter without its payload, or was cleared before is passed over. Durable on return; the disk is given back by [`Feeds::compact`].
    pub fn clear(&self, feed: &FeedKey, ranges: &RangeSet) -> Result<Cleared, ClearError> {
        self.shared.write(|writer| writer.clear(feed, ranges, false))
    }

    /// The same for payloads that nobody is to read any more, also those that are shorter than what is left in their place.
    pub fn erase(&self, feed: &FeedKey, ranges: &RangeSet) -> Result<Cleared, ClearError> {
        self.shared.write(|writer| writer.clear(feed, ranges, true))
    }

    /// Puts a feed on the block list: views leave it out, nothing of it is answered with or taken in. Durable on return. What is
    /// held of it goes with the next [`Feeds::compact`].
    pub fn drop_feed(&self, feed: &FeedKey) -> Result<(), DropError> {
        let _still = self.shared.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.write(|writer| writer.set_dropped(feed, true))
    }

    /// Takes a feed off the block list. Views that have left it out must be made anew.
    pub fn allow_feed(&self, feed: &FeedKey) -> Result<(), DropError> {
        let _still = self.shared.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.write(|writer| writer.set_dropped(feed, false))
    }

    /// The block list.
    pub fn dropped(&self) -> Vec<FeedKey> {
        self.shared.look(|visible| visible.dropped.iter().copied().collect())
    }

    /// True if the feed is on the block list.
    pub fn is_dropped(&self, feed: &FeedKey) -> bool {
        self.shared.look(|visible| visible.dropped.contains(feed))
    }

    /// Feeds of which all that was held was compacted away at some time, and at which such event counted from 1. A view that has not
    /// seen the event, and had not left the feed out before it, must be made anew: what it should take out cannot be
    /// read any more.
    pub fn forgotten(&self) -> BTreeMap<FeedKey, u64> {
        let forgotten = |visible: &crate::state::Visible| {
            visible.forgotten.iter().map(|(feed, forgotten)| (*feed, forgotten.count)).collect()
        };
        self.shared.look(forgotten)
    }

    /// Writes the journal anew without cleared payloads and dropped feeds, a segment at a time, while others read and append. Views
    /// should have left dropped feeds out before, for it takes away what they would read to do so; those that have not must be made
    /// anew ([`Feeds::forgotten`]). Small neighbouring segments become one. Needs the room of one more segment; those
    /// for which there is none stay as they are, and are counted. `progress` is told segments. Damaged segments stay as they are.
    ///
    /// # Errors
    /// [`CompactError::is_full`] only if for want of room nothing was gained at all.
    pub fn compact(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<Compacted, CompactError> {
        compact::compact(&self.shared, progress)
    }

    /// What the journal lost, as found when it was opened or verified. Unless it is settled own feeds take no appends.
    pub fn damage(&self) -> Vec<Damage> {
        self.shared.writer().damage.clone()
    }

    /// Gives own feeds up: they take no more appends, for good, and the way on is a new feed that continues each. Durable on return.
    pub fn give_up(&self, feeds: &[FeedKey]) -> Result<(), CommitError> {
        self.shared.write(|writer| writer.give_up(feeds))
    }

    /// Goes on after damage: own feeds of which blocks may have been lost take no more appends for good, and are returned (the way on
    /// is a new feed that continues them); the others take appends again. Durable on return. Nothing if there is no damage, or if
    /// it was settled before. Damage that is found later must be settled anew.
    pub fn settle_damage(&self) -> Result<Vec<FeedKey>, CommitError> {
        self.shared.write(Writer::settle_damage)
    }
}
