use crate::answer::Hit;
use crate::check::Tally;
use crate::feeds::Feeds;
use crate::item::{Item, ItemRef, Slot, items};
use crate::packed::Window;
use crate::refs::Refs;
use crate::run::Run;
use crate::space::Space;
use crate::{several, upkeep};
use kappadb_core::limits::MAX_ROWS_SCANNED;
use kappadb_core::{EntryId, Extent, FeedKey, GeoBox, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_entry::space::MAP;
use kappadb_geo::CODE_BARE;
use kappadb_query::Selector;
use kappadb_store::{Overlay, Tree};
use kappadb_view::{Change, Index, KeyUpdate, Keyed, Notice, Upkeep, ViewError};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

/// Bytes in a feature's id, at most.
const MAX_ID: usize = 255;

/// The map view's index. Opening reads what is in memory, not the packed runs.
pub struct MapIndex {
    pub(crate) tree: Arc<dyn Tree>,
    pub(crate) keyed: Keyed,
    feeds: Feeds,
    pub(crate) space: Space,
    pub(crate) refs: Refs,
    /// Which sort of upkeep had its turn last.
    pub(crate) turn: usize,
}

/// The index in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MapStats {
    /// Boxes in memory.
    pub memory: usize,
    /// The packed runs, in no order.
    pub runs: Vec<RunStats>,
}

/// A packed run in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunStats {
    /// Boxes in it, those that count no more included.
    pub items: u64,
    /// How many of them count no more.
    pub dead: u64,
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
        for change in &features {
            self.feeds.number(&change.arrived().id.feed, rows);
        }
        self.refs.apply(&features, &self.feeds, rows)?;
        let updates = self.keyed.apply_all(rows, &features)?;
        updates.iter().for_each(|update| several::note(update, rows));
        updates.iter().try_for_each(|update| self.place(update, rows))?;
        self.space.settle(&*self.tree, rows)?;
        Ok(updates.iter().filter_map(KeyUpdate::notice).collect())
    }

    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        match selector {
            Selector::Boxes { boxes, level } => self.in_boxes(boxes, *level, selector, without),
            Selector::Everything
            | Selector::Keys(_)
            | Selector::Prefix(_)
            | Selector::Range { .. }
            | Selector::Versions(_) => self.keyed.read().matches(selector, without),
            Selector::Referrers(keys) => self.active_referrers(keys, without),
            _ => Err(ViewError::Unsupported),
        }
    }

    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        upkeep::due(self, idle)
    }

    fn check(&self) -> Result<Vec<String>, ViewError> {
        let (feeds, stored) = (Feeds::load(&*self.tree)?, Space::load(&*self.tree, usize::MAX)?);
        let (mut expected, mut asked, mut in_rows) = (Tally::default(), Tally::default(), Tally::default());
        for row in self.keyed.read().scan(&[], None) {
            let (key, active) = row?;
            items(&key, &active, |feed| feeds.find(feed), |item| expected.add(&item))?;
        }
        let world = Window { boxes: Some(&[GeoBox::WORLD]), level: 0, from: None };
        self.space.search(&world, true, &mut |item| {
            asked.add(&item);
            Ok(())
        })?;
        let fits = stored.audit(&*self.tree, &mut |item| in_rows.add(&item))?;
        let wrong = [("it answers from", asked), ("its rows hold", in_rows)].map(|(what, found)| {
            let (e, f) = (expected.count, found.count);
            (expected != found)
                .then(|| format!("{what} {f} boxes that are not those of its features, which have {e}"))
        });
        let pages = (!fits).then(|| "its pages do not fit the boxes that they lead to".to_owned());
        let packed = [self.refs.audit()?, self.keyed.audit()?].concat();
        Ok(wrong.into_iter().chain([pages]).flatten().chain(packed).collect())
    }
}

impl MapIndex {
    pub(crate) fn new(tree: Arc<dyn Tree>, keyed: Keyed, feeds: Feeds, space: Space, refs: Refs) -> Self {
        MapIndex { tree, keyed, feeds, space, refs, turn: 0 }
    }

    /// The versions of a feature that no other makes redundant, ascending by id: what a new version must know of.
    pub fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.read().active(key)
    }

    /// The versions of a feature that no other replaces, ascending by id. Several are a conflict; one may be a delete.
    pub fn heads(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.read().heads(key)
    }

    /// What a box shows of a feature: as [`MapIndex::query`] would, without nodes that have no tags. None if it has no head in it.
    pub fn hit_in(&self, extent: &Extent, key: &[u8]) -> Result<Option<Hit>, ViewError> {
        let touches = |head: &Version| {
            let is_in = |bbox: &GeoBox| Extent::from(*bbox).intersects(extent);
            head.kind.code != CODE_BARE && head.places.extents.iter().any(is_in)
        };
        let (inside, elsewhere): (Vec<_>, Vec<_>) = self.heads(key)?.into_iter().partition(touches);
        if inside.is_empty() {
            return Ok(None);
        }
        let key = String::from_utf8(key.to_vec())
            .map_err(|_| ViewError::Inconsistent("a feature's id is no text"))?;
        let ids = |heads: Vec<Version>| heads.into_iter().map(|head| head.id).collect();
        Ok(Some(Hit { key, heads: ids(inside), elsewhere: ids(elsewhere) }))
    }

    /// The head to show by default at the time `now` ([`rules::winner`]). It may be a delete. None if there are no heads.
    pub fn winner(&self, key: &[u8], now: Timestamp) -> Result<Option<Version>, ViewError> {
        let heads = self.heads(key)?;
        Ok(rules::winner(&heads.iter().collect::<Vec<_>>(), now).cloned())
    }

    /// All versions of a feature that are held, ascending by id.
    pub fn history(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.read().versions(key)
    }

    /// The features of which a head refers to one of `keys`, in the order of their ids. A hit's heads are those that do.
    ///
    /// # Errors
    /// [`ViewError::Limit`] if more than [`MAX_ROWS_SCANNED`] entries refer to them.
    pub fn referrers(&self, keys: &[Vec<u8>]) -> Result<Vec<Hit>, ViewError> {
        let mut hits = Vec::new();
        for (key, ids) in self.refs.referring(&self.feeds, keys)? {
            let heads = self.heads(&key)?.into_iter().map(|head| head.id);
            let (heads, elsewhere): (Vec<_>, Vec<_>) = heads.partition(|id| ids.contains(id));
            if !heads.is_empty() {
                let key = String::from_utf8(key)
                    .map_err(|_| ViewError::Inconsistent("a referrer's key is no id"))?;
                hits.push(Hit { key, heads, elsewhere });
            }
        }
        Ok(hits)
    }

    /// All entries that are held and refer to `key`, also those that others replace, with their features' keys.
    ///
    /// # Errors
    /// [`ViewError::Limit`] if more than [`MAX_ROWS_SCANNED`] entries refer to it.
    pub fn referring(&self, key: &[u8]) -> Result<Vec<(Vec<u8>, EntryId)>, ViewError> {
        let found = self.refs.referring(&self.feeds, &[key.to_vec()])?.into_iter();
        Ok(found.flat_map(|(key, ids)| ids.into_iter().map(move |id| (key.clone(), id))).collect())
    }

    /// True if no entry of the map is held, not even one that deletes.
    pub fn is_empty(&self) -> Result<bool, ViewError> {
        self.keyed.read().is_empty()
    }

    /// The active entries that refer to one of `keys`.
    fn active_referrers(
        &self,
        keys: &[Vec<u8>],
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let mut found = Vec::new();
        for (key, ids) in self.refs.referring(&self.feeds, keys)? {
            let active = self.keyed.read().active_without(&key, without)?;
            let active = active.into_iter().map(|version| version.id);
            found.extend(active.filter(|id| ids.contains(id)));
        }
        Ok(found)
    }

    /// The index in numbers.
    pub fn stats(&self) -> MapStats {
        let run = |run: &Run| RunStats { items: run.items(), dead: run.dead() };
        MapStats { memory: self.space.in_memory(), runs: self.space.runs().iter().map(run).collect() }
    }

    /// Moves the boxes of a feature from what they were to what they are.
    fn place(&mut self, update: &KeyUpdate, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        let MapIndex { feeds, space, .. } = self;
        let (key, mut number) = (&update.key, |feed: &FeedKey| Ok(feeds.number(feed, rows)));
        if update.before.is_empty() {
            return items(key, &update.after, number, |item| space.insert(item));
        }
        let (mut before, mut after) =
            (BTreeMap::<Slot, Vec<Item>>::new(), BTreeMap::<Slot, Vec<Item>>::new());
        items(key, &update.before, &mut number, |item| before.entry(item.slot).or_default().push(item))?;
        items(key, &update.after, number, |item| after.entry(item.slot).or_default().push(item))?;
        for (slot, items) in before.iter().filter(|(slot, items)| after.get(*slot) != Some(*items)) {
            space.remove(*slot, items)?;
        }
        let new = after.into_iter().filter(|(slot, items)| before.get(slot) != Some(items));
        new.flat_map(|(_, items)| items).for_each(|item| space.insert(item));
        Ok(())
    }

    fn in_boxes(
        &self,
        boxes: &[GeoBox],
        level: u8,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        let wanted: BTreeSet<GeoBox> = boxes.iter().flat_map(|b| Extent::from(*b).search_boxes()).collect();
        let wanted = Vec::from_iter(wanted);
        let out: BTreeSet<u32> = without.iter().filter_map(|feed| self.feeds.find(feed).ok()).collect();
        // What is left out contains, where it was, all that only it made redundant: so its keys are all that must be looked at.
        let (mut slots, mut keys) = (HashSet::new(), BTreeSet::new());
        let window = Window { boxes: Some(&wanted), level, from: None };
        self.search(&window, true, &mut |item| {
            match out.contains(&item.slot.0) {
                true => drop(keys.insert(item.key.to_vec())),
                false => drop(slots.insert(item.slot)),
            }
            Ok(())
        })?;
        let mut ids = self.ids(slots)?;
        for key in keys {
            let active = self.keyed.read().active_without(&key, without)?;
            ids.extend(active.iter().filter(|v| selector.needs_version(Some(&key), v)).map(|v| v.id));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Calls `visit` with every item that is wanted, also past ones if `past`.
    pub(crate) fn search(
        &self,
        window: &Window<'_>,
        past: bool,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let mut scanned = 0;
        self.space.search(window, past, &mut |item| {
            scanned += 1;
            if scanned > MAX_ROWS_SCANNED { Err(ViewError::Limit("MAX_ROWS_SCANNED")) } else { visit(item) }
        })
    }

    pub(crate) fn id(&self, (feed, seq): Slot) -> Result<EntryId, ViewError> {
        Ok(EntryId { feed: self.feeds.key(feed)?, seq })
    }

    /// The entries at `slots`, ascending, each once.
    fn ids(&self, slots: impl IntoIterator<Item = Slot>) -> Result<Vec<EntryId>, ViewError> {
        let mut ids = slots.into_iter().map(|slot| self.id(slot)).collect::<Result<Vec<_>, ViewError>>()?;
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}
