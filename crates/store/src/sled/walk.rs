//! Walking along the rows of a tree.

use super::{FANOUT, SledTree, to_bytes};
use crate::{Row, StoreError, bounds};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io;
use std::ops::Bound;

/// Rows read at once: few at first, since many ask for one alone.
const FIRST: usize = 2;
const MOST: usize = FANOUT;
/// And their bytes, about.
const BYTES: usize = 64 << 10;

/// What is left of a range: rows that were read, and the bounds of the others. Between two readings it has nothing of the engine's, whose iterators do
/// not know of each other, nor where to stop, and hold it open.
pub(super) struct Walk<'a> {
    tree: &'a SledTree,
    from: Bound<Bytes>,
    to: Bound<Bytes>,
    front: VecDeque<Row>,
    /// The nearest to the end first.
    back: VecDeque<Row>,
    many: usize,
    done: bool,
}

type Bounds<'a> = (Bound<&'a [u8]>, Bound<&'a [u8]>);

impl<'a> Walk<'a> {
    pub fn new(tree: &'a SledTree, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        let done = bounds::is_void(from, to);
        let (from, to) = (bounds::owned(from), bounds::owned(to));
        Walk { tree, from, to, front: VecDeque::new(), back: VecDeque::new(), many: FIRST, done }
    }
}

impl Walk<'_> {
    fn step(&mut self, back: bool) -> Option<Result<Row, StoreError>> {
        let near = if back { &mut self.back } else { &mut self.front };
        if near.is_empty()
            && !self.done
            && let Err(error) = self.read(back)
        {
            *self = Walk::new(self.tree, Bound::Unbounded, Bound::Unbounded);
            self.done = true;
            return Some(Err(error));
        }
        let (near, far) =
            if back { (&mut self.back, &mut self.front) } else { (&mut self.front, &mut self.back) };
        near.pop_front().or_else(|| far.pop_back()).map(Ok)
    }

    /// Reads the next rows from one end.
    fn read(&mut self, back: bool) -> Result<(), StoreError> {
        let (from, to) = (bounds::borrowed(&self.from), bounds::borrowed(&self.to));
        let (mut rows, mut bytes, many) = (VecDeque::with_capacity(self.many), 0, self.many);
        let ended = self.tree.call(&self.tree.core.awake()?, "range", |handle| {
            let end = if back { to } else { Bound::Unbounded };
            let mut iter = handle.range::<&[u8], Bounds<'_>>((from, end));
            while rows.len() < many && bytes < BYTES {
                let next = if back { iter.next_back() } else { iter.next() };
                let Some((key, value)) = next.transpose()? else { return Ok(true) };
                let row = (to_bytes(&key), to_bytes(&value));
                let outside = match back {
                    true => bounds::is_void(from, Bound::Included(&row.0)),
                    false => !bounds::within_end(&row.0, to),
                };
                if outside {
                    return Ok(true);
                }
                bytes += row.0.len() + row.1.len();
                rows.push_back(row);
            }
            io::Result::Ok(false)
        })?;
        self.many = (self.many * 4).min(MOST);
        if let Some((last, _)) = rows.back() {
            *(if back { &mut self.to } else { &mut self.from }) = Bound::Excluded(last.clone());
        }
        self.done = ended || bounds::is_void(bounds::borrowed(&self.from), bounds::borrowed(&self.to));
        *(if back { &mut self.back } else { &mut self.front }) = rows;
        Ok(())
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
