//! Walking along the rows of a tree.

use super::{FANOUT, SledTree, to_bytes};
use crate::{Row, StoreError, bounds};
use bytes::Bytes;
use std::ops::Bound;

/// What is left of a range: the engine's iterators do not know of each other, nor where to stop.
pub(super) struct Walk<'a> {
    tree: &'a SledTree,
    from: Bound<Bytes>,
    to: Bound<Bytes>,
    front: Option<sled::Iter<FANOUT>>,
    back: Option<sled::Iter<FANOUT>>,
    done: bool,
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl<'a> Walk<'a> {
    pub fn new(tree: &'a SledTree, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        let done = bounds::is_void(from, to);
        Walk { tree, from: bounds::owned(from), to: bounds::owned(to), front: None, back: None, done }
    }
}

impl Walk<'_> {
    fn step(&mut self, back: bool) -> Option<Result<Row, StoreError>> {
        if self.done || bounds::is_void(bounds::borrowed(&self.from), bounds::borrowed(&self.to)) {
            return None;
        }
        let Walk { tree, from, to, front, back: rear, .. } = self;
        let row = tree.call("range", |handle| {
            let row = if back {
                let range: Bounds<'_> = (bounds::borrowed(from), bounds::borrowed(to));
                rear.get_or_insert_with(|| handle.range::<&[u8], _>(range)).next_back()
            } else {
                let range: Bounds<'_> = (bounds::borrowed(from), Bound::Unbounded);
                front.get_or_insert_with(|| handle.range::<&[u8], _>(range)).next()
            };
            Ok(row.transpose()?.map(|(key, value)| (to_bytes(&key), to_bytes(&value))))
        });
        self.narrow(row.transpose()?, back)
    }

    fn narrow(&mut self, row: Result<Row, StoreError>, back: bool) -> Option<Result<Row, StoreError>> {
        let key = row.as_ref().map_or(Bytes::new(), |(key, _)| key.clone());
        let outside = match back {
            true => bounds::is_void(bounds::borrowed(&self.from), Bound::Included(&key)),
            false => !bounds::within_end(&key, bounds::borrowed(&self.to)),
        };
        if row.is_err() || outside {
            self.done = true;
            return row.is_err().then_some(row);
        }
        *(if back { &mut self.to } else { &mut self.from }) = Bound::Excluded(key);
        Some(row)
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Row, StoreError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.step(false)
    }
}

impl DoubleEndedIterator for Walk<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(true)
    }
}
