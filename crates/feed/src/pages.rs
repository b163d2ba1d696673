//! Tree nodes in rows: a *page* is a few levels of the tree below one node, without that node, and a row holds what is known of it.
//!
//! Siblings are always in one page. Within it a node's *slot* is its flat-tree index in the page's own small tree.

use kappadb_core::Hash;
use kappadb_core::codec::{self, DecodeError};
use kappadb_merkle::{Node, TreeError, flat};
use std::collections::BTreeMap;

/// Nodes lower than this are not kept while all blocks of their page are held: so many levels take as many bytes as all above them
/// do, eight times over, and at most 8 blocks are read to make one again.
pub(crate) const KEPT_HEIGHT: u32 = 3;

/// Levels of a page above those: 62 nodes, of which a full one keeps 42, in 1.4 kB.
const LEVELS: u32 = 5;

const WHAT: &str = "page of nodes";
const HASH: usize = 32;

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The page's name: the index of the node above it.
    pub page: u64,
    slot: u32,
}

/// The lowest height of the page that nodes of this height are in, and how many levels it has.
fn levels_at(height: u32) -> (u32, u32) {
    match height.checked_sub(KEPT_HEIGHT) {
        None => (0, KEPT_HEIGHT),
        Some(above) => (height - above % LEVELS, LEVELS),
    }
}

/// The first index, the lowest height and the number of levels of the page of this name, if there can be one.
fn extent(page: u64) -> Option<(u64, u32, u32)> {
    let height = flat::height(page);
    let (bottom, levels) = levels_at(height.checked_sub(1)?);
    (bottom + levels == height && page < flat::END << LEVELS)
        .then(|| (page + 1 - (1 << height), bottom, levels))
}

impl Place {
    pub fn of(index: u64) -> Place {
        let (bottom, levels) = levels_at(flat::height(index));
        let first = index >> (bottom + levels + 1) << (bottom + levels + 1);
        let slot = u32::try_from((index - first) >> bottom).unwrap_or_default();
        Place { page: first + (1 << (bottom + levels)) - 1, slot }
    }
}

/// What is known of a page's nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// A bit for each slot.
    known: u64,
    /// The nodes of these slots, ascending.
    nodes: Vec<Node>,
}

impl Page {
    /// The page of low nodes that are these, one height after the other from the lowest.
    pub fn of_levels<'a>(levels: impl Iterator<Item = &'a [Node]>) -> Page {
        let mut page = Page { known: 0, nodes: Vec::with_capacity(2 << KEPT_HEIGHT) };
        for (height, level) in (0..).zip(levels) {
            for (offset, node) in (0..).zip(level) {
                page.put(u32::try_from(flat::index(height, offset)).unwrap_or(u32::MAX), *node);
            }
        }
        page
    }

    pub fn is_empty(&self) -> bool {
        self.known == 0
    }

    fn has(&self, slot: u32) -> bool {
        1u64.checked_shl(slot).is_some_and(|bit| self.known & bit != 0)
    }

    /// How many nodes there are before this slot.
    fn rank(&self, slot: u32) -> usize {
        let before = 1u64.checked_shl(slot).map_or(u64::MAX, |bit| bit - 1);
        (self.known & before).count_ones() as usize
    }

    fn kept(&self, slot: u32) -> Option<&Node> {
        if self.has(slot) { self.nodes.get(self.rank(slot)) } else { None }
    }

    /// The slots below.
    fn below(slot: u32) -> Option<(u32, u32)> {
        let half = 1 << flat::height(u64::from(slot)).checked_sub(1)?;
        Some((slot - half, slot + half))
    }

    /// The node, if it is kept here or follows from the two below it.
    pub fn get(&self, place: Place) -> Result<Option<Node>, TreeError> {
        if let Some(node) = self.kept(place.slot) {
            return Ok(Some(*node));
        }
        let both = |(left, right)| Some((self.kept(left)?, self.kept(right)?));
        let below = if self.is_empty() { None } else { Page::below(place.slot).and_then(both) };
        below.map(|(left, right)| kappadb_merkle::parent(left, right)).transpose()
    }

    /// Keeps the node here. True if none was kept in its place.
    pub fn set(&mut self, place: Place, node: Node) -> bool {
        self.put(place.slot, node)
    }

    fn put(&mut self, slot: u32, node: Node) -> bool {
        let (rank, new) = (self.rank(slot), !self.has(slot));
        match self.nodes.get_mut(rank) {
            Some(at) if !new => *at = node,
            _ => self.nodes.insert(rank, node),
        }
        self.known |= 1u64.checked_shl(slot).unwrap_or_default();
        new
    }

    fn slots(&self) -> impl Iterator<Item = u32> + use<> {
        let known = self.known;
        (0..u64::BITS).filter(move |slot| known >> slot & 1 != 0)
    }

    /// The nodes kept here with their indexes, if this is the page of that name; none where no such page has a slot.
    pub fn nodes(&self, page: u64) -> impl Iterator<Item = (Option<u64>, Node)> + '_ {
        let extent = extent(page);
        let index = move |slot: u32| {
            let (first, bottom, levels) = extent?;
            let is_in = flat::height(u64::from(slot)) < levels && slot < 2 << levels;
            is_in.then(|| first + (u64::from(slot) << bottom) + (1 << bottom) - 1)
        };
        self.slots().map(index).zip(self.nodes.iter().copied())
    }

    /// Adds what the other has.
    pub fn add(&mut self, other: &Page) {
        for (slot, node) in other.slots().zip(&other.nodes) {
            self.put(slot, *node);
        }
    }

    /// Lets go of what follows from the two nodes below it, on every second level: with more, much would be hashed to find one.
    pub fn thin(&mut self) {
        let follows = |slot: &u32| {
            let odd = flat::height(u64::from(*slot)) % 2 == 1;
            odd && Page::below(*slot).is_some_and(|(left, right)| self.has(left) && self.has(right))
        };
        let gone: Vec<u32> = self.slots().filter(follows).collect();
        for slot in gone {
            self.nodes.remove(self.rank(slot));
            self.known &= !(1 << slot);
        }
    }

    /// `slots known, a bit each u64 | hash 32* | size varint*`
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.known.to_le_bytes());
        self.nodes.iter().for_each(|node| out.extend_from_slice(&node.hash.0));
        self.nodes.iter().for_each(|node| codec::encode_into(&node.size, out));
    }

    pub fn decode(row: &[u8]) -> Result<Page, DecodeError> {
        let short = || DecodeError::Malformed { what: WHAT, reason: "it ends early".to_owned() };
        let (known, rest) = row.split_first_chunk::<8>().ok_or_else(short)?;
        let known = u64::from_le_bytes(*known);
        let count = known.count_ones() as usize;
        let (hashes, mut sizes) = rest.split_at_checked(count * HASH).ok_or_else(short)?;
        let mut nodes = Vec::with_capacity(count);
        for hash in hashes.as_chunks::<HASH>().0 {
            let (size, used) = codec::number(WHAT, sizes)?;
            sizes = sizes.get(used..).unwrap_or_default();
            nodes.push(Node { hash: Hash(*hash), size });
        }
        match sizes.len() {
            0 => Ok(Page { known, nodes }),
            extra => Err(DecodeError::Trailing { what: WHAT, extra }),
        }
    }
}

/// Nodes not yet written.
#[derive(Default)]
pub(crate) struct Fresh {
    /// By feed number and page.
    pages: BTreeMap<(u32, u64), Page>,
    count: usize,
    /// Roots that were written before, or need not be: by feed number and index.
    roots: BTreeMap<(u32, u64), Node>,
}

impl Fresh {
    pub fn get(&self, number: u32, index: u64, place: Place) -> Option<Node> {
        let page = self.pages.get(&(number, place.page));
        let node = page.and_then(|page| page.kept(place.slot));
        node.or_else(|| self.roots.get(&(number, index))).copied()
    }

    /// Nodes that are to be written. Sooner if they are in order.
    pub fn extend(&mut self, number: u32, nodes: impl IntoIterator<Item = (u64, Node)>) {
        let mut nodes = nodes.into_iter().map(|(index, node)| (Place::of(index), node)).peekable();
        while let Some((place, node)) = nodes.next() {
            let page = self.pages.entry((number, place.page)).or_default();
            self.count += usize::from(page.set(place, node));
            while let Some((place, node)) = nodes.next_if(|(next, _)| next.page == place.page) {
                self.count += usize::from(page.set(place, node));
            }
        }
    }

    /// Roots of a tree all of whose nodes have been written, or are to be.
    pub fn set_roots(&mut self, number: u32, roots: &[(u64, Node)]) {
        self.roots.extend(roots.iter().map(|(index, node)| ((number, *index), *node)));
    }

    /// How many nodes are to be written.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The feeds that the nodes are of, and of each the pages by name, ascending.
    pub fn feeds(&self) -> BTreeMap<u32, Vec<(u64, &Page)>> {
        let mut feeds: BTreeMap<u32, Vec<(u64, &Page)>> = BTreeMap::new();
        for ((number, name), page) in &self.pages {
            feeds.entry(*number).or_default().push((*name, page));
        }
        feeds
    }

    /// Forgets the nodes of a feed.
    pub fn forget(&mut self, number: u32) {
        self.roots.retain(|(of, _), _| *of != number);
        self.pages.retain(|(of, _), _| *of != number);
        self.count = self.pages.values().map(|page| page.nodes.len()).sum();
    }

    pub fn clear(&mut self) {
        *self = Fresh::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_merkle::{Peaks, leaf};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Every node of the tree of `length` leaves.
    fn tree(length: u64) -> BTreeMap<u64, Node> {
        let (mut peaks, mut nodes) = (Peaks::new(), BTreeMap::new());
        let leaves: Vec<Node> = (0..length).map(|seq| leaf(&[&seq.to_le_bytes()])).collect();
        peaks
            .extend(&leaves, &mut |index, node| {
                nodes.insert(index, node);
            })
            .unwrap();
        nodes
    }

    /// The rows after these batches of nodes, each read, added to and written again.
    fn rows<'a>(batches: impl Iterator<Item = &'a [(u64, Node)]>) -> BTreeMap<u64, Vec<u8>> {
        let mut rows: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        for batch in batches {
            let mut fresh = Fresh::default();
            fresh.extend(7, batch.iter().copied());
            for (name, new) in fresh.feeds().remove(&7).unwrap_or_default() {
                let mut page = rows.get(&name).map_or_else(Page::default, |row| Page::decode(row).unwrap());
                page.add(new);
                page.thin();
                let mut row = Vec::new();
                page.encode_into(&mut row);
                rows.insert(name, row);
            }
        }
        rows
    }

    #[test]
    fn a_row_is_a_bit_for_each_slot_then_the_hashes_then_the_sizes() {
        let [first, second] = [(1, 5), (2, 300)].map(|(byte, size)| Node { hash: Hash([byte; 32]), size });
        let mut page = Page::default();
        assert!(page.set(Place { page: 7, slot: 9 }, second) && page.set(Place { page: 7, slot: 0 }, first));
        assert!(!page.set(Place { page: 7, slot: 9 }, second));
        let mut row = Vec::new();
        page.encode_into(&mut row);
        let known = [0b0000_0001, 0b0000_0010, 0, 0, 0, 0, 0, 0];
        assert_eq!(row, [known.as_slice(), &[1; 32], &[2; 32], &[5, 251, 44, 1]].concat());
        assert_eq!(Page::decode(&row), Ok(page));
        for end in 0..row.len() {
            assert!(Page::decode(&row[..end]).is_err());
        }
        assert!(Page::decode(&[row.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn a_full_page_keeps_two_thirds_of_its_nodes() {
        let nodes: Vec<(u64, Node)> = tree(256).into_iter().collect();
        let rows = rows(std::iter::once(nodes.as_slice()));
        let count = |name: u64| Page::decode(&rows[&name]).unwrap().nodes.len();
        assert_eq!((count(255), count(7)), (42, 10));
    }

    #[test]
    fn what_is_no_page_has_no_nodes() {
        let mut page = Page::default();
        for slot in 0..64 {
            page.put(slot, Node { hash: Hash([0; 32]), size: 0 });
        }
        for name in [0, 1, 3, 15, u64::MAX, u64::MAX >> 1, u64::MAX - 1] {
            assert!(page.nodes(name).all(|(index, _)| index.is_none()), "{name}");
        }
        assert_eq!(page.nodes(7).filter(|(index, _)| index.is_some()).count(), 14);
        assert_eq!(page.nodes(255).filter(|(index, _)| index.is_some()).count(), 62);
    }

    proptest! {
        #[test]
        fn each_node_has_a_slot_of_its_own_beside_its_sibling(
            offset in 0..flat::END, height in 0..41u32, known in any::<u64>()
        ) {
            let index = flat::index(height, offset >> (height + 1));
            let place = Place::of(index);
            let span = flat::leaf_span(index);
            let page = flat::leaf_span(place.page);
            prop_assert!(page.start <= span.start && span.end <= page.end && place.page != index);
            prop_assert_eq!(Place::of(flat::sibling(index)).page, place.page);
            let mut all = Page { known: 0, nodes: Vec::new() };
            all.put(place.slot, Node { hash: Hash([1; 32]), size: known });
            let at: Vec<_> = all.nodes(place.page).map(|(index, node)| (index, node.size)).collect();
            prop_assert_eq!(at, [(Some(index), known)]);
        }

        #[test]
        fn rows_merged_in_any_order_give_the_same_nodes(
            length in 1..700u64,
            leaves in prop::collection::btree_set(0..700u64, 1..40),
            cuts in prop::collection::vec(1..30usize, 1..60),
            order in any::<u64>(),
        ) {
            // What a proof of these leaves teaches: the nodes on and beside their paths.
            let all = tree(length);
            let leaves: BTreeSet<u64> = leaves.into_iter().map(|seq| seq % length).collect();
            let above = |seq: &u64| {
                let path = std::iter::successors(Some(2 * seq), |index| Some(flat::parent(*index)));
                path.take_while(|index| flat::in_tree(*index, length)).collect::<Vec<_>>()
            };
            let known: BTreeSet<u64> = leaves.iter().flat_map(above)
                .flat_map(|index| [index, flat::sibling(index)])
                .filter(|index| all.contains_key(index)).collect();
            let nodes: Vec<(u64, Node)> = known.iter().map(|index| (*index, all[index])).collect();
            let mut shuffled = nodes.clone();
            shuffled.sort_by_key(|(index, _)| index.wrapping_mul(order | 1).rotate_left(17));
            let (mut batches, mut rest) = (Vec::new(), shuffled.as_slice());
            for cut in cuts {
                let (batch, later) = rest.split_at(cut.min(rest.len()));
                batches.push(batch);
                rest = later;
            }
            batches.push(rest);
            let merged = rows(batches.into_iter());
            prop_assert_eq!(&merged, &rows(std::iter::once(nodes.as_slice())));
            for (index, node) in &all {
                let place = Place::of(*index);
                let page = merged.get(&place.page).map_or_else(Page::default, |row| Page::decode(row).unwrap());
                let found = page.get(place).unwrap();
                prop_assert_eq!(found, known.contains(index).then_some(*node), "{}", index);
            }
        }
    }
}
