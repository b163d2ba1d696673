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
const TARGET: usize = 8 << 10;
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
    /// Where ends begin, and where the rests do.
    ends: usize,
    body: usize,
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
        let (Some(count), Some(shared)) = (number(&bytes, 0), number(&bytes, 2)) else { return Err(BAD) };
        let ends = 4 + shared;
        let page = Page { count, ends, body: ends + 4 * count, bytes };
        let len = page.bytes.len().checked_sub(page.body);
        let last = count.checked_sub(1).and_then(|last| page.ends(last));
        match (last, len) {
            (Some((_, end)), Some(len)) if end == len.min(LAST_END) => Ok(page),
            _ => Err(BAD),
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    fn ends(&self, n: usize) -> Option<(usize, usize)> {
        let at = self.ends + 4 * n;
        Some((number(&self.bytes, at)?, number(&self.bytes, at + 2)?))
    }

    /// The row at a place below [`Page::len`].
    pub fn item(&self, n: usize) -> Result<Item<'_>, ViewError> {
        match self.find(n) {
            Some(item) => Ok(item),
            None => Err(BAD),
        }
    }

    fn find(&self, n: usize) -> Option<Item<'_>> {
        let start = match n.checked_sub(1) {
            Some(before) => self.ends(before)?.1,
            None => 0,
        };
        let (key, mut value) = self.ends(n)?;
        if n + 1 == self.count {
            value = self.bytes.len() - self.body;
        }
        let rests = self.bytes.get(self.body..)?;
        let shared = self.bytes.get(4..self.ends)?;
        Some(Item { shared, rest: rests.get(start..key)?, value: rests.get(key..value)? })
    }

    /// The value of the row at a place below [`Page::len`].
    pub fn value_at(&self, n: usize) -> Result<Bytes, ViewError> {
        Ok(self.bytes.slice_ref(self.item(n)?.value))
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
        self.partition(|order| order.is_lt(), key)
    }

    /// How many rows have this key or one below it.
    pub fn up_to(&self, key: &[u8]) -> Result<usize, ViewError> {
        self.partition(|order| order.is_le(), key)
    }

    fn partition(&self, is_front: impl Fn(Ordering) -> bool, key: &[u8]) -> Result<usize, ViewError> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if is_front(self.item(middle)?.cmp_key(key)) { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|number| usize::from(u16::from_le_bytes(*number)))
}

/// Gathers rows in order, and makes pages of them.
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    /// Ends of keys and values in it.
    ends: Vec<(usize, usize)>,
    /// Rows in a page, at least.
    least: usize,
}

/// A page that is full, and its first key.
#[derive(Debug)]
pub struct Full {
    pub first: Vec<u8>,
    pub page: Vec<u8>,
}

impl Builder {
    pub fn new(least: usize) -> Builder {
        Builder { bytes: Vec::new(), ends: Vec::new(), least }
    }

    /// Adds a row; its key is above all that were added. A key larger than [`MAX_ITEM`] is refused. The page before it, if that is full.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<Option<Full>, ViewError> {
        let size = key.len() + value.len();
        if key.len() > MAX_ITEM {
            return Err(ViewError::Limit("MAX_ITEM"));
        }
        let is_full = self.ends.len() >= self.least && self.bytes.len() + size > TARGET;
        let full = if is_full { self.flush() } else { None };
        self.bytes.extend_from_slice(key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.ends.push((key_end, self.bytes.len()));
        Ok(full)
    }

    /// The last page, if there are rows in it.
    pub fn flush(&mut self) -> Option<Full> {
        let key_at = |n: usize| {
            let start = n.checked_sub(1).and_then(|n| self.ends.get(n)).map_or(0, |(_, end)| *end);
            self.ends.get(n).and_then(|(end, _)| self.bytes.get(start..*end)).unwrap_or_default()
        };
        let last = self.ends.len().checked_sub(1)?;
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
        let full = Full { first: first.to_vec(), page };
        self.bytes.clear();
        self.ends.clear();
        Some(full)
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
            let mut builder = Builder::new(1);
            let rows: Vec<(Vec<u8>, Vec<u8>)> =
                rows.into_iter().map(|(key, value)| ([&prefix[..], &key].concat(), value)).collect();
            let mut full: Vec<Full> = rows.iter().filter_map(|(key, value)| builder.push(key, value).unwrap()).collect();
            full.extend(builder.flush());
            let pages = full.into_iter().map(|full| (full.first, Page::read(full.page.into()).unwrap()));
            let pages: Vec<(Vec<u8>, Page)> = pages.collect();
            let mut read = Vec::new();
            for (first, page) in &pages {
                let wanted = [&prefix[..], &wanted].concat();
                let (mut below, mut up_to) = (0, 0);
                for n in 0..page.len() {
                    let item = page.item(n).unwrap();
                    let key = [item.shared, item.rest].concat();
                    prop_assert!(n > 0 || key == *first);
                    below += usize::from(key < wanted);
                    up_to += usize::from(key <= wanted);
                    read.push((key, item.value.to_vec()));
                }
                prop_assert_eq!(page.below(&wanted).unwrap(), below);
                prop_assert_eq!(page.up_to(&wanted).unwrap(), up_to);
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
