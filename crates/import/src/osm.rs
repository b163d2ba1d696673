//! What the readers of OSM files share: which version of an element counts, its tags, and where its parts are.

use crate::edits::{EditWriter, Edits, NO_EDIT};
use crate::error::Reason;
use crate::lookup::{Lookup, id_of, key};
use crate::sort::{Sorter, part, record};
use kappadb_core::{Coord, Extent, GeoBox};
use kappadb_geo::{Edit, ElementKind, WayNode};
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

/// Notices a file of full history: each version of an element follows the one before.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    last: Option<(ElementKind, i64, u32)>,
}

impl Versions {
    /// Takes the next element; true if it is the one before in another version.
    pub fn repeats(&mut self, kind: ElementKind, id: i64, version: u32) -> bool {
        let last = self.last.replace((kind, id, version));
        last.is_some_and(|last| {
            (last.0, last.1) == (kind, id) && version != 0 && ![0, version].contains(&last.2)
        })
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

/// Id 8 | rank | longitude i32 | latitude i32 | place of the edit u64 | flags u8.
const NODE: usize = 8 + RANK + 8 + 9;
/// The node has tags, so it is an item of its own.
const TAGGED: u8 = 1;
/// The file says that it is an edit of the version that it names.
const EDIT: u8 = 2;
/// A way of the file says so: whether the node has tags is not known.
const OF_WAY: u8 = 4;
/// Id 8 | rank | extent.
const WAY: usize = 8 + RANK + EXTENT;

/// Takes what is said of nodes, in any order.
pub(crate) struct Positions {
    nodes: Sorter<NODE>,
    edits: EditWriter,
}

/// What is said of a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said<'a> {
    pub id: i64,
    pub rank: Rank,
    /// None for a node that is gone.
    pub at: Option<Coord>,
    pub edit: Option<&'a Edit>,
    pub is_tagged: bool,
    pub is_edit: bool,
    /// A way says so.
    pub of_way: bool,
}

/// What is said last of a node of which no tags are known.
pub(crate) struct BareNode {
    pub node: WayNode,
    pub is_edit: bool,
    pub of_way: bool,
}

/// Where nodes are, and which edits put them there.
#[derive(Debug)]
pub(crate) struct Nodes {
    lookup: Lookup<NODE>,
    edits: Edits,
}

/// Takes the extents of ways, or of relations, in any order.
pub(crate) struct Extents(Sorter<WAY>);

/// Where ways are, or what of relations is not relations.
pub(crate) struct Ways(Lookup<WAY>);

impl Positions {
    pub fn new(dir: &Path) -> io::Result<Self> {
        Ok(Positions { nodes: Sorter::new(dir), edits: EditWriter::new(dir)? })
    }

    pub fn push(&mut self, said: &Said<'_>) -> io::Result<()> {
        // No position has this longitude.
        let (lon, lat) = said.at.map_or((i32::MIN, 0), |at| (at.lon, at.lat));
        let edit = said.edit.map_or(Ok(NO_EDIT), |edit| self.edits.place(edit))?;
        let flags = [(said.is_tagged, TAGGED), (said.is_edit, EDIT), (said.of_way, OF_WAY)];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag);
        self.nodes.push(record(&[
            &key(said.id),
            &said.rank.bytes(),
            &lon.to_le_bytes(),
            &lat.to_le_bytes(),
            &edit.to_le_bytes(),
            &[flags],
        ]))
    }

    pub fn finish(self) -> io::Result<Nodes> {
        Ok(Nodes { lookup: Lookup::new(self.nodes.finish()?)?, edits: self.edits.finish()? })
    }
}

impl Nodes {
    /// None if the file does not have it.
    pub fn position(&mut self, id: i64) -> io::Result<Option<Coord>> {
        Ok(self.lookup.last(key(id))?.and_then(|node| coord(&node)))
    }

    /// What the file says of a node, and whether it is an edit; none if it does not have it, or it is gone.
    pub fn said(&mut self, id: i64) -> io::Result<Option<(WayNode, bool)>> {
        let Some(node) = self.lookup.last(key(id))? else { return Ok(None) };
        let is_edit = part::<1>(&node, NODE - 1)[0] & EDIT != 0;
        Ok(self.read(&node)?.map(|said| (said, is_edit)))
    }

    fn read(&mut self, node: &[u8; NODE]) -> io::Result<Option<WayNode>> {
        let Some(at) = coord(node) else { return Ok(None) };
        let (version, edit) = (u32::from_be_bytes(part(node, 8)), u64::from_le_bytes(part(node, 28)));
        Ok(Some(WayNode { id: id_of(part(node, 0)), at: Some(at), version, edit: self.edits.get(edit)? }))
    }

    /// A way's nodes with what the file says of them. A position that comes with the way counts where the file has none of
    /// the node.
    pub fn path(&mut self, nodes: impl IntoIterator<Item = WayNode>) -> io::Result<Vec<WayNode>> {
        nodes.into_iter().map(|node| Ok(self.said(node.id)?.map_or(node, |(said, _)| said))).collect()
    }

    /// The nodes whose last version has no tags, while one before had or was gone: that one is an item, and counts no more.
    pub fn overridden(&self) -> io::Result<Vec<i64>> {
        let (records, mut overridden) = (self.lookup.sorted()?, Vec::new());
        let mut records = records.iter()?.peekable();
        let mut was_item = false;
        while let Some(node) = records.next().transpose()? {
            let is_last =
                !matches!(records.peek(), Some(Ok(next)) if part::<8>(next, 0) == part::<8>(&node, 0));
            let [flags] = part::<1>(&node, NODE - 1);
            let is_item = flags & (TAGGED | OF_WAY) != 0 || coord(&node).is_none();
            if is_last && was_item && !is_item {
                overridden.push(id_of(part(&node, 0)));
            }
            was_item = !is_last && (was_item || is_item);
        }
        Ok(overridden)
    }

    /// The nodes that a way of the file has at another place than another way, or the node itself, under one version.
    pub fn torn(&self) -> io::Result<Vec<i64>> {
        let (records, mut torn) = (self.lookup.sorted()?, Vec::new());
        let mut before: Option<[u8; NODE]> = None;
        for node in records.iter()? {
            let node = node?;
            let of_way = |node: &[u8; NODE]| part::<1>(node, NODE - 1)[0] & OF_WAY != 0;
            let id_and_version = |node: &[u8; NODE]| part::<12>(node, 0);
            if let Some(before) = before.replace(node)
                && id_and_version(&before) == id_and_version(&node)
                && (of_way(&before) || of_way(&node))
                && coord(&before) != coord(&node)
            {
                torn.push(id_of(part(&node, 0)));
            }
        }
        torn.dedup();
        Ok(torn)
    }

    /// Calls `each` with all nodes without tags that are not gone, by their ids. Of those that only ways speak of it is not known whether they
    /// have tags.
    pub fn each_bare(&mut self, each: &mut dyn FnMut(BareNode) -> io::Result<()>) -> io::Result<()> {
        let records = self.lookup.sorted()?;
        let mut records = records.iter()?.peekable();
        while let Some(node) = records.next().transpose()? {
            let is_last =
                !matches!(records.peek(), Some(Ok(next)) if part::<8>(next, 0) == part::<8>(&node, 0));
            let [flags] = part::<1>(&node, NODE - 1);
            if is_last
                && flags & TAGGED == 0
                && let Some(said) = self.read(&node)?
            {
                let (is_edit, of_way) = (flags & EDIT != 0, flags & OF_WAY != 0);
                each(BareNode { node: said, is_edit, of_way })?;
            }
        }
        Ok(())
    }
}

fn coord(node: &[u8; NODE]) -> Option<Coord> {
    let number = |at| i64::from(i32::from_le_bytes(part(node, at)));
    Coord::from_units(number(20), number(24))
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

/// The boxes of an extent in a fixed width: how many, then two boxes of four numbers.
const EXTENT: usize = 33;

/// Writes an extent of at most two boxes.
fn extent_bytes(extent: &Extent) -> [u8; EXTENT] {
    let count = u8::try_from(extent.boxes().len()).unwrap_or_default();
    let numbers = extent.boxes().iter().flat_map(|b| [b.west, b.south, b.east, b.north]);
    let bytes: Vec<u8> = numbers.flat_map(i32::to_le_bytes).collect();
    record(&[&[count], &bytes])
}

/// Reads what [`extent_bytes`] wrote, one extent a box.
fn extent_parts(bytes: &[u8]) -> Vec<Extent> {
    let [count] = part::<1>(bytes, 0);
    let number = |i: usize| i32::from_le_bytes(part(bytes, 1 + 4 * i));
    let one = |i: usize| GeoBox {
        west: number(4 * i),
        south: number(4 * i + 1),
        east: number(4 * i + 2),
        north: number(4 * i + 3),
    };
    (0..usize::from(count)).map(|i| Extent::from(one(i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_rank_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut positions = Positions::new(dir.path()).unwrap();
        let at = |lon| Some(Coord { lon, lat: 0 });
        let edits: Vec<Edit> = (0..9).map(|changeset| Edit { changeset, ..Edit::default() }).collect();
        for (id, version, sequence, at) in [
            (1, 2, 1, at(5)),
            (1, 1, 2, at(7)),
            (2, 0, 3, at(9)),
            (2, 0, 4, at(-8)),
            (3, 1, 5, at(1)),
            (3, 2, 6, None),
        ] {
            let edit = usize::try_from(sequence).ok().and_then(|sequence| edits.get(sequence));
            let rank = Rank { version, sequence };
            let is_tagged = id == 2;
            positions.push(&Said { id, rank, at, edit, is_tagged, is_edit: id == 1, of_way: false }).unwrap();
        }
        let mut nodes = positions.finish().unwrap();
        let found: Vec<_> = (1..5).map(|id| nodes.position(id).unwrap()).collect();
        assert_eq!(found, [at(5), at(-8), None, None]);
        let (first, is_edit) = nodes.said(1).unwrap().unwrap();
        assert!(is_edit);
        assert_eq!((first.version, first.edit.as_deref()), (2, edits.get(1)));
        let mut bare = Vec::new();
        nodes
            .each_bare(&mut |said| {
                bare.push((said.node.id, said.is_edit));
                Ok(())
            })
            .unwrap();
        assert_eq!(bare, [(1, true)]);
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
