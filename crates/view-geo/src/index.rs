use crate::feeds::Feeds;
use crate::item::{Item, ItemRef, Slot, items};
use crate::rows;
use crate::space::Space;
use kappadb_core::limits::MAX_ROWS_SCANNED;
use kappadb_core::{EntryId, Extent, GeoBox};
use kappadb_entry::rules::Version;
use kappadb_entry::space::MAP;
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree};
use kappadb_view::{Change, Index, KeyUpdate, Keyed, Notice, View, ViewError};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Bytes in a feature's id.
const MAX_ID: usize = 255;

/// Map features by box and by id.
#[derive(Debug, Clone)]
pub struct MapView {
    memory: usize,
}

impl Default for MapView {
    fn default() -> Self {
        MapView { memory: 65_536 }
    }
}

impl MapView {
    /// Boxes kept in memory before they are packed. Default: 65,536, some 10 MiB.
    pub fn with_memory(boxes: usize) -> Self {
        MapView { memory: boxes.max(1) }
    }
}

impl View for MapView {
    type Index = MapIndex;

    fn name(&self) -> &str {
        "map"
    }

    fn version(&self) -> u32 {
        1
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<MapIndex, ViewError> {
        let (feeds, space) = (Feeds::load(&*rows)?, Space::load(&*rows, self.memory)?);
        Ok(MapIndex { tree: rows, keyed: Keyed::new(rows::KEYED, MAP), feeds, space })
    }
}

/// The map view's index. Opening reads what is in memory, not the packed runs.
pub struct MapIndex {
    tree: Arc<dyn Tree>,
    keyed: Keyed,
    feeds: Feeds,
    space: Space,
}

/// What a box holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the order of their keys.
    pub hits: Vec<Hit>,
}

/// A feature of which at least one head touches the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Its id.
    pub key: String,
    /// Those of its heads that touch the box, ascending; several are a conflict.
    pub heads: Vec<EntryId>,
}

/// The index in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapStats {
    /// Boxes in memory.
    pub memory: usize,
    /// Boxes in each packed run, oldest first, those that count no more included.
    pub runs: Vec<u64>,
}

/// True for entries that this view indexes: of the map's space, with a key that can be a feature's id.
fn is_feature(change: &Change<'_>) -> bool {
    let header = &change.arrived().entry.header;
    let key = header.key.as_deref().unwrap_or_default();
    header.kind.space == MAP && !key.is_empty() && key.len() <= MAX_ID && std::str::from_utf8(key).is_ok()
}

impl Index for MapIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        let features: Vec<Change<'_>> = changes.iter().filter(|c| is_feature(c)).copied().collect();
        let updates = self.keyed.apply_all(rows, &features)?;
        for update in &updates {
            self.place(update, rows);
        }
        self.space.settle(&*self.tree, rows)?;
        Ok(updates.iter().filter_map(KeyUpdate::notice).collect())
    }

    fn matches(&self, selector: &Selector) -> Result<Vec<EntryId>, ViewError> {
        match selector {
            Selector::Boxes(boxes) => self.in_boxes(boxes),
            Selector::Everything | Selector::Keys(_) | Selector::Prefix(_) => {
                self.keyed.matches(&*self.tree, selector)
            }
            _ => Err(ViewError::Unsupported),
        }
    }

    fn check(&self) -> Result<Vec<String>, ViewError> {
        let (mut expected, mut found) = (Tally::default(), Tally::default());
        for row in self.keyed.scan(&*self.tree, &[]) {
            let (key, active) = row?;
            for item in self.boxes_of(&key, &active)? {
                expected.add((&item).into());
            }
        }
        self.space.search(&*self.tree, &GeoBox::WORLD, &mut |item| {
            found.add(item);
            Ok(())
        })?;
        let wrong =
            format!("the map's boxes ({}) are not those of its features ({})", found.count, expected.count);
        Ok(if expected == found { Vec::new() } else { vec![wrong] })
    }
}

impl MapIndex {
    /// The features that touch `extent` (closed: touching counts), at most `limit`, in the order of their ids.
    pub fn query(&self, extent: &Extent, limit: Option<usize>) -> Result<Answer, ViewError> {
        let mut found: BTreeMap<String, BTreeSet<Slot>> = BTreeMap::new();
        self.search(&extent.search_boxes(), &mut |item| {
            if item.head() && !item.past() {
                match std::str::from_utf8(item.key).map(|key| (found.get_mut(key), key)) {
                    Ok((Some(heads), _)) => drop(heads.insert(item.slot)),
                    Ok((None, key)) => drop(found.insert(key.to_owned(), BTreeSet::from([item.slot]))),
                    Err(_) => return Err(ViewError::Inconsistent("a feature's id is no text")),
                }
            }
            Ok(())
        })?;
        let hits = found.into_iter().take(limit.unwrap_or(usize::MAX)).map(|(key, slots)| {
            let mut heads = slots.into_iter().map(|slot| self.id(slot)).collect::<Result<Vec<_>, _>>()?;
            heads.sort_unstable();
            Ok(Hit { key, heads })
        });
        Ok(Answer { hits: hits.collect::<Result<_, ViewError>>()? })
    }

    /// The versions of a feature that no other makes redundant, ascending by id.
    pub fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.active(&*self.tree, key)
    }

    /// All versions of a feature that are held, ascending by id.
    pub fn history(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.versions(&*self.tree, key)
    }

    /// The index in numbers.
    pub fn stats(&self) -> MapStats {
        let (memory, runs) = self.space.sizes();
        MapStats { memory, runs }
    }

    /// Moves the boxes of a key from what they were to what they are.
    fn place(&mut self, update: &KeyUpdate, rows: &mut Overlay<'_>) {
        let before = self.number_all(&update.key, &update.before, rows);
        let after = self.number_all(&update.key, &update.after, rows);
        for (slot, items) in &before {
            if after.get(slot) != Some(items) && !items.is_empty() {
                self.space.remove(*slot, rows);
            }
        }
        for (slot, items) in after {
            if before.get(&slot) != Some(&items) {
                self.space.insert(slot, items, rows);
            }
        }
    }

    fn number_all(
        &mut self,
        key: &[u8],
        active: &[Version],
        rows: &mut Overlay<'_>,
    ) -> BTreeMap<Slot, Vec<Item>> {
        let number = |version: &Version| {
            let slot = (self.feeds.number(&version.id.feed, rows), version.id.seq);
            (slot, items(key, slot, version, active))
        };
        active.iter().map(number).collect()
    }

    /// The boxes that the spatial index should have of a key.
    fn boxes_of(&self, key: &[u8], active: &[Version]) -> Result<Vec<Item>, ViewError> {
        let mut all = Vec::new();
        for version in active {
            let slot = (self.feeds.find(&version.id.feed)?, version.id.seq);
            all.extend(items(key, slot, version, active));
        }
        Ok(all)
    }

    fn in_boxes(&self, boxes: &[GeoBox]) -> Result<Vec<EntryId>, ViewError> {
        let wanted: BTreeSet<GeoBox> = boxes.iter().flat_map(|b| Extent::from(*b).search_boxes()).collect();
        let mut slots = BTreeSet::new();
        self.search(&wanted, &mut |item| {
            slots.insert(item.slot);
            Ok(())
        })?;
        slots.into_iter().map(|slot| self.id(slot)).collect()
    }

    fn search<'a>(
        &self,
        boxes: impl IntoIterator<Item = &'a GeoBox>,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let mut scanned = 0;
        let bounded = &mut |item: ItemRef<'_>| {
            scanned += 1;
            if scanned > MAX_ROWS_SCANNED { Err(ViewError::Limit("MAX_ROWS_SCANNED")) } else { visit(item) }
        };
        boxes.into_iter().try_for_each(|b| self.space.search(&*self.tree, b, bounded))
    }

    fn id(&self, (feed, seq): Slot) -> Result<EntryId, ViewError> {
        Ok(EntryId { feed: self.feeds.key(feed)?, seq })
    }
}

/// A set of items in a few bytes, whatever their order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    count: u64,
    sum: u64,
}

impl Tally {
    fn add(&mut self, item: ItemRef<'_>) {
        let mut hasher = DefaultHasher::new();
        item.to_item().hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}
