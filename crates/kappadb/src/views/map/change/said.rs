//! What entries of the map say, each read once: from many of the log's records in the order in which they lie there.

use crate::error::ReadError;
use crate::views::map::MapParts;
use kappadb_core::EntryId;
use kappadb_entry::{Entry, decode_block};
use kappadb_geo::{Body, CODE_DELETE, Element, Feature, Shape, decode_delete};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Blocks in memory at once: each keeps the record that it lies in.
const READ: usize = 256;
/// Nodes and members of what is remembered, and the entries themselves. All is forgotten when there is more.
const REMEMBERED: usize = 400_000;

/// What an entry says.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    /// Its OSM version; 0 if it has none, or cannot be read.
    pub version: u32,
    /// None if it deletes the feature, or cannot be read.
    pub body: Option<Arc<Body>>,
}

/// Entries that were read lately.
pub(super) struct Entries<'a> {
    parts: &'a MapParts,
    said: HashMap<EntryId, Said>,
    weight: usize,
}

impl<'a> Entries<'a> {
    pub fn new(parts: &'a MapParts) -> Self {
        Entries { parts, said: HashMap::new(), weight: 0 }
    }

    /// Reads those that are not remembered, each with its feature's id.
    pub fn read(&mut self, wanted: BTreeMap<EntryId, String>) -> Result<(), ReadError> {
        if self.weight > REMEMBERED {
            (self.said, self.weight) = (HashMap::new(), 0);
        }
        let wanted: Vec<_> = wanted.into_iter().filter(|(id, _)| !self.said.contains_key(id)).collect();
        for some in
            wanted.chunk_by(|(a, _), (b, _)| a.feed == b.feed).flat_map(|of_feed| of_feed.chunks(READ))
        {
            let Some((first, _)) = some.first() else { continue };
            let seqs = some.iter().map(|(id, _)| id.seq).collect();
            let mut blocks: HashMap<_, _> = self.parts.blocks_of(&first.feed, &seqs)?.into_iter().collect();
            for (id, key) in some {
                let entry = blocks.remove(&id.seq).and_then(|block| decode_block(&block).ok());
                let said =
                    entry.map_or_else(|| Ok(Said::default()), |entry| self.said_by(*id, key, &entry))?;
                self.weight += said.weight();
                self.said.insert(*id, said);
            }
        }
        Ok(())
    }

    /// What an entry says that was read; as one that cannot be read otherwise.
    pub fn get(&self, id: &EntryId) -> Said {
        self.said.get(id).cloned().unwrap_or_default()
    }

    fn said_by(&self, id: EntryId, key: &str, entry: &Entry) -> Result<Said, ReadError> {
        let payload = self.parts.load_payload(id, entry)?;
        if entry.header.kind.code == CODE_DELETE {
            let meta = payload.and_then(|payload| decode_delete(&payload).ok()?);
            return Ok(Said { version: meta.map_or(0, |meta| meta.version), body: None });
        }
        let feature = payload.and_then(|payload| kappadb_geo::decode(key, &payload).ok());
        let body = feature.map(|Feature { body, .. }| Arc::new(body));
        Ok(Said { version: body.as_ref().map_or(0, |body| body.version()), body })
    }
}

impl Said {
    fn weight(&self) -> usize {
        let Some(Body::Osm(Element { shape, tags, .. })) = self.body.as_deref() else { return 8 };
        let parts = match shape {
            Shape::Node(_) => 0,
            Shape::Way(nodes) => nodes.len(),
            Shape::Relation { members, .. } => members.len(),
        };
        4 + tags.len() + parts
    }
}
