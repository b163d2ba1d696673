//! A packed run: two immutable trees of pages, one of places and one of past places, in one file, and which of their items count no more.
//!
//! Rows of the file:
//!
//! ```text
//! tree u8 | level u8 | page u32 BE   a page. Tree 0 has places, tree 1 past places
//! ff                                 [`Descriptor`]
//! ```

use crate::item::{Item, ItemRef, Slot};
use crate::leaf::Leaf;
use crate::packed::{Packed, Pages, Window};
use crate::page::{Builder, Shape};
use crate::rows;
use bincode::{Decode, Encode};
use bytes::Bytes;
use kappadb_core::codec;
use kappadb_store::{Overlay, Tree, prefix_range};
use kappadb_view::ViewError;
use kappadb_view::packed::{self, Area, Pack, Writer};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The files of all runs.
pub const AREA: Area = Area { prefix: rows::RUNS, sort: 0 };
/// The row of a file that says what is in it.
const DESCRIPTOR: &[u8] = &[0xff];

const MISSING: ViewError = ViewError::Inconsistent("a page of the map index is missing");
const BAD_MARK: ViewError =
    ViewError::Inconsistent("marks of dead boxes in the map index do not fit together");
const IMPOSSIBLE: ViewError = ViewError::Inconsistent("a run of the map index has an impossible form");

/// Which of a run's trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Places,
    Past,
}

impl Which {
    pub const BOTH: [Which; 2] = [Which::Places, Which::Past];

    fn of<K: AsRef<[u8]>>(item: &Item<K>) -> Which {
        if item.is_past() { Which::Past } else { Which::Places }
    }

    fn number(self) -> u8 {
        u8::from(self == Which::Past)
    }
}

/// What is known of a run without reading its pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Descriptor {
    pub places: Shape,
    pub past: Shape,
}

impl Descriptor {
    pub fn shape(&self, which: Which) -> &Shape {
        match which {
            Which::Places => &self.places,
            Which::Past => &self.past,
        }
    }

    /// Items in both trees.
    pub fn items(&self) -> u64 {
        self.places.items + self.past.items
    }
}

/// A version whose items in a run count no more, and how many they are.
pub type Mark = (Slot, u8);

/// A run that can be searched.
#[derive(Debug)]
pub struct Run {
    pub packed: packed::Run,
    pub descriptor: Descriptor,
    dead: HashSet<Slot>,
    dead_items: u64,
    /// Rows of marks.
    marks: u32,
    /// Marks of the present batch.
    buried: Vec<Mark>,
}

/// A page of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageId {
    /// Never used twice while the index is open.
    run: u64,
    which: u8,
    level: u8,
    number: u32,
}

/// Pages read lately.
pub type Cache = packed::Cache<PageId, Bytes>;

fn page_key(which: Which, level: u8, page: u32) -> [u8; 6] {
    let [a, b, c, d] = page.to_be_bytes();
    [which.number(), level, a, b, c, d]
}

/// Writes the file of a run: the pages of its places, then those of its past places.
pub struct RunWriter {
    writer: Writer,
    /// Pages that lead to others come before all of these, and belong behind them. There are few.
    above: BTreeMap<[u8; 6], Vec<u8>>,
}

impl RunWriter {
    pub fn new(tree: &dyn Tree, number: u64) -> Result<RunWriter, ViewError> {
        Ok(RunWriter { writer: Writer::new(tree, AREA, number)?, above: BTreeMap::new() })
    }

    pub fn put(&mut self, which: Which, level: u8, number: u32, page: Vec<u8>) -> Result<(), ViewError> {
        let key = page_key(which, level, number);
        if level == 0 {
            return self.writer.push(&key, &page);
        }
        self.above.insert(key, page);
        Ok(())
    }

    /// The pages of a tree are all there.
    pub fn end_tree(&mut self) -> Result<(), ViewError> {
        let above = std::mem::take(&mut self.above);
        above.iter().try_for_each(|(key, page)| self.writer.push(key, page))
    }

    /// None if there are no items.
    pub fn finish(mut self, descriptor: Descriptor) -> Result<Option<Run>, ViewError> {
        if descriptor.items() == 0 {
            return Ok(None);
        }
        self.writer.push(DESCRIPTOR, &codec::encode(&descriptor))?;
        Ok(self.writer.finish()?.map(|packed| Run::new(packed, descriptor)))
    }
}

fn marks_key(run: u64, number: u32) -> Vec<u8> {
    rows::key(rows::DEAD, &[&run.to_be_bytes(), &number.to_be_bytes()])
}

/// The marks that a row holds.
fn read_marks(mut row: &[u8]) -> Result<Vec<Mark>, ViewError> {
    let mut marks = Vec::new();
    while !row.is_empty() {
        let (slot, rest) = rows::read_slot(row).ok_or(BAD_MARK)?;
        let (&items, rest) = rest.split_first().ok_or(BAD_MARK)?;
        marks.push((slot, items));
        row = rest;
    }
    Ok(marks)
}

/// The marks of a run, from one row of them up to another.
pub fn marks(tree: &dyn Tree, run: u64, numbers: std::ops::Range<u32>) -> Result<Vec<Mark>, ViewError> {
    let row = |number| read_marks(&tree.get(&marks_key(run, number))?.ok_or(BAD_MARK)?);
    Ok(numbers.map(row).collect::<Result<Vec<_>, _>>()?.concat())
}

/// Pages of a run as they lie in its file.
pub struct Stored {
    pub pack: Arc<Pack>,
    pub which: Which,
}

impl Pages for Stored {
    fn page(&self, level: u8, number: u32) -> Result<Bytes, ViewError> {
        self.pack.get(&page_key(self.which, level, number))?.ok_or(MISSING)
    }
}

/// Pages of a run by way of the cache.
pub struct Cached<'a> {
    run: &'a packed::Run,
    cache: &'a Cache,
    which: Which,
}

impl Pages for Cached<'_> {
    fn page(&self, level: u8, number: u32) -> Result<Bytes, ViewError> {
        let id = PageId { run: self.run.number, which: self.which.number(), level, number };
        let read = || self.run.pack.get(&page_key(self.which, level, number))?.ok_or(MISSING);
        self.cache.get(id, read)
    }
}

impl Run {
    /// A run whose pages are written.
    fn new(packed: packed::Run, descriptor: Descriptor) -> Run {
        let (dead, buried) = (HashSet::new(), Vec::new());
        Run { packed, descriptor, dead, dead_items: 0, marks: 0, buried }
    }

    /// Reads of its file what is in it, and from rows what is dead.
    pub fn load(tree: &dyn Tree, packed: packed::Run) -> Result<Run, ViewError> {
        let row = packed.pack.get(DESCRIPTOR)?.ok_or(IMPOSSIBLE)?;
        let descriptor = codec::decode::<Descriptor, 4096>("map run", &row)?;
        let possible = Which::BOTH.iter().all(|which| descriptor.shape(*which).is_possible());
        if !possible || descriptor.items() == 0 || packed.age != packed.number {
            return Err(IMPOSSIBLE);
        }
        let mut run = Run::new(packed, descriptor);
        let number = run.number();
        for row in prefix_range(tree, &rows::key(rows::DEAD, &[&number.to_be_bytes()])) {
            let (key, row) = row?;
            if *key != marks_key(number, run.marks) {
                return Err(BAD_MARK);
            }
            run.marks += 1;
            read_marks(&row)?.into_iter().for_each(|mark| run.count_dead(mark));
        }
        if run.dead_items > run.items() {
            return Err(BAD_MARK);
        }
        Ok(run)
    }

    /// Its number among the runs.
    pub fn number(&self) -> u64 {
        self.packed.number
    }

    /// Says that it counts no more.
    pub fn remove(&self, rows: &mut Overlay<'_>) {
        self.packed.remove(AREA, rows);
        (0..self.marks).for_each(|number| rows.delete(marks_key(self.number(), number)));
    }

    /// Items in it, dead ones included.
    pub fn items(&self) -> u64 {
        self.descriptor.items()
    }

    /// Items that count no more.
    pub fn dead(&self) -> u64 {
        self.dead_items
    }

    /// Rows of marks.
    pub fn marks(&self) -> u32 {
        self.marks
    }

    /// True if so much of it is dead that it should be written anew.
    pub fn is_stale(&self) -> bool {
        self.dead_items * 4 > self.items()
    }

    fn count_dead(&mut self, (slot, items): Mark) {
        if self.dead.insert(slot) {
            self.dead_items += u64::from(items);
        }
    }

    /// The items of a version here count no more.
    pub fn bury(&mut self, mark: Mark) {
        self.count_dead(mark);
        self.buried.push(mark);
    }

    /// Writes down which items were buried in the present batch.
    pub fn mark(&mut self, rows: &mut Overlay<'_>) {
        if self.buried.is_empty() {
            return;
        }
        let mut row = Vec::with_capacity(13 * self.buried.len());
        for (slot, items) in self.buried.drain(..) {
            rows::push_slot(slot, &mut row);
            row.push(items);
        }
        rows.put(marks_key(self.number(), self.marks), row);
        self.marks += 1;
    }

    pub fn cached<'a>(&'a self, which: Which, cache: &'a Cache) -> Cached<'a> {
        Cached { run: &self.packed, cache, which }
    }

    /// One of its trees.
    pub fn tree<'a, P: Pages>(&'a self, which: Which, pages: &'a P) -> Packed<'a, P> {
        Packed { shape: self.descriptor.shape(which), pages, dead: &self.dead }
    }

    /// Calls `visit` with every item of a tree that counts and is wanted.
    pub fn search(
        &self,
        which: Which,
        cache: &Cache,
        window: &Window<'_>,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.tree(which, &self.cached(which, cache)).search(window, visit)
    }

    /// True if `item` lies here and counts.
    pub fn holds(&self, cache: &Cache, item: &Item) -> Result<bool, ViewError> {
        let which = Which::of(item);
        self.tree(which, &self.cached(which, cache)).holds(&item.borrowed())
    }

    /// Reads every leaf, calls `visit` with every item that counts, and packs it all once more. False if what comes of that is not what lies there.
    pub fn audit(&self, tree: &dyn Tree, visit: &mut dyn FnMut(ItemRef<'_>)) -> Result<bool, ViewError> {
        let pack = &self.packed.pack;
        let (mut fits, mut dead, mut pages) = (true, 0, 0);
        for which in Which::BOTH {
            let shape = self.descriptor.shape(which);
            let sink = &mut |level, number, page: Vec<u8>| {
                fits &= pack.get(&page_key(which, level, number))?.is_some_and(|row| row == page);
                Ok(())
            };
            let mut builder = Builder::default();
            for number in 0..shape.leaves() {
                let page = pack.get(&page_key(which, 0, number))?.ok_or(MISSING)?;
                for item in Leaf::read(&page)?.items() {
                    let item = item?;
                    builder.push(&item, item.standing().rank, sink)?;
                    if self.dead.contains(&item.slot) { dead += 1 } else { visit(item) }
                }
            }
            fits &= builder.finish(sink)? == *shape;
            pages += shape.pages();
        }
        let mut marks = prefix_range(tree, &rows::key(rows::DEAD, &[&self.number().to_be_bytes()]));
        let marks = marks.try_fold(0, |count, row| row.map(|_| count + 1))?;
        Ok(fits && pack.rows() == pages + 1 && marks == self.marks && dead == self.dead_items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_are_read_as_written(marks in prop::collection::vec(any::<Mark>(), 0..9)) {
            let tree = kappadb_store::Store::tree(&kappadb_store::MemoryStore::new(), "map").unwrap();
            let mut writer = Writer::new(&*tree, AREA, 7).unwrap();
            writer.push(b"a row", b"").unwrap();
            let packed = writer.finish().unwrap().unwrap();
            let (mut run, mut rows) = (Run::new(packed, Descriptor::default()), Overlay::new(&*tree));
            marks.iter().for_each(|mark| run.bury(*mark));
            run.mark(&mut rows);
            let row = rows.get(&marks_key(7, 0)).unwrap();
            prop_assert_eq!(row.is_some(), !marks.is_empty());
            prop_assert_eq!(read_marks(&row.unwrap_or_default()).unwrap(), marks);
        }

        #[test]
        fn noise_never_panics(row in prop::collection::vec(any::<u8>(), 0..99)) {
            let read = read_marks(&row);
            prop_assert_eq!(read.is_ok(), row.len() % 13 == 0);
        }
    }
}
