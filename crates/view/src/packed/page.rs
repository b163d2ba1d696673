//! A page: some rows of a run, in order. What their keys begin with is written once.
//!
//! ```text
//! count u16 | shared length u16 | shared | (end of key u16 | end of value u16) each | rest of key, value, each    little-endian
//! ```
//!
//! Ends count from the first rest. The last value reaches to the end of the page, whatever its end says: a row that is larger than a page, which lies
//! in one alone, has an end of 65,535.

use crate::ViewError;
use bytes::Bytes;
use std::cmp::Ordering;

/// Bytes in a page, about.
const TARGET: usize = 4 << 10;
/// Bytes of a key, at most: a page's ends are 16 bits.
pub const MAX_ITEM: usize = 16 << 10;

/// The last end of a page that has as much behind it or more.
const LAST_END: usize = u16::MAX as usize;

/// What is packed cannot be read: the view is made anew.
pub const BAD: ViewError = ViewError::Inconsistent("a packed page of the view cannot be read");

/// A page that was read.
#[derive(Debug, Clone)]
pub struct Page {
    bytes: Bytes,
    count: usize,
    shared: usize,
}

/// A row of a page: its key is `shared` and then `rest`.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    pub shared: &'a [u8],
    pub rest: &'a [u8],
    pub value: &'a [u8],
}

impl Item<'_> {
    fn cmp_key(&self, key: &[u8]) -> Ordering {
        let (front, back) = key.split_at(self.shared.len().min(key.len()));
        self.shared.cmp(front).then_with(|| self.rest.cmp(back))
    }
}

impl Page {
    pub fn read(bytes: Bytes) -> Result<Page, ViewError> {
        let (count, shared) = (number(&bytes, 0)?, number(&bytes, 2)?);
        let page = Page { bytes, count, shared };
        let last = page.count.checked_sub(1).ok_or(BAD)?;
        let len = page.bytes.len().checked_sub(page.body()).ok_or(BAD)?;
        if page.ends(last)?.1 == len.min(LAST_END) { Ok(page) } else { Err(BAD) }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    fn body(&self) -> usize {
        4 + self.shared + 4 * self.count
    }

    fn ends(&self, n: usize) -> Result<(usize, usize), ViewError> {
        let at = 4 + self.shared + 4 * n;
        Ok((number(&self.bytes, at)?, number(&self.bytes, at + 2)?))
    }

    /// The row at a place below [`Page::len`].
    pub fn item(&self, n: usize) -> Result<Item<'_>, ViewError> {
        let start = n.checked_sub(1).map_or(Ok(0), |before| Ok::<_, ViewError>(self.ends(before)?.1))?;
        let (key, mut value) = self.ends(n)?;
        if n + 1 == self.count {
            value = self.bytes.len() - self.body();
        }
        let part = |from: usize, to: usize| self.bytes.get(self.body() + from..self.body() + to).ok_or(BAD);
        let shared = self.bytes.get(4..4 + self.shared).ok_or(BAD)?;
        Ok(Item { shared, rest: part(start, key)?, value: part(key, value)? })
    }

    /// The value of a key, if it is here.
    pub fn value(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        let n = self.below(key)?;
        if n == self.count {
            return Ok(None);
        }
        let item = self.item(n)?;
        Ok(item.cmp_key(key).is_eq().then(|| self.bytes.slice_ref(item.value)))
    }

    /// How many rows have a key below this one.
    pub fn below(&self, key: &[u8]) -> Result<usize, ViewError> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.item(middle)?.cmp_key(key).is_lt() { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

fn number(bytes: &[u8], at: usize) -> Result<usize, ViewError> {
    let number = bytes.get(at..).and_then(|rest| rest.first_chunk().copied()).ok_or(BAD)?;
    Ok(usize::from(u16::from_le_bytes(number)))
}

/// Gathers rows in order, and makes pages of them.
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
    /// Ends of keys and values in it.
    ends: Vec<(usize, usize)>,
    /// Rows in all pages so far.
    pub items: u64,
}

/// Where pages go: each with its first key.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8], Vec<u8>);

impl Builder {
    /// Adds a row; its key is above all that were added. A key larger than [`MAX_ITEM`] is refused.
    pub fn push(&mut self, key: &[u8], value: &[u8], sink: Sink<'_>) -> Result<(), ViewError> {
        let size = key.len() + value.len();
        if key.len() > MAX_ITEM {
            return Err(ViewError::Limit("MAX_ITEM"));
        }
        if !self.ends.is_empty() && self.bytes.len() + size > TARGET {
            self.flush(sink);
        }
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        self.items += 1;
        Ok(())
    }

    /// Ends the last page.
    pub fn flush(&mut self, sink: Sink<'_>) {
        let key_at = |n: usize| {
            let start = n.checked_sub(1).and_then(|n| self.ends.get(n)).map_or(0, |(_, end)| *end);
            self.ends.get(n).and_then(|(end, _)| self.bytes.get(start..*end)).unwrap_or_default()
        };
        let Some(last) = self.ends.len().checked_sub(1) else { return };
        let (first, last) = (key_at(0), key_at(last));
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let mut page = Vec::with_capacity(4 + 4 * self.ends.len() + self.bytes.len());
        let put = |page: &mut Vec<u8>, n: usize| {
            page.extend_from_slice(&u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes());
        };
        put(&mut page, self.ends.len());
        put(&mut page, shared);
        page.extend_from_slice(first.get(..shared).unwrap_or_default());
        for (n, (key, value)) in self.ends.iter().enumerate() {
            put(&mut page, key - (n + 1) * shared);
            put(&mut page, value - (n + 1) * shared);
        }
        let mut start = 0;
        for (_, end) in &self.ends {
            page.extend_from_slice(self.bytes.get(start + shared..*end).unwrap_or_default());
            start = *end;
        }
        sink(first, page);
        self.bytes.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn pages_give_what_was_put_in(
            rows: BTreeMap<Vec<u8>, Vec<u8>>,
            prefix in prop::collection::vec(any::<u8>(), 0..30),
            wanted: Vec<u8>,
        ) {
            let (mut builder, mut pages) = (Builder::default(), Vec::new());
            let rows: Vec<(Vec<u8>, Vec<u8>)> =
                rows.into_iter().map(|(key, value)| ([&prefix[..], &key].concat(), value)).collect();
            let sink: Sink<'_> = &mut |first, page| pages.push((first.to_vec(), Page::read(page.into()).unwrap()));
            for (key, value) in &rows {
                builder.push(key, value, sink).unwrap();
            }
            builder.flush(sink);
            let mut read = Vec::new();
            for (first, page) in &pages {
                let wanted = [&prefix[..], &wanted].concat();
                let mut below = 0;
                for n in 0..page.len() {
                    let item = page.item(n).unwrap();
                    let key = [item.shared, item.rest].concat();
                    prop_assert!(n > 0 || key == *first);
                    below += usize::from(key < wanted);
                    read.push((key, item.value.to_vec()));
                }
                prop_assert_eq!(page.below(&wanted).unwrap(), below);
            }
            prop_assert_eq!(read, rows);
        }

        #[test]
        fn noise_is_an_error_or_a_page(bytes in prop::collection::vec(any::<u8>(), 0..64), small: bool) {
            let bytes = if small { [&[2, 0, 1, 0][..], &bytes].concat() } else { bytes };
            if let Ok(page) = Page::read(bytes.into()) {
                (0..page.len()).for_each(|n| drop(page.item(n)));
                let _ = page.below(&[1, 2]);
            }
        }
    }
}
