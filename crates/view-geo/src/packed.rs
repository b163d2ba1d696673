//! Reading a tree of pages: a search by boxes, or its items one after the other in the order of their ranks.

use crate::item::{ItemRef, Slot, Standing};
use crate::leaf::Leaf;
use crate::page::{self, Shape};
use crate::rank::Rank;
use bytes::Bytes;
use kappadb_core::GeoBox;
use kappadb_view::ViewError;
use std::collections::HashSet;

const MISFIT: ViewError = ViewError::Inconsistent("a page of the map index does not fit its level");

/// Where pages come from.
pub trait Pages {
    /// A page of a level (leaves are 0).
    fn page(&self, level: u8, number: u32) -> Result<Bytes, ViewError>;
}

/// What of a tree is wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window<'a> {
    /// What touches one of these; everywhere without.
    pub boxes: Option<&'a [GeoBox]>,
    /// At this level at least.
    pub level: u8,
    /// At this rank or after it.
    pub from: Option<Rank>,
}

impl Window<'_> {
    pub const ALL: Window<'static> = Window { boxes: None, level: 0, from: None };

    /// True if the box touches one of those wanted.
    pub fn touches(&self, bbox: &GeoBox) -> bool {
        self.boxes.is_none_or(|boxes| boxes.iter().any(|b| meet(b, bbox)))
    }

    /// True if an item that touches is of the level wanted.
    pub fn shows(&self, item: &ItemRef<'_>) -> bool {
        self.level == 0 || item.bbox.level(item.key) >= self.level
    }
}

/// [`GeoBox::intersects`] without branches, which would be foreseen wrongly in a search.
fn meet(a: &GeoBox, b: &GeoBox) -> bool {
    (a.west <= b.east) & (b.west <= a.east) & (a.south <= b.north) & (b.south <= a.north)
}

/// A way through a tree, page by page, in order.
#[derive(Debug)]
pub struct Walk {
    /// Level and number of pages to enter, the next one last.
    open: Vec<(u8, u32)>,
}

impl Walk {
    pub fn new(shape: &Shape) -> Walk {
        let top = u8::try_from(shape.levels.len()).ok().and_then(|levels| levels.checked_sub(1));
        Walk { open: top.map(|top| (top, 0)).into_iter().collect() }
    }

    /// The next leaf that may hold something wanted.
    pub fn next_leaf(
        &mut self,
        shape: &Shape,
        pages: &dyn Pages,
        window: &Window<'_>,
    ) -> Result<Option<Bytes>, ViewError> {
        while let Some((level, number)) = self.open.pop() {
            let page = pages.page(level, number)?;
            let Some(below) = level.checked_sub(1) else { return Ok(Some(page)) };
            let width = shape.levels.get(usize::from(below)).copied().unwrap_or(0);
            let mut children = page::children(&page, number, width).ok_or(MISFIT)?.peekable();
            let kept = self.open.len();
            while let Some((child, number)) = children.next() {
                if child.first.level() < window.level {
                    break; // and so are all that follow
                }
                let over = children.peek().is_some_and(|(next, _)| window.from > Some(next.first));
                if !over && window.touches(&child.bbox) {
                    self.open.push((below, number));
                }
            }
            self.open.get_mut(kept..).unwrap_or_default().reverse();
        }
        Ok(None)
    }
}

/// A tree to be read, and what in it counts no more.
#[derive(Clone, Copy)]
pub struct Packed<'a, P> {
    pub shape: &'a Shape,
    pub pages: &'a P,
    pub dead: &'a HashSet<Slot>,
}

impl<P: Pages> Packed<'_, P> {
    fn counts(&self, item: &ItemRef<'_>) -> bool {
        self.dead.is_empty() || !self.dead.contains(&item.slot)
    }

    /// Calls `visit` with every item that counts and is wanted.
    pub fn search(
        &self,
        window: &Window<'_>,
        visit: &mut dyn FnMut(ItemRef<'_>) -> Result<(), ViewError>,
    ) -> Result<(), ViewError> {
        let mut walk = Walk::new(self.shape);
        while let Some(leaf) = walk.next_leaf(self.shape, self.pages, window)? {
            let touches = |bbox: &GeoBox| window.touches(bbox);
            Leaf::read(&leaf)?.search(touches, |item| {
                if window.shows(&item) && self.counts(&item) { visit(item) } else { Ok(()) }
            })?;
        }
        Ok(())
    }

    /// True if `item` lies here and counts. Reads a page or two.
    pub fn holds(&self, item: &ItemRef<'_>) -> Result<bool, ViewError> {
        if !self.counts(item) {
            return Ok(false);
        }
        let wanted = item.standing();
        let window = Window { boxes: Some(&[item.bbox]), level: 0, from: Some(wanted.rank) };
        let mut walk = Walk::new(self.shape);
        while let Some(leaf) = walk.next_leaf(self.shape, self.pages, &window)? {
            let mut last = None;
            for other in Leaf::read(&leaf)?.items() {
                let other = other?;
                if other == *item {
                    return Ok(true);
                }
                last = Some(other);
            }
            if last.is_some_and(|last| last.standing() > wanted) {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

/// Items in the order of their ranks, one at a time.
pub trait Source {
    /// The item that is next.
    fn head(&self) -> Option<(Rank, ItemRef<'_>)>;
    /// Goes on to the one after it.
    fn advance(&mut self) -> Result<(), ViewError>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn head(&self) -> Option<(Rank, ItemRef<'_>)> {
        (**self).head()
    }

    fn advance(&mut self) -> Result<(), ViewError> {
        (**self).advance()
    }
}

/// Which of `sources` has the item that comes first.
pub fn first<S: Source>(sources: &[S]) -> Option<usize> {
    let heads = sources.iter().enumerate().filter_map(|(n, source)| {
        let (rank, item) = source.head()?;
        Some((Standing::new(rank, item), n))
    });
    heads.min().map(|(_, n)| n)
}

/// Where a reading in order stands in a tree. What it reads is told it each time, so that whoever owns the tree can own this too.
#[derive(Debug)]
pub struct Stream {
    walk: Walk,
    leaf: Bytes,
    /// The next item of the leaf.
    at: usize,
    /// The rank of the item before that, if it is the head.
    head: Option<Rank>,
    /// Items read, wanted or not.
    pub read: u64,
}

impl Stream {
    /// Before the first item.
    pub fn new(shape: &Shape) -> Stream {
        Stream { walk: Walk::new(shape), leaf: Bytes::new(), at: 0, head: None, read: 0 }
    }

    pub fn head(&self) -> Option<(Rank, ItemRef<'_>)> {
        let item = Leaf::read(&self.leaf).ok()?.item(self.at.checked_sub(1)?).ok()?;
        Some((self.head?, item))
    }

    /// Goes on to the next item of the tree that counts and is wanted.
    pub fn advance<P: Pages>(
        &mut self,
        packed: &Packed<'_, P>,
        window: &Window<'_>,
    ) -> Result<(), ViewError> {
        self.head = None;
        loop {
            if !self.leaf.is_empty() {
                let leaf = Leaf::read(&self.leaf)?;
                while self.at < leaf.len() {
                    let item = leaf.item(self.at)?;
                    self.at += 1;
                    self.read += 1;
                    if !window.touches(&item.bbox) || !packed.counts(&item) {
                        continue;
                    }
                    let rank = Rank::of(&item.bbox, item.key);
                    if rank.level() >= window.level && Some(rank) >= window.from {
                        self.head = Some(rank);
                        return Ok(());
                    }
                }
            }
            let Some(leaf) = self.walk.next_leaf(packed.shape, packed.pages, window)? else { return Ok(()) };
            (self.leaf, self.at) = (leaf, 0);
        }
    }
}
