//! A packed run: two immutable trees of pages, one of places and one of past places, and which of their items count no
//! more.

use crate::cache::{Cache, PageId};
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
use std::collections::HashSet;

const MISSING: ViewError = ViewError::Inconsistent("a page of the map index is missing");
const BAD_KEY: ViewError = ViewError::Inconsistent("a run of the map index has a bad key");
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
    /// Never used twice while the index is open: cached pages are known by it.
    pub id: u32,
    pub descriptor: Descriptor,
    dead: HashSet<Slot>,
    dead_items: u64,
    /// Rows of marks.
    marks: u32,
    /// Marks of the present batch.
    buried: Vec<Mark>,
}

pub fn page_key(run: u32, which: Which, level: u8, page: u32) -> Vec<u8> {
    rows::key(rows::PAGES, &[&run.to_be_bytes(), &[which.number(), level], &page.to_be_bytes()])
}

pub fn descriptor_key(run: u32) -> Vec<u8> {
    rows::key(rows::RUNS, &[&run.to_be_bytes()])
}

fn marks_key(run: u32, number: u32) -> Vec<u8> {
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
pub fn marks(tree: &dyn Tree, run: u32, numbers: std::ops::Range<u32>) -> Result<Vec<Mark>, ViewError> {
    let row = |number| read_marks(&tree.get(&marks_key(run, number))?.ok_or(BAD_MARK)?);
    Ok(numbers.map(row).collect::<Result<Vec<_>, _>>()?.concat())
}

/// Pages of a run as they lie in their rows.
pub struct Stored<T> {
    pub tree: T,
    pub run: u32,
    pub which: Which,
}

impl<T: AsRef<dyn Tree>> Pages for Stored<T> {
    fn page(&self, level: u8, number: u32) -> Result<Bytes, ViewError> {
        let key = page_key(self.run, self.which, level, number);
        self.tree.as_ref().get(&key)?.ok_or(MISSING)
    }
}

/// Pages of a run by way of the cache.
pub struct Cached<'a> {
    tree: &'a dyn Tree,
    cache: &'a Cache,
    run: u32,
    which: Which,
}

impl Pages for Cached<'_> {
    fn page(&self, level: u8, number: u32) -> Result<Bytes, ViewError> {
        let id = PageId { run: self.run, tree: self.which.number(), level, page: number };
        let read = || self.tree.get(&page_key(self.run, self.which, level, number))?.ok_or(MISSING);
        self.cache.get(id, read)
    }
}

impl Run {
    /// A run whose pages are written.
    pub fn new(id: u32, descriptor: Descriptor) -> Run {
        let (dead, buried) = (HashSet::new(), Vec::new());
        Run { id, descriptor, dead, dead_items: 0, marks: 0, buried }
    }

    /// The run of a descriptor row. Reads no page.
    pub fn load(tree: &dyn Tree, key: &[u8], row: &[u8]) -> Result<Run, ViewError> {
        let id = key.get(1..).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes).ok_or(BAD_KEY)?;
        let descriptor = codec::decode::<Descriptor, 4096>("map run", row)?;
        let possible = Which::BOTH.iter().all(|which| descriptor.shape(*which).is_possible());
        if !possible || descriptor.items() == 0 {
            return Err(IMPOSSIBLE);
        }
        let mut run = Run::new(id, descriptor);
        for row in prefix_range(tree, &rows::key(rows::DEAD, &[&id.to_be_bytes()])) {
            let (key, row) = row?;
            if *key != marks_key(id, run.marks) {
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
        rows.put(marks_key(self.id, self.marks), row);
        self.marks += 1;
    }

    pub fn cached<'a>(&self, which: Which, tree: &'a dyn Tree, cache: &'a Cache) -> Cached<'a> {
        Cached { tree, cache, run: self.id, which }
    }

    /// One of its trees.
    pub fn packed<'a, P: Pages>(&'a self, which: Which, pages: &'a P) -> Packed<'a, P> {
        Packed { shape: self.descriptor.shape(which), pages, dead: &self.dead }
    }

    /// Calls `visit` with every item of a tree that counts and is wanted.
    pub fn search(
        &self,
        which: Which,
        (tree, cache): (&dyn Tree, &Cache),
        window: &Window<'_>,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.packed(which, &self.cached(which, tree, cache)).search(window, visit)
    }

    /// True if `item` lies here and counts.
    pub fn holds(&self, tree: &dyn Tree, cache: &Cache, item: &Item) -> Result<bool, ViewError> {
        let which = Which::of(item);
        self.packed(which, &self.cached(which, tree, cache)).holds(&item.borrowed())
    }

    /// Reads every leaf from its row, calls `visit` with every item that counts, and packs it all once more. False if what comes
    /// of that is not what lies there.
    pub fn audit(&self, tree: &dyn Tree, visit: &mut dyn FnMut(ItemRef<'_>)) -> Result<bool, ViewError> {
        let (mut fits, mut dead, mut pages) = (true, 0, 0);
        for which in Which::BOTH {
            let shape = self.descriptor.shape(which);
            let sink = &mut |level, number, page: Vec<u8>| {
                fits &= tree.get(&page_key(self.id, which, level, number))?.is_some_and(|row| row == page);
                Ok(())
            };
            let mut builder = Builder::default();
            for number in 0..shape.leaves() {
                let page = tree.get(&page_key(self.id, which, 0, number))?.ok_or(MISSING)?;
                for item in Leaf::read(&page)?.items() {
                    let item = item?;
                    builder.push(&item, item.standing().rank, sink)?;
                    if self.dead.contains(&item.slot) { dead += 1 } else { visit(item) }
                }
            }
            fits &= builder.finish(sink)? == *shape;
            pages += shape.pages();
        }
        let rows = |prefix| count(tree, &rows::key(prefix, &[&self.id.to_be_bytes()]));
        let counts = rows(rows::PAGES)? == pages && rows(rows::DEAD)? == u64::from(self.marks);
        Ok(fits && counts && dead == self.dead_items)
    }
}

/// How many rows start with this.
fn count(tree: &dyn Tree, prefix: &[u8]) -> Result<u64, ViewError> {
    Ok(prefix_range(tree, prefix).try_fold(0, |count, row| row.map(|_| count + 1))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_are_read_as_written(marks in prop::collection::vec(any::<Mark>(), 0..9)) {
            let tree = kappadb_store::Store::tree(&kappadb_store::MemoryStore::new(), "map").unwrap();
            let (mut run, mut rows) = (Run::new(7, Descriptor::default()), Overlay::new(&*tree));
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
