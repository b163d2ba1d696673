//! Asking a box: which features are in it, and how many.

use crate::answer::{Found, Gathered};
use crate::item::ItemRef;
use crate::packed::{Window, first};
use crate::query::{Cursor, CursorError, Position};
use crate::rank::Rank;
use crate::{Answer, Hit, Inside, MapIndex, Order, Query};
use kappadb_core::limits::MAX_ROWS_SCANNED;
use kappadb_core::{Extent, GeoBox, Seq};
use kappadb_entry::rules::{self, Version};
use kappadb_geo::CODE_BARE;
use kappadb_view::ViewError;
use std::collections::{BTreeMap, BTreeSet, HashSet};

impl From<CursorError> for ViewError {
    fn from(error: CursorError) -> Self {
        ViewError::Custom(Box::new(error))
    }
}

/// A box, from which level on, and whether with nodes without tags.
struct Asked {
    boxes: Vec<GeoBox>,
    level: u8,
    bare: bool,
}

impl Asked {
    fn new(extent: &Extent, level: u8, bare: bool) -> Asked {
        Asked { boxes: extent.search_boxes(), level, bare }
    }

    fn window(&self, from: Option<Rank>) -> Window<'_> {
        Window { boxes: Some(&self.boxes), level: self.level, from }
    }

    /// The first of a version's boxes that are asked for.
    fn first(&self, key: &[u8], version: &Version) -> Option<Rank> {
        if version.kind.code == CODE_BARE && !self.bare {
            return None;
        }
        let touching = version.places.extents.iter().filter(|bbox| self.window(None).touches(bbox));
        touching.map(|bbox| Rank::of(bbox, key)).filter(|rank| rank.level() >= self.level).min()
    }
}

impl Answer {
    fn ends_with(&self, key: &[u8]) -> bool {
        self.hits.last().is_some_and(|hit| hit.key.as_bytes() == key)
    }

    /// After the last hit, which has this rank.
    fn cursor(&self, rank: Option<Rank>) -> Option<Cursor> {
        Some(Cursor(Position::Ranked(rank?, self.hits.last()?.key.clone())))
    }
}

impl MapIndex {
    /// The features that touch `extent` (closed: touching counts; +180 and -180 degrees are one meridian) with a head at
    /// `query.level` at least, and where to go on if there are more than `query.limit`.
    ///
    /// # Errors
    /// [`ViewError::Limit`] if more than [`MAX_ROWS_SCANNED`] boxes are looked at; [`ViewError::Custom`] with a [`CursorError`]
    /// if the cursor is of another order.
    pub fn query(&self, extent: &Extent, query: &Query) -> Result<Answer, ViewError> {
        let asked = Asked::new(extent, query.level, query.bare);
        match query.order {
            Order::ById => self.by_id(&asked, query),
            Order::LargestFirst => self.largest_first(&asked, query),
        }
    }

    fn by_id(&self, asked: &Asked, query: &Query) -> Result<Answer, ViewError> {
        let after = query.after_id()?;
        let mut gathered = Gathered::new(query.limit.map_or(usize::MAX, |limit| limit.saturating_add(1)));
        let mut looked_at = 0;
        self.shown(asked, &mut |item| {
            looked_at += 1;
            match after.is_some_and(|after| item.key <= after.as_bytes()) {
                true => Ok(()),
                false => gathered.add(&item),
            }
        })?;
        let mut found = gathered.into_features();
        let more = query.limit.filter(|limit| found.len() > *limit);
        found.truncate(more.unwrap_or(usize::MAX));
        let last = found.last().map(|last| Cursor(Position::Id(last.key.clone())));
        let mut hits = Vec::with_capacity(found.len());
        for found in found {
            hits.push(self.hit(asked, found)?);
        }
        Ok(Answer { hits, next: more.and(last.or_else(|| query.after.clone())), looked_at })
    }

    fn largest_first(&self, asked: &Asked, query: &Query) -> Result<Answer, ViewError> {
        let after = query.after_rank()?;
        let window = asked.window(after.map(|(rank, _)| rank));
        let mut sources = self.space.ordered(&window)?;
        let (mut answer, mut last) = (Answer::default(), None);
        while let Some(source) = first(&sources).and_then(|at| sources.get_mut(at)) {
            answer.looked_at += 1;
            if answer.looked_at > MAX_ROWS_SCANNED {
                return Err(ViewError::Limit("MAX_ROWS_SCANNED"));
            }
            if let Some((rank, item)) = source.head()
                && item.is_shown(asked.bare)
                && after.is_none_or(|(last, id)| (rank, item.key) > (last, id.as_bytes()))
                && self.comes_first(asked, rank, &item)?
                && !last.is_some_and(|last| last == rank && answer.ends_with(item.key))
            {
                if query.limit == Some(answer.hits.len()) {
                    answer.next = answer.cursor(last).or_else(|| query.after.clone());
                    return Ok(answer);
                }
                answer.hits.push(self.hit(asked, Found::new(&item)?)?);
                last = Some(rank);
            }
            source.advance()?;
        }
        Ok(answer)
    }

    /// True if a feature has its place in the answer at this item: the first that is asked for.
    fn comes_first(&self, asked: &Asked, rank: Rank, item: &ItemRef<'_>) -> Result<bool, ViewError> {
        if !item.is_one_of_several() {
            return Ok(true);
        }
        let active = self.active(item.key)?;
        let heads = rules::heads(&active).into_iter();
        Ok(heads.filter_map(|head| asked.first(item.key, head)).min() == Some(rank))
    }

    /// How many features touch `extent`: as many as [`MapIndex::query`] finds without a limit.
    pub fn count(&self, extent: &Extent) -> Result<usize, ViewError> {
        // A feature that is told by one item is told once; only the others need their keys remembered.
        let (mut single, mut several) = (0, HashSet::new());
        self.shown(&Asked::new(extent, 0, false), &mut |item| {
            match item.is_one_of_several() {
                false => single += 1,
                true => drop(several.insert(item.key.to_vec())),
            }
            Ok(())
        })?;
        Ok(single + several.len())
    }

    /// What is in a box, to be read in the order in which it was written.
    ///
    /// # Errors
    /// [`ViewError::Limit`] if more than [`MAX_ROWS_SCANNED`] boxes are looked at.
    pub fn inside(&self, extent: &Extent, level: u8) -> Result<Inside, ViewError> {
        let asked = Asked::new(extent, level, false);
        let (mut alone, mut several) = (BTreeMap::<u32, Vec<Seq>>::new(), BTreeSet::new());
        self.shown(&asked, &mut |item| {
            match item.is_one_of_several() {
                false => alone.entry(item.slot.0).or_default().push(item.slot.1),
                true => drop(several.insert(Found::new(&item)?)),
            }
            Ok(())
        })?;
        let mut inside = Inside::default();
        for (feed, mut seqs) in alone {
            seqs.sort_unstable();
            let feed = self.id((feed, 0))?.feed;
            inside.alone.insert(feed, seqs.into_iter().collect());
        }
        inside.several =
            several.into_iter().map(|found| self.hit(&asked, found)).collect::<Result<_, _>>()?;
        Ok(inside)
    }

    /// Calls `visit` with every box of a head that is asked for, once.
    fn shown(
        &self,
        asked: &Asked,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let window = asked.window(None);
        self.search(&window, false, &mut |item| if item.is_shown(asked.bare) { visit(item) } else { Ok(()) })
    }

    fn hit(&self, asked: &Asked, found: Found) -> Result<Hit, ViewError> {
        let Found { key, only, .. } = found;
        if let Some(slot) = only {
            return Ok(Hit { key, heads: vec![self.id(slot)?], elsewhere: Vec::new() });
        }
        let active = self.active(key.as_bytes())?;
        let (here, elsewhere): (Vec<&Version>, Vec<_>) =
            rules::heads(&active).into_iter().partition(|head| asked.first(key.as_bytes(), head).is_some());
        let ids = |heads: Vec<&Version>| heads.into_iter().map(|head| head.id).collect();
        Ok(Hit { key, heads: ids(here), elsewhere: ids(elsewhere) })
    }
}
