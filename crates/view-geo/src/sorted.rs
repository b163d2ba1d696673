//! Items in memory in the order of their ranks, in chunks that know their boxes: what a packed tree is on disk, but open to change.

use crate::item::{Item, ItemRef, Standing};
use crate::packed::{Source, Window};
use crate::rank::Rank;
use kappadb_core::GeoBox;
use kappadb_view::ViewError;

/// Items in a chunk, at most: a full one is cut in two.
const CHUNK: usize = 64;
/// And when it is made.
const FILLED: usize = CHUNK - CHUNK / 4;

#[derive(Debug, Default)]
pub struct Sorted {
    /// Ascending; none is empty.
    chunks: Vec<Chunk>,
    len: usize,
}

#[derive(Debug)]
struct Chunk {
    bbox: GeoBox,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    rank: Rank,
    item: Item,
}

impl Entry {
    fn new(item: Item) -> Entry {
        Entry { rank: Rank::of(&item.bbox, &item.key), item }
    }

    fn standing(&self) -> Standing<'_> {
        Standing::new(self.rank, self.item.borrowed())
    }
}

impl Chunk {
    fn new(entries: Vec<Entry>) -> Option<Chunk> {
        let bbox = entries.iter().map(|entry| entry.item.bbox).reduce(|a, b| a.hull(&b))?;
        Some(Chunk { bbox, entries })
    }

    /// True if all of it stands before this.
    fn is_before(&self, standing: &Standing<'_>) -> bool {
        self.entries.last().is_some_and(|last| last.standing() < *standing)
    }

    fn position(&self, standing: &Standing<'_>) -> usize {
        self.entries.partition_point(|entry| entry.standing() < *standing)
    }

    /// Splits the second half off, if it is full.
    fn split(&mut self) -> Option<Chunk> {
        let half = (self.entries.len() > CHUNK).then(|| self.entries.split_off(CHUNK / 2))?;
        let (first, second) = (Chunk::new(std::mem::take(&mut self.entries))?, Chunk::new(half)?);
        *self = first;
        Some(second)
    }
}

impl Sorted {
    /// Of items in any order, much faster than one by one. None if one is there twice.
    pub fn of(items: impl Iterator<Item = Item>) -> Option<Sorted> {
        let mut entries: Vec<Entry> = items.map(Entry::new).collect();
        entries.sort_unstable_by(|a, b| a.standing().cmp(&b.standing()));
        if entries.windows(2).any(|pair| matches!(pair, [a, b] if a.standing() == b.standing())) {
            return None;
        }
        let len = entries.len();
        // With room, so that what comes next cuts no chunk in two.
        let (mut chunks, mut entries) = (Vec::with_capacity(len / FILLED + 1), entries.into_iter());
        while let Some(chunk) = Chunk::new(entries.by_ref().take(FILLED).collect()) {
            chunks.push(chunk);
        }
        Some(Sorted { chunks, len })
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// The chunk where something of this standing is or belongs: the first that is not wholly before it, or the last.
    fn chunk(&self, standing: &Standing<'_>) -> usize {
        let at = self.chunks.partition_point(|chunk| chunk.is_before(standing));
        at.min(self.chunks.len().saturating_sub(1))
    }

    /// Adds an item that is not here.
    pub fn insert(&mut self, item: Item) {
        self.len += 1;
        let entry = Entry::new(item);
        let at = self.chunk(&entry.standing());
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.extend(Chunk::new(vec![entry]));
            return;
        };
        chunk.bbox = chunk.bbox.hull(&entry.item.bbox);
        let position = chunk.position(&entry.standing());
        chunk.entries.insert(position, entry);
        if let Some(second) = chunk.split() {
            self.chunks.insert(at + 1, second);
        }
    }

    /// Takes an item out; false if it is not here.
    pub fn remove(&mut self, item: &Item) -> bool {
        let item = item.borrowed();
        let standing = item.standing();
        let at = self.chunk(&standing);
        let Some(chunk) = self.chunks.get_mut(at) else { return false };
        let position = chunk.position(&standing);
        if chunk.entries.get(position).is_none_or(|entry| entry.item.borrowed() != item) {
            return false;
        }
        chunk.entries.remove(position);
        match Chunk::new(std::mem::take(&mut chunk.entries)) {
            Some(left) => *chunk = left,
            None => drop(self.chunks.remove(at)),
        }
        self.len -= 1;
        true
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Rank, &Item)> {
        self.chunks.iter().flat_map(|chunk| &chunk.entries).map(|entry| (entry.rank, &entry.item))
    }

    /// What is wanted, in order.
    fn wanted<'a>(&'a self, window: &Window<'a>) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let window = *window;
        let from = window.from;
        let before = move |chunk: &&Chunk| chunk.entries.last().is_some_and(|last| Some(last.rank) < from);
        let chunks = self.chunks.iter().skip_while(before).filter(move |chunk| window.touches(&chunk.bbox));
        chunks
            .flat_map(|chunk| &chunk.entries)
            .take_while(move |entry| entry.rank.level() >= window.level)
            .filter(move |entry| Some(entry.rank) >= from && window.touches(&entry.item.bbox))
    }

    /// Calls `visit` with every item that is wanted.
    pub fn search(
        &self,
        window: &Window<'_>,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.wanted(window).try_for_each(|entry| visit(entry.item.borrowed()))
    }

    /// Reads in order what is wanted.
    pub fn source<'a>(&'a self, window: &Window<'a>) -> impl Source + use<'a> {
        let mut rest = self.wanted(window);
        Listed { head: rest.next(), rest }
    }
}

struct Listed<'a, I> {
    head: Option<&'a Entry>,
    rest: I,
}

impl<'a, I: Iterator<Item = &'a Entry>> Source for Listed<'a, I> {
    fn head(&self) -> Option<(Rank, ItemRef<'_>)> {
        self.head.map(|entry| (entry.rank, entry.item.borrowed()))
    }

    fn advance(&mut self) -> Result<(), ViewError> {
        self.head = self.rest.next();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn items() -> impl Strategy<Value = Vec<Item>> {
        let edges = (-40..40i32, -20..20i32, 0..3i32);
        let item = |(n, (x, y, side)): (u64, (i32, i32, i32))| Item {
            bbox: GeoBox { west: x, south: y, east: x + side, north: y + side },
            slot: (0, n),
            flags: 0,
            key: format!("k{}", n % 7).into_bytes().into(),
        };
        prop::collection::vec(edges, 0..900).prop_map(move |edges| (0..).zip(edges).map(item).collect())
    }

    fn all(sorted: &Sorted, window: &Window<'_>) -> Vec<Item> {
        let mut found = Vec::new();
        let visit = &mut |item: ItemRef<'_>| {
            found.push(item.to_item());
            Ok(())
        };
        sorted.search(window, visit).unwrap();
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_sorted_list(items in items(), at_once: bool, gone in any::<u64>(), (level, from) in (0..3u8, any::<u64>())) {
            let mut sorted = Sorted::default();
            items.iter().for_each(|item| sorted.insert(item.clone()));
            let made = Sorted::of(items.iter().cloned()).unwrap();
            prop_assert!(made.iter().eq(sorted.iter()) && made.len() == items.len());
            prop_assert!(made.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.entries.len())));
            prop_assert!(items.is_empty() || Sorted::of(items.iter().chain(items.last()).cloned()).is_none());
            if at_once {
                sorted = made;
            }
            let bit = |n: u64| gone >> (n % 64) & 1 == 1;
            let (gone, mut left): (Vec<_>, Vec<_>) =
                items.iter().partition(|item| bit(item.slot.1));
            gone.iter().for_each(|item| assert!(sorted.remove(item)));
            gone.iter().for_each(|item| assert!(!sorted.remove(item)));
            left.sort_by(|a, b| a.borrowed().standing().cmp(&b.borrowed().standing()));
            prop_assert_eq!(sorted.len(), left.len());
            prop_assert!(sorted.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.entries.len())));
            prop_assert!(sorted.iter().map(|(_, item)| item).eq(left.iter().copied()));

            let boxes = [GeoBox { west: -9, south: -9, east: 9, north: 9 }];
            let window = Window { boxes: Some(&boxes), level, from: Some(Rank::new(2, from)) };
            left.retain(|item| window.touches(&item.bbox) && window.shows(&item.borrowed()) && Some(item.borrowed().standing().rank) >= window.from);
            let found = all(&sorted, &window);
            prop_assert!(found.iter().eq(left.iter().copied()));
            let mut source = sorted.source(&window);
            for item in &found {
                prop_assert_eq!(source.head().map(|(_, item)| item.to_item()), Some(item.clone()));
                source.advance().unwrap();
            }
            prop_assert!(source.head().is_none());
        }
    }
}
