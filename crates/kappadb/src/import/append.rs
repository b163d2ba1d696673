use crate::database::Parts;
use crate::error::{ReadError, WriteError};
use crate::map::draft;
use crate::write::Draft;
use bytes::Bytes;
use kappadb_core::{FeedKey, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_geo::{Feature, Meta, Prepared};

/// Entries in one durable append.
const BATCH: usize = 1_000;

/// Gathers entries for durable appends, and counts them.
pub(super) struct Appender<'a> {
    parts: &'a Parts,
    /// Looked up, or made, when there is something to write.
    feed: Option<FeedKey>,
    blocks: Vec<Bytes>,
    appended: (u64, u64),
}

impl<'a> Appender<'a> {
    pub fn new(parts: &'a Parts) -> Self {
        Appender { parts, feed: None, blocks: Vec::new(), appended: (0, 0) }
    }

    pub fn parts(&self) -> &'a Parts {
        self.parts
    }

    /// Takes a feature in the place of its `active` versions, unless the only head among them says just this. True if it was
    /// taken.
    pub fn put(&mut self, feature: &Feature, active: &[Version]) -> Result<bool, WriteError> {
        let prepared = kappadb_geo::put(feature)?;
        if is_current(self.parts, &prepared, active)? {
            return Ok(false);
        }
        self.append(prepared, feature.edited(), active)?;
        Ok(true)
    }

    /// Takes a delete in the place of a feature's `active` versions.
    pub fn delete(&mut self, id: &str, meta: Option<&Meta>, active: &[Version]) -> Result<(), WriteError> {
        self.append(kappadb_geo::delete(id, meta)?, meta.and_then(|meta| meta.edit.time), active)
    }

    fn append(
        &mut self,
        change: Prepared,
        time: Option<Timestamp>,
        active: &[Version],
    ) -> Result<(), WriteError> {
        let feed = match self.feed {
            Some(feed) => feed,
            None => *self.feed.insert(self.parts.writer()?),
        };
        let block = self.parts.block(Draft { time, ..draft(change) }, active, &feed)?;
        self.blocks.push(block);
        if self.blocks.len() < BATCH { Ok(()) } else { self.flush() }
    }

    /// Makes what was taken durable.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let blocks = std::mem::take(&mut self.blocks);
        if let (Some(feed), false) = (self.feed, blocks.is_empty()) {
            self.appended.0 += blocks.len() as u64;
            self.appended.1 += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
            self.parts.append(feed, blocks)?;
        }
        Ok(())
    }

    /// The same, and waits until it is indexed, so that what comes next can be looked up in it.
    pub fn flush_and_index(&mut self) -> Result<(), WriteError> {
        self.flush()?;
        Ok(self.parts.map.ready().map_err(ReadError::from)?)
    }

    /// Blocks and bytes appended so far.
    pub fn appended(&self) -> (u64, u64) {
        self.appended
    }
}

/// True if the only head among `active` says just this.
fn is_current(parts: &Parts, prepared: &Prepared, active: &[Version]) -> Result<bool, ReadError> {
    let heads = rules::heads(active);
    let [head] = heads.as_slice() else { return Ok(false) };
    if head.kind.code != prepared.code || head.places != prepared.places {
        return Ok(false);
    }
    let Some(entry) = parts.entry(head.id)? else { return Ok(false) };
    let payload = parts.load_payload(head.id, &entry)?;
    Ok(payload.is_some_and(|payload| payload == prepared.payload))
}
