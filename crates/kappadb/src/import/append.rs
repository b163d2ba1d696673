use crate::database::Parts;
use crate::error::{ReadError, WriteError};
use crate::map::draft;
use bytes::Bytes;
use kappadb_core::FeedKey;
use kappadb_entry::rules::Version;
use kappadb_geo::Prepared;

/// Gathers entries for one durable append, and counts them.
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

    /// Takes an entry that replaces all heads among `active`.
    pub fn append(&mut self, code: u8, change: Prepared, active: &[Version]) -> Result<(), WriteError> {
        let feed = match self.feed {
            Some(feed) => feed,
            None => *self.feed.insert(self.parts.writer()?),
        };
        let block = self.parts.block(draft(code, change), active, &feed)?;
        self.blocks.push(block);
        Ok(())
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
