//! Deletes are honoured by whoever holds what they name: its payload goes, and does not come back. `design/chat.md`, "What is left of a delete".

use crate::engine::Engine;
use crate::error::{LogError, ReadError};
use kappadb_core::{EntryId, FeedKey, RangeSet};
use kappadb_entry::space;
use kappadb_view::{ViewError, ViewHandle};
use kappadb_view_chat::ChatView;
use std::collections::BTreeMap;

/// Blocks that are looked at one by one.
const FEW: u64 = 1_024;

/// Erases the payloads of what was deleted or taken back and is not erased yet. To be called before anything of chat is sent to peers, and by
/// a compaction. Durable when it returns.
pub(super) fn honour_deletes(engine: &Engine, chat: &ViewHandle<ChatView>) -> Result<(), LogError> {
    if !chat.runs() {
        return Ok(());
    }
    chat.ready()?;
    let due = chat.read(|index| index.named_by_deletes())?;
    let mut of_feeds: BTreeMap<FeedKey, RangeSet> = BTreeMap::new();
    for id in due.ids() {
        of_feeds.entry(id.feed).or_default().insert(id.seq..id.seq.saturating_add(1));
    }
    let mut waiting = Vec::new();
    for (feed, named) in of_feeds {
        let held = engine.feeds.held(&feed);
        waiting.extend(named.minus(&held).iter().map(|seq| EntryId { feed, seq }));
        let mut erased = RangeSet::new();
        for seq in named.intersection(&engine.feeds.whole(&feed)).iter() {
            if is_erased(engine, chat, EntryId { feed, seq })? {
                erased.insert(seq..seq.saturating_add(1));
            }
        }
        if !erased.is_empty() {
            engine.feeds.erase(&feed, &erased)?;
        }
    }
    Ok(chat.read(|index| index.seen_to(&due, waiting))?)
}

/// Has the words of what was deleted go from the index of words. To be called by a compaction, once there is room.
pub(super) fn forget_deleted_words(chat: &ViewHandle<ChatView>) -> Result<(), ViewError> {
    if !chat.runs() {
        return Ok(());
    }
    match chat.read(|index| index.forget_deleted())?? {
        true => chat.rest(),
        false => Ok(()),
    }
}

fn is_erased(engine: &Engine, chat: &ViewHandle<ChatView>, id: EntryId) -> Result<bool, ReadError> {
    let Some(entry) = engine.entry(id)?.filter(|entry| entry.header.kind.space == space::CHAT) else {
        return Ok(false);
    };
    Ok(chat.read(|index| index.is_erased(&entry.header, id))??)
}

/// Of these blocks, which are held without their payloads, those that were erased for ever.
pub(super) fn erased(
    engine: &Engine,
    chat: &ViewHandle<ChatView>,
    feed: &FeedKey,
    mut cleared: RangeSet,
) -> Result<RangeSet, ReadError> {
    if cleared.count() > FEW {
        let named = chat.read(|index| index.named_by_deletes_of(feed))??;
        cleared = cleared.intersection(&named.into_iter().map(|id| id.seq).collect());
    }
    let mut erased = RangeSet::new();
    for seq in cleared.iter() {
        if is_erased(engine, chat, EntryId { feed: *feed, seq })? {
            erased.insert(seq..seq.saturating_add(1));
        }
    }
    Ok(erased)
}
