//! Asking a box: which features are in it, and how many.

use crate::answer::{Found, Gathered};
use crate::item::ItemRef;
use crate::query::{Cursor, CursorError, Position};
use crate::rank::Rank;
use crate::{Answer, Hit, MapIndex, Order, Query};
use kappadb_core::{Extent, GeoBox};
use kappadb_entry::rules::{self, Version};
use kappadb_view::ViewError;
use std::collections::{BTreeMap, HashSet};

impl From<CursorError> for ViewError {
    fn from(error: CursorError) -> Self {
        ViewError::Custom(Box::new(error))
    }
}

const LOST: ViewError = ViewError::Inconsistent("a feature in the map index has no head there");

/// A box, and from which level on.
struct Asked {
    boxes: Vec<GeoBox>,
    level: u8,
}

impl Asked {
    fn new(extent: &Extent, level: u8) -> Asked {
        Asked { boxes: extent.search_boxes(), level }
    }

    fn touches(&self, bbox: &GeoBox) -> bool {
        self.boxes.iter().any(|b| b.intersects(bbox))
    }

    /// The first of a version's boxes that are asked for.
    fn first(&self, key: &[u8], version: &Version) -> Option<Rank> {
        let touching = version.places.extents.iter().filter(|bbox| self.touches(bbox));
        touching.map(|bbox| Rank::of(bbox, key)).filter(|rank| rank.level() >= self.level).min()
    }
}

impl MapIndex {
    /// The features that touch `extent` (closed: touching counts; +180 and -180 degrees are one meridian) with a head at
    /// `query.level` at least, and where to go on if there are more than `query.limit`.
    ///
    /// # Errors
    /// [`ViewError::Limit`] if more than `MAX_ROWS_SCANNED` boxes are looked at; [`ViewError::Custom`] with a [`CursorError`]
    /// if the cursor is of another order.
    pub fn query(&self, extent: &Extent, query: &Query) -> Result<Answer, ViewError> {
        let asked = Asked::new(extent, query.level);
        match query.order {
            Order::ById => self.by_id(&asked, query),
            Order::LargestFirst => self.largest_first(&asked, query),
        }
    }

    fn by_id(&self, asked: &Asked, query: &Query) -> Result<Answer, ViewError> {
        let after = query.after_id()?;
        let mut gathered = Gathered::new(query.limit.map_or(usize::MAX, |limit| limit.saturating_add(1)));
        self.shown(asked, &mut |item| match after.is_some_and(|after| item.key <= after.as_bytes()) {
            true => Ok(()),
            false => gathered.add(&item),
        })?;
        let mut found = gathered.into_features();
        let more = query.limit.filter(|limit| found.len() > *limit);
        found.truncate(more.unwrap_or(usize::MAX));
        let last = found.last().map(|last| Cursor(Position::Id(last.key.clone())));
        let hits = found.into_iter().map(|found| self.hit(asked, found)).collect::<Result<_, _>>()?;
        Ok(Answer { hits, next: more.and(last.or_else(|| query.after.clone())) })
    }

    fn largest_first(&self, asked: &Asked, query: &Query) -> Result<Answer, ViewError> {
        let after = query.after_rank()?;
        let mut all = BTreeMap::new();
        self.shown(asked, &mut |item| {
            let found = Found::new(&item)?;
            let rank = match found.only {
                Some(_) => Some(Rank::of(&item.bbox, item.key)),
                None => self.first(asked, item.key)?,
            };
            all.insert((rank.ok_or(LOST)?, found.key.clone()), found);
            Ok(())
        })?;
        let mut answer = Answer::default();
        for ((rank, key), found) in all {
            if after.is_some_and(|(last, id)| (rank, key.as_str()) <= (last, id)) {
                continue;
            }
            if query.limit == Some(answer.hits.len()) {
                answer.next = answer.next.or_else(|| query.after.clone());
                return Ok(answer);
            }
            answer.hits.push(self.hit(asked, found)?);
            answer.next = Some(Cursor(Position::Ranked(rank, key)));
        }
        Ok(Answer { next: None, ..answer })
    }

    /// How many features touch `extent`: as many as [`MapIndex::query`] finds without a limit.
    pub fn count(&self, extent: &Extent) -> Result<usize, ViewError> {
        // A feature that is told by one item is told once; only the others need their keys remembered.
        let (mut single, mut several) = (0, HashSet::new());
        self.shown(&Asked::new(extent, 0), &mut |item| {
            match item.is_one_of_several() {
                false => single += 1,
                true => drop(several.insert(item.key.to_vec())),
            }
            Ok(())
        })?;
        Ok(single + several.len())
    }

    /// Calls `visit` with every box of a head that is asked for, once.
    fn shown(
        &self,
        asked: &Asked,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        self.search(&asked.boxes, &mut |item| {
            let wanted = item.is_shown() && (asked.level == 0 || item.bbox.level(item.key) >= asked.level);
            if wanted { visit(item) } else { Ok(()) }
        })
    }

    /// Where a feature of several boxes comes first.
    fn first(&self, asked: &Asked, key: &[u8]) -> Result<Option<Rank>, ViewError> {
        let active = self.active(key)?;
        Ok(rules::heads(&active).into_iter().filter_map(|head| asked.first(key, head)).min())
    }

    fn hit(&self, asked: &Asked, found: Found) -> Result<Hit, ViewError> {
        let Found { key, only } = found;
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
