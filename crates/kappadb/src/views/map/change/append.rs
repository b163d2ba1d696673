use crate::engine::pool;
use crate::engine::turns::Turn;
use crate::error::{ReadError, WriteError};
use crate::views::map::{MapParts, draft};
use crate::write::Draft;
use bytes::Bytes;
use kappadb_core::{FeedKey, Lseq};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::{Kind, kind_of, space};
use kappadb_geo::{Feature, Prepared};
use std::collections::VecDeque;

/// Entries in one durable append, about.
const BATCH: usize = 8_000;
/// Bytes in one, about.
const BATCH_BYTES: u64 = 4 << 20;
/// Appends that the index may be behind, so that whoever waits for it in between waits no longer than that.
const BEHIND: usize = 4;
/// Entries of others that are looked at in one go.
const LOOKED_AT: usize = 1_000;

/// Gathers entries for durable appends, and counts them.
pub(in crate::views::map) struct Appender<'a> {
    parts: &'a MapParts,
    /// The caller's turn at writing, if others may have theirs between two appends.
    pub(in crate::views::map) turn: Option<Turn>,
    /// Looked up, or made, when there is something to write.
    feed: Option<FeedKey>,
    blocks: Vec<Bytes>,
    bytes: u64,
    /// Blocks, and bytes of them.
    pub appended: (u64, u64),
    /// Where the log ended after the last appends.
    ends: VecDeque<Lseq>,
}

impl<'a> Appender<'a> {
    /// The caller has the turn, and keeps it.
    pub fn new(parts: &'a MapParts) -> Self {
        let (blocks, ends) = (Vec::new(), VecDeque::new());
        Appender { parts, turn: None, feed: None, blocks, bytes: 0, appended: (0, 0), ends }
    }

    pub fn parts(&self) -> &'a MapParts {
        self.parts
    }

    /// Takes a feature in the place of its `active` versions, unless the only head among them says just this. True if it was
    /// taken.
    pub fn put(&mut self, feature: &Feature, active: &[Version]) -> Result<bool, WriteError> {
        let prepared = kappadb_geo::put(feature)?;
        if is_current(self.parts, &prepared, active)? {
            return Ok(false);
        }
        self.append(prepared, active)?;
        Ok(true)
    }

    /// Takes a change in the place of a feature's `active` versions.
    pub fn append(&mut self, change: Prepared, active: &[Version]) -> Result<(), WriteError> {
        let feed = match self.feed {
            Some(feed) => feed,
            None => *self.feed.insert(self.parts.writer()?),
        };
        let time = change.edited;
        let block = self.parts.block(Draft { time, ..draft(change) }, active, &feed)?;
        self.bytes += block.len() as u64;
        self.blocks.push(block);
        Ok(())
    }

    /// Makes what was taken durable if it is enough, or the last, as [`Appender::flush`] does.
    pub fn keep_up(&mut self, is_last: bool, durable: &mut dyn FnMut()) -> Result<bool, WriteError> {
        let is_enough = self.blocks.len() >= BATCH || self.bytes >= BATCH_BYTES;
        if is_last || is_enough { self.flush(durable) } else { Ok(false) }
    }

    /// Makes what was taken durable. Then others have their turn, while `durable` is called. True if they have written to the map: what was looked up
    /// may be so no more.
    pub fn flush(&mut self, durable: &mut dyn FnMut()) -> Result<bool, WriteError> {
        wanted()?;
        let blocks = std::mem::take(&mut self.blocks);
        let bytes = std::mem::take(&mut self.bytes);
        if let (Some(feed), false) = (self.feed, blocks.is_empty()) {
            self.appended = (self.appended.0 + blocks.len() as u64, self.appended.1 + bytes);
            self.parts.append(feed, blocks)?;
            self.ends.push_back(self.parts.feeds.end());
        }
        let is_disturbed = self.give_way(durable)?;
        if self.ends.len() > BEHIND
            && let Some(end) = self.ends.pop_front()
        {
            self.parts.map.ready_at(end).map_err(ReadError::from)?;
        }
        Ok(is_disturbed)
    }

    /// True if somebody else has written to the map meanwhile.
    fn give_way(&mut self, durable: &mut dyn FnMut()) -> Result<bool, WriteError> {
        let Some(turn) = self.turn.take() else {
            durable();
            return Ok(false);
        };
        let before = self.parts.feeds.end();
        self.turn = Some(turn.give_way(durable)?);
        // They may have begun another.
        self.feed = None;
        Ok(has_map_after(self.parts, before)?)
    }

    /// Makes what was taken durable as [`Appender::flush`] does, and waits until it is indexed, so that what comes next can be looked up in it.
    pub fn flush_and_index(&mut self) -> Result<bool, WriteError> {
        let is_disturbed = self.flush(&mut || ())?;
        self.parts.map.ready().map_err(ReadError::from)?;
        Ok(is_disturbed)
    }
}

/// # Errors
/// If nobody waits for the import any more. Nobody is left who could be told.
pub(in crate::views::map) fn wanted() -> Result<(), WriteError> {
    if pool::is_awaited() { Ok(()) } else { Err(ReadError::Closed.into()) }
}

/// True if an entry of the map came at `from` or after it.
fn has_map_after(parts: &MapParts, mut from: Lseq) -> Result<bool, ReadError> {
    while from < parts.feeds.end() {
        let arrivals = parts.feeds.arrivals(from, LOOKED_AT)?;
        let Some(last) = arrivals.last() else { return Ok(false) };
        from = last.lseq + 1;
        let is_map = |kind: Kind| kind.space == space::MAP;
        if arrivals.iter().any(|arrival| kind_of(&arrival.block).is_some_and(is_map)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// True if the only head among `active` says just this.
fn is_current(parts: &MapParts, prepared: &Prepared, active: &[Version]) -> Result<bool, ReadError> {
    let heads = rules::heads(active);
    let [head] = heads.as_slice() else { return Ok(false) };
    if head.kind.code != prepared.code || head.places != prepared.places {
        return Ok(false);
    }
    let Some(entry) = parts.entry(head.id)? else { return Ok(false) };
    let payload = parts.load_payload(head.id, &entry)?;
    Ok(payload.is_some_and(|payload| payload == prepared.payload))
}
