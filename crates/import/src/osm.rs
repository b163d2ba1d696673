//! What the readers of OSM files share: which version of an element counts, its tags, and where its parts are.

use crate::error::Reason;
use crate::lookup::{Lookup, key};
use crate::sort::{Sorter, part, record};
use crate::spool::{EXTENT, extent_bytes, extent_parts};
use kappadb_core::{Coord, Extent};
use kappadb_geo::WayNode;
use std::io;
use std::path::Path;

/// Which of several versions of one thing counts: the greatest.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rank {
    /// 0 if it is not known.
    pub version: u32,
    /// Its place among all in the file.
    pub sequence: u64,
}

/// Bytes of a rank, which have the order of the ranks.
pub(crate) const RANK: usize = 12;

impl Rank {
    pub fn bytes(self) -> [u8; RANK] {
        record(&[&self.version.to_be_bytes(), &self.sequence.to_be_bytes()])
    }
}

/// Tags in order, so that a feature is the same whatever program wrote the file. Two values of one key are refused: to
/// keep either would be a guess.
pub(crate) fn tags(mut tags: Vec<(String, String)>) -> Result<Vec<(String, String)>, Reason> {
    tags.sort_unstable();
    tags.dedup();
    match tags.iter().zip(tags.iter().skip(1)).find(|(a, b)| a.0 == b.0) {
        Some((tag, _)) => Err(Reason::DuplicateTag { key: tag.0.clone() }),
        None => Ok(tags),
    }
}

/// Id 8 | rank | longitude i32 | latitude i32.
const NODE: usize = 8 + RANK + 8;
/// Id 8 | rank | extent.
const WAY: usize = 8 + RANK + EXTENT;

/// Takes the positions of nodes, in any order.
pub(crate) struct Positions(Sorter<NODE>);

/// Where nodes are.
pub(crate) struct Nodes(Lookup<NODE>);

/// Takes the extents of ways, or of relations, in any order.
pub(crate) struct Extents(Sorter<WAY>);

/// Where ways are, or what of relations is not relations.
pub(crate) struct Ways(Lookup<WAY>);

impl Positions {
    pub fn new(dir: &Path) -> Self {
        Positions(Sorter::new(dir))
    }

    /// None for a node that is gone.
    pub fn push(&mut self, id: i64, rank: Rank, at: Option<Coord>) -> io::Result<()> {
        // No position has this longitude.
        let (lon, lat) = at.map_or((i32::MIN, 0), |at| (at.lon, at.lat));
        self.0.push(record(&[&key(id), &rank.bytes(), &lon.to_le_bytes(), &lat.to_le_bytes()]))
    }

    pub fn finish(self) -> io::Result<Nodes> {
        Ok(Nodes(Lookup::new(self.0.finish()?)?))
    }
}

impl Nodes {
    /// None if the file does not have it.
    pub fn position(&mut self, id: i64) -> io::Result<Option<Coord>> {
        let found = self.0.last(key(id))?;
        let number = |node: &[u8], at| i64::from(i32::from_le_bytes(part(node, at)));
        Ok(found.and_then(|node| Coord::from_units(number(&node, 20), number(&node, 24))))
    }

    /// A way's nodes with their positions. One that comes with the way counts where the file has none of the node.
    pub fn path(&mut self, nodes: impl IntoIterator<Item = WayNode>) -> io::Result<Vec<WayNode>> {
        nodes
            .into_iter()
            .map(|node| Ok(WayNode { id: node.id, at: self.position(node.id)?.or(node.at) }))
            .collect()
    }
}

impl Extents {
    pub fn new(dir: &Path) -> Self {
        Extents(Sorter::new(dir))
    }

    /// Nowhere for what is gone.
    pub fn push(&mut self, id: i64, rank: Rank, extent: &Extent) -> io::Result<()> {
        self.0.push(record(&[&key(id), &rank.bytes(), &extent_bytes(extent)]))
    }

    pub fn finish(self) -> io::Result<Ways> {
        Ok(Ways(Lookup::new(self.0.finish()?)?))
    }
}

impl Ways {
    pub fn extents(&mut self, id: i64) -> io::Result<Vec<Extent>> {
        let found = self.0.last(key(id))?;
        Ok(found.map_or_else(Vec::new, |way| extent_parts(way.get(8 + RANK..).unwrap_or_default())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_rank_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut positions = Positions::new(dir.path());
        let at = |lon| Some(Coord { lon, lat: 0 });
        for (id, version, sequence, at) in [
            (1, 2, 1, at(5)),
            (1, 1, 2, at(7)),
            (2, 0, 3, at(9)),
            (2, 0, 4, at(-8)),
            (3, 1, 5, at(1)),
            (3, 2, 6, None),
        ] {
            positions.push(id, Rank { version, sequence }, at).unwrap();
        }
        let mut nodes = positions.finish().unwrap();
        let found: Vec<_> = (1..5).map(|id| nodes.position(id).unwrap()).collect();
        assert_eq!(found, [at(5), at(-8), None, None]);
    }

    #[test]
    fn tags_have_one_order_and_one_value() {
        let tag = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        let sorted = tags(vec![tag("b", "1"), tag("a", "2"), tag("b", "1")]);
        assert_eq!(sorted, Ok(vec![tag("a", "2"), tag("b", "1")]));
        let twice = tags(vec![tag("a", "1"), tag("a", "2")]);
        assert_eq!(twice, Err(Reason::DuplicateTag { key: "a".to_owned() }));
    }
}
