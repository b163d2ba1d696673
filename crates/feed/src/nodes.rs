//! Finding tree nodes: kept ones in the pages of the rows, low ones computed again from the blocks below.

use crate::ReadError;
use crate::blocks::{Around, Blocks};
use crate::pages::{Fresh, KEPT_HEIGHT, Page, Place};
use crate::rows;
use crate::state::run;
use kappadb_core::{RangeSet, Seq, StoredBlock};
use kappadb_merkle::{Node, flat, parents};
use std::collections::BTreeMap;
use std::ops::{Bound, Range};

/// Blocks of which one page of low nodes is made.
const GROUP: usize = 1 << KEPT_HEIGHT;
/// Blocks whose low nodes are made together: enough for the lanes in which they are hashed.
const TOGETHER: usize = 512;
/// So few pages are looked up one by one.
const FEW: usize = 4;

/// Where the nodes of one feed are looked up.
pub(crate) struct Nodes<'a> {
    blocks: &'a Blocks,
    fresh: Option<&'a Fresh>,
    number: u32,
    /// Blocks that can be read.
    held: &'a RangeSet,
    /// Pages of low nodes, made from blocks.
    made: BTreeMap<u64, Page>,
    /// Pages as the rows have them; an empty one where there is no row.
    read: BTreeMap<u64, Page>,
    /// Pages between these of which there is a row are in `read`.
    scanned: Range<u64>,
    /// The blocks of whole groups of which the low nodes are still to be made, and the first of each.
    waiting: Vec<StoredBlock>,
    groups: Vec<Seq>,
    /// The groups before this block have been seen to.
    seen_to: Seq,
}

impl<'a> Nodes<'a> {
    pub fn new(blocks: &'a Blocks, fresh: Option<&'a Fresh>, number: u32, held: &'a RangeSet) -> Self {
        Nodes {
            blocks,
            fresh,
            number,
            held,
            made: BTreeMap::new(),
            read: BTreeMap::new(),
            scanned: 0..0,
            waiting: Vec::new(),
            groups: Vec::new(),
            seen_to: 0,
        }
    }

    /// The same for a feed whose rows are all to go.
    pub fn without_rows(self) -> Self {
        Nodes { scanned: 0..u64::MAX, ..self }
    }

    /// The node, if it is kept or can be computed.
    pub fn get(&mut self, index: u64) -> Result<Option<Node>, ReadError> {
        if index >= flat::END {
            return Ok(None);
        }
        let place = Place::of(index);
        if let Some(node) = self.fresh.and_then(|fresh| fresh.get(self.number, index, place)) {
            return Ok(Some(node));
        }
        let is_low = flat::height(index) < KEPT_HEIGHT;
        if let Some(made) = self.made.get(&place.page).filter(|_| is_low)
            && let Some(node) = made.get(place)?
        {
            return Ok(Some(node));
        }
        if let Some(node) = self.page(place.page)?.and_then(|page| page.get(place).transpose()) {
            return Ok(Some(node?));
        }
        match is_low && self.held.covers(&flat::leaf_span(index)) {
            true => self.compute(index, place),
            false => Ok(None),
        }
    }

    /// The page as its row has it.
    pub fn page(&mut self, name: u64) -> Result<Option<&Page>, ReadError> {
        if !self.read.contains_key(&name) {
            if self.scanned.contains(&name) {
                return Ok(None);
            }
            let row = self.blocks.tree.get(&rows::page_key(self.number, name))?;
            let page = row.map(|row| Page::decode(&row)).transpose()?.unwrap_or_default();
            self.read.insert(name, page);
        }
        Ok(self.read.get(&name).filter(|page| !page.is_empty()))
    }

    /// Reads the pages that these nodes are in at once, for a caller who is going to ask for them.
    pub fn read_ahead(&mut self, indexes: impl Iterator<Item = u64>) -> Result<(), ReadError> {
        let names = indexes.map(|index| Place::of(index).page);
        let mut names: Vec<u64> = names.collect();
        // Neighbours are in one page mostly.
        names.dedup();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !self.made.contains_key(name));
        self.read_pages(&names)
    }

    /// Reads the pages of these names, ascending, in one go if there are few others between them.
    pub fn read_pages(&mut self, names: &[u64]) -> Result<(), ReadError> {
        let (Some(&first), Some(&last)) = (names.first(), names.last()) else { return Ok(()) };
        let is_known = self.scanned.start <= first && last < self.scanned.end;
        if is_known || names.len() <= FEW {
            return Ok(());
        }
        let [from, to] = [first, last].map(|name| rows::page_key(self.number, name));
        let (mut found, most) = (Vec::new(), names.len() * 2);
        for row in self.blocks.tree.range(Bound::Included(&from), Bound::Included(&to)) {
            let (key, value) = row?;
            found.push((rows::number_at_end(&key).unwrap_or_default(), Page::decode(&value)?));
            if found.len() > most {
                return Ok(());
            }
        }
        self.read.extend(found);
        self.scanned = first..last + 1;
        Ok(())
    }

    /// Sees to it that the low nodes which a proof of block `seq`, among those `wanted`, is likely to need are made by the time of
    /// [`Nodes::make_waiting`]: none if all the blocks around it are wanted too. Called in ascending order. What cannot be made is
    /// missed when it is looked up, if it is.
    pub fn make_beside(&mut self, seq: Seq, wanted: &RangeSet, around: &Around<'_>) {
        let group = flat::leaf_span(Place::of(flat::leaf_index(seq)).page);
        if seq < self.seen_to || wanted.covers(&group) || !self.held.covers(&group) {
            return;
        }
        self.seen_to = group.end;
        let first = group.start;
        match around.run(&group) {
            Some(blocks) => self.waiting.extend_from_slice(blocks),
            None => match self.blocks.collect(self.number, &run(group)) {
                Ok(blocks) if blocks.len() == GROUP => {
                    self.waiting.extend(blocks.into_iter().map(|(_, block)| block));
                }
                _ => return,
            },
        }
        self.groups.push(first);
        if self.waiting.len() >= TOGETHER {
            self.make_waiting();
        }
    }

    /// Makes the low nodes of the groups that wait for it.
    pub fn make_waiting(&mut self) {
        let (blocks, groups) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.groups));
        drop(self.make(&groups, &blocks));
    }

    /// Makes pages of low nodes from the blocks of whole groups.
    fn make(&mut self, groups: &[Seq], blocks: &[StoredBlock]) -> Result<(), ReadError> {
        let mut levels = vec![kappadb_entry::leaf_nodes(blocks)?];
        for _ in 1..KEPT_HEIGHT {
            let pairs = levels.last().map(Vec::as_slice).unwrap_or_default().as_chunks().0;
            levels.push(parents(&pairs.iter().map(|[left, right]| (*left, *right)).collect::<Vec<_>>())?);
        }
        for (at, first) in groups.iter().enumerate() {
            let counts = (0..).map(|height| GROUP >> height);
            let of_group = levels
                .iter()
                .zip(counts)
                .map(|(level, count)| level.get(at * count..(at + 1) * count).unwrap_or_default());
            let page = Page::of_levels(of_group);
            self.made.insert(Place::of(flat::leaf_index(*first)).page, page);
        }
        Ok(())
    }

    /// Reads the blocks of the node's group, or those below the node if not all are held, and remembers every node that
    /// follows: who asks for one of them asks for its neighbours next.
    fn compute(&mut self, index: u64, place: Place) -> Result<Option<Node>, ReadError> {
        let group = flat::leaf_span(place.page);
        let whole = self.held.covers(&group);
        let span = if whole { group } else { flat::leaf_span(index) };
        let below = self.blocks.collect(self.number, &run(span.clone()))?;
        let blocks: Vec<StoredBlock> = below.into_iter().map(|(_, block)| block).collect();
        if blocks.len() as u64 != span.end - span.start {
            return Ok(None);
        }
        if whole {
            self.make(&[span.start], &blocks)?;
        } else {
            let made = self.made.entry(place.page).or_default();
            let (mut level, mut height) = (kappadb_entry::leaf_nodes(&blocks)?, 0);
            while !level.is_empty() {
                for (node, offset) in level.iter().zip(span.start >> height..) {
                    made.set(Place::of(flat::index(height, offset)), *node);
                }
                let pairs = level.as_chunks().0;
                level = parents(&pairs.iter().map(|[left, right]| (*left, *right)).collect::<Vec<_>>())?;
                height += 1;
            }
        }
        Ok(self.made.get(&place.page).map(|made| made.get(place)).transpose()?.flatten())
    }
}
