//! A run as a file: rows in order, in pages, and pages that lead to these, written once.
//!
//! ```text
//! pages | filter | footer
//! page      as `page.rs` has it, packed by LZ4 if that makes it smaller
//! filter    as `filter.rs` has it
//! footer    root: pointer 20 | filter: pointer 20 | levels above the rows u8 | rows u64 LE | "kpack2"
//! pointer   where it lies u64 | its bytes there u32 | unpacked u32 | XXH3-64 of its bytes there, the lower half u32, little-endian
//! ```
//!
//! Rows of the pages above are the first key of a page below, and its pointer. The hash of the footer, its check, is kept by whoever owns the file; with
//! it, all of the file is what was written, or is noticed when it is read.

use super::cache::Cache;
use super::filter::{self, Mark};
use super::page::{BAD, Builder, Full, Page};
use crate::ViewError;
use bytes::Bytes;
use kappadb_store::{NewFile, StoreError, StoredFile};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 6] = b"kpack2";
const POINTER: usize = 20;
const FOOTER: usize = 2 * POINTER + 1 + 8 + MAGIC.len();
/// Keys that are looked for in a file before its filter is read: who asks for one does not need it.
const UNFILTERED: u32 = 32;
/// Pages of a file that are kept, at most, unless it shares them with others.
const CACHED: usize = 48;

/// Pages that were read lately, of several files, by the file's name and where they lie.
pub(super) type PageCache = Cache<(u64, u64), Page>;
/// Bytes of a page, at most: one row that is as large as an entry may be.
const MAX_PAGE: usize = 64 << 20;
const TOO_LARGE: ViewError = ViewError::Limit("MAX_PAGE");
/// Levels above the rows, at most: each has at most half the pages of the one below.
const MAX_DEPTH: u8 = 40;

/// Where a page lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pointer {
    at: u64,
    stored: u32,
    unpacked: u32,
    sum: u32,
}

/// The lower half.
fn sum(bytes: &[u8]) -> u32 {
    let [a, b, c, d, ..] = xxh3_64(bytes).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

impl Pointer {
    fn encode(self) -> [u8; POINTER] {
        let mut out = [0; POINTER];
        let parts = self.at.to_le_bytes().into_iter().chain(self.stored.to_le_bytes());
        let parts = parts.chain(self.unpacked.to_le_bytes()).chain(self.sum.to_le_bytes());
        out.iter_mut().zip(parts).for_each(|(out, byte)| *out = byte);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Pointer> {
        let (at, rest) = bytes.split_first_chunk()?;
        let (stored, rest) = rest.split_first_chunk()?;
        let (unpacked, rest) = rest.split_first_chunk()?;
        let sum = rest.try_into().ok()?;
        let [stored, unpacked, sum] = [stored, unpacked, &sum].map(|n| u32::from_le_bytes(*n));
        Some(Pointer { at: u64::from_le_bytes(*at), stored, unpacked, sum })
    }
}

/// Writes a file, row by row.
pub struct PackWriter {
    file: Box<dyn NewFile>,
    at: u64,
    /// The pages being filled: of rows, and of each level above.
    levels: Vec<Builder>,
    packed: Vec<u8>,
    /// One of each row.
    marks: Vec<Mark>,
}

impl PackWriter {
    /// Into a file that is empty.
    pub fn new(file: Box<dyn NewFile>) -> PackWriter {
        PackWriter { file, at: 0, levels: vec![Builder::new(1)], packed: Vec::new(), marks: Vec::new() }
    }

    /// Adds a row; its key is above all that were added.
    ///
    /// # Errors
    /// [`ViewError::Limit`] if the key has more than 16 KiB; [`StoreError::DiskFull`].
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), ViewError> {
        self.marks.push(filter::mark(key));
        self.add(0, key, value)
    }

    fn add(&mut self, level: usize, key: &[u8], value: &[u8]) -> Result<(), ViewError> {
        if self.levels.len() == level {
            self.levels.push(Builder::new(2));
        }
        let Some(builder) = self.levels.get_mut(level) else { return Err(BAD) };
        match builder.push(key, value)? {
            Some(full) => self.put(level, &full),
            None => Ok(()),
        }
    }

    fn put(&mut self, level: usize, Full { first, page }: &Full) -> Result<(), ViewError> {
        let pointer = self.write(page)?;
        self.add(level + 1, first, &pointer.encode())
    }

    fn write(&mut self, page: &[u8]) -> Result<Pointer, ViewError> {
        if page.len() > MAX_PAGE {
            return Err(TOO_LARGE);
        }
        self.packed.resize(lz4_flex::block::get_maximum_output_size(page.len()), 0);
        let packed = lz4_flex::block::compress_into(page, &mut self.packed).unwrap_or(usize::MAX);
        let stored = self.packed.get(..packed).filter(|packed| packed.len() < page.len()).unwrap_or(page);
        store(&mut *self.file, &mut self.at, stored, page.len())
    }

    /// A filter that would be too large is left out: then every key may be there.
    fn write_filter(&mut self) -> Result<Pointer, ViewError> {
        let filter = filter::build(&std::mem::take(&mut self.marks));
        let filter = if filter.len() > MAX_PAGE { Vec::new() } else { filter };
        store(&mut *self.file, &mut self.at, &filter, filter.len())
    }

    /// Ends it, and opens it with its check. None if there are no rows: then there is no file.
    pub fn finish(mut self) -> Result<Option<(Pack, u64)>, ViewError> {
        let mut level = 0;
        loop {
            let Some(full) = self.levels.get_mut(level).and_then(Builder::flush) else { return Ok(None) };
            if self.levels.len() == level + 1 {
                let root = self.write(&full.page)?;
                let depth = u8::try_from(level).map_err(|_| BAD)?;
                let rows = self.marks.len() as u64;
                let filter = self.write_filter()?;
                let footer =
                    [&root.encode()[..], &filter.encode(), &[depth], &rows.to_le_bytes(), MAGIC].concat();
                self.file.write(&footer)?;
                let check = xxh3_64(&footer);
                return Ok(Some((Pack::open(self.file.finish()?, check)?, check)));
            }
            self.put(level, &full)?;
            level += 1;
        }
    }
}

/// Writes bytes that are so many when they are unpacked, at the end of a file.
fn store(
    file: &mut dyn NewFile,
    end: &mut u64,
    stored: &[u8],
    unpacked: usize,
) -> Result<Pointer, ViewError> {
    let len = |len: usize| u32::try_from(len).map_err(|_| TOO_LARGE);
    let pointer =
        Pointer { at: *end, stored: len(stored.len())?, unpacked: len(unpacked)?, sum: sum(stored) };
    file.write(stored)?;
    *end += u64::from(pointer.stored);
    Ok(pointer)
}

/// A file that can be read.
pub struct Pack {
    file: Arc<dyn StoredFile>,
    pub(super) root: Page,
    pub(super) depth: u8,
    rows: u64,
    filter: Pointer,
    /// Its bytes, once enough was asked for.
    filtered: OnceLock<Bytes>,
    asked: AtomicU32,
    /// What it is called among the files that share its cache.
    name: u64,
    pages: Arc<PageCache>,
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pack").field("rows", &self.rows).field("depth", &self.depth).finish_non_exhaustive()
    }
}

fn read(file: &dyn StoredFile, pointer: Pointer) -> Result<Page, ViewError> {
    let (Ok(stored), Ok(unpacked)) = (usize::try_from(pointer.stored), usize::try_from(pointer.unpacked))
    else {
        return Err(BAD);
    };
    let bytes = file.read(pointer.at, stored).map_err(short_is_bad)?;
    if sum(&bytes) != pointer.sum || unpacked > MAX_PAGE {
        return Err(BAD);
    }
    if stored == unpacked {
        return Page::read(bytes);
    }
    let mut page = vec![0; unpacked];
    match lz4_flex::block::decompress_into(&bytes, &mut page) {
        Ok(len) if len == unpacked => Page::read(page.into()),
        _ => Err(BAD),
    }
}

fn short_is_bad(error: StoreError) -> ViewError {
    if matches!(error, StoreError::Short) { BAD } else { error.into() }
}

impl Pack {
    /// Reads the footer and the topmost page of a file, and sees that it is the one with this check.
    pub fn open(file: Arc<dyn StoredFile>, check: u64) -> Result<Pack, ViewError> {
        let Some(at) = file.len().checked_sub(FOOTER as u64) else { return Err(BAD) };
        let footer = file.read(at, FOOTER).map_err(short_is_bad)?;
        let parts = || {
            let (root, rest) = footer.split_at_checked(POINTER)?;
            let (filter, rest) = rest.split_at_checked(POINTER)?;
            let (depth, rest) = rest.split_first()?;
            let (rows, magic) = rest.split_first_chunk()?;
            let (root, filter) = (Pointer::decode(root)?, Pointer::decode(filter)?);
            (magic == MAGIC).then_some((root, filter, *depth, u64::from_le_bytes(*rows)))
        };
        match parts() {
            Some((root, filter, depth, rows)) if xxh3_64(&footer) == check && depth <= MAX_DEPTH => {
                let root = read(&*file, root)?;
                let (filtered, asked, pages) =
                    (OnceLock::new(), AtomicU32::new(0), Arc::new(Cache::new(CACHED)));
                Ok(Pack { file, root, depth, rows, filter, filtered, asked, name: 0, pages })
            }
            _ => Err(BAD),
        }
    }

    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Keeps its pages beside those of other files, under a name of its own.
    pub(super) fn share(&mut self, name: u64, pages: &Arc<PageCache>) {
        (self.name, self.pages) = (name, pages.clone());
    }

    /// The page that a row of a page above leads to. It is kept.
    pub(super) fn below(&self, page: &Page, n: usize) -> Result<Page, ViewError> {
        let pointer = pointer_at(page, n)?;
        self.pages.get((self.name, pointer.at), || read(&*self.file, pointer))
    }

    /// The same for who reads along: what it reads it does not come back to.
    pub(super) fn pass(&self, page: &Page, n: usize) -> Result<Page, ViewError> {
        let pointer = pointer_at(page, n)?;
        self.pages.find(&(self.name, pointer.at)).map_or_else(|| read(&*self.file, pointer), Ok)
    }

    /// The filter as it lies in the file.
    ///
    /// # Errors
    /// If it is not as it was written.
    pub(super) fn read_filter(&self) -> Result<Bytes, ViewError> {
        let len = usize::try_from(self.filter.stored).map_err(|_| BAD)?;
        let filter = self.file.read(self.filter.at, len).map_err(short_is_bad)?;
        if sum(&filter) == self.filter.sum { Ok(filter) } else { Err(BAD) }
    }

    /// False if the key is not there. The filter is read once much was asked for, and stays in memory: a byte or two a key.
    fn may_have(&self, key: &[u8]) -> Result<bool, ViewError> {
        if self.filtered.get().is_none() && self.asked.fetch_add(1, Ordering::Relaxed) >= UNFILTERED {
            let filter = self.read_filter()?;
            self.filtered.get_or_init(|| filter);
        }
        Ok(self.seems_to_have(key))
    }

    fn seems_to_have(&self, key: &[u8]) -> bool {
        let filter = self.filtered.get().filter(|filter| !filter.is_empty());
        filter.is_none_or(|filter| filter::may_have(filter, key))
    }

    /// The value of a key, if it is there. Reads a page of each level, the topmost ones and those read lately from memory.
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, ViewError> {
        if !self.may_have(key)? {
            return Ok(None);
        }
        let mut page = self.root.clone();
        for _ in 0..self.depth {
            let Some(n) = page.up_to(key)?.checked_sub(1) else { return Ok(None) };
            page = self.below(&page, n)?;
        }
        page.value(key)
    }

    /// The same if all pages that it takes are in memory; none if not.
    pub fn get_at_hand(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, ViewError> {
        if !self.seems_to_have(key) {
            return Ok(Some(None));
        }
        let mut page = self.root.clone();
        for _ in 0..self.depth {
            let Some(n) = page.up_to(key)?.checked_sub(1) else { return Ok(Some(None)) };
            let Some(below) = self.pages.find(&(self.name, pointer_at(&page, n)?.at)) else {
                return Ok(None);
            };
            page = below;
        }
        page.value(key).map(Some)
    }
}

fn pointer_at(page: &Page, n: usize) -> Result<Pointer, ViewError> {
    Pointer::decode(page.item(n)?.value).ok_or(BAD)
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::*;
    use kappadb_store::{FileId, MemoryStore, Store};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Row = (Vec<u8>, Vec<u8>);
    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    const ID: FileId = FileId { group: 1, number: 7 };

    fn packed(rows: &Rows) -> (Bytes, Option<u64>) {
        let tree = MemoryStore::new().tree("t").unwrap();
        let mut writer = PackWriter::new(tree.new_file(ID).unwrap());
        rows.iter().for_each(|(key, value)| writer.push(key, value).unwrap());
        let check = writer.finish().unwrap().map(|(_, check)| check);
        let file = tree.open_file(ID).unwrap();
        (file.map_or(Bytes::new(), |file| file.read(0, usize::try_from(file.len()).unwrap()).unwrap()), check)
    }

    fn read_all(pack: &Arc<Pack>, from: &[u8], to: Option<&[u8]>, back: bool) -> Result<Vec<Row>, ViewError> {
        let mut cursor = Cursor::new(pack, from, to, back)?;
        let mut rows = Vec::new();
        while cursor.advance()? {
            rows.push((cursor.key().to_vec(), cursor.value()?.to_vec()));
        }
        Ok(rows)
    }

    proptest! {
        #[test]
        fn a_file_gives_what_was_put_in_from_both_ends(
            // Keys of up to 16 KiB: few lead on in a page above.
            rows in prop::collection::btree_map(
                (prop::collection::vec(0..4u8, 0..5), prop::sample::select(vec![0usize, 0, 0, 900, 12_000])),
                (any::<u8>(), prop::sample::select(vec![0usize, 3, 100, 3_000, 70_000])), 0..60),
            (from, to) in (prop::collection::vec(0..4u8, 0..4), prop::option::of(prop::collection::vec(0..4u8, 0..4))),
        ) {
            let rows: Rows = rows.into_iter().map(|((key, more), (byte, len))| {
                ([&key[..], &vec![2; more]].concat(), (0..len).map(|n| byte.wrapping_add(n.to_le_bytes()[0])).collect())
            }).collect();
            let (bytes, check) = packed(&rows);
            prop_assert_eq!(check.is_none(), rows.is_empty());
            let Some(check) = check else { return Ok(()) };
            let pack = Arc::new(Pack::open(Arc::new(bytes), check).unwrap());
            prop_assert_eq!(pack.rows(), rows.len() as u64);
            let is_within = |key: &[u8]| key >= &from[..] && to.as_ref().is_none_or(|to| key < &to[..]);
            let mut expected: Vec<_> = rows.clone().into_iter().filter(|(key, _)| is_within(key)).collect();
            prop_assert_eq!(&read_all(&pack, &from, to.as_deref(), false).unwrap(), &expected);
            expected.reverse();
            prop_assert_eq!(&read_all(&pack, &from, to.as_deref(), true).unwrap(), &expected);
            // Enough that the filter is asked, too.
            for key in rows.keys().chain([&from]).cycle().take(rows.len() + 1 + 2 * UNFILTERED as usize) {
                prop_assert_eq!(pack.get(key).unwrap().map(|value| value.to_vec()), rows.get(key).cloned());
            }
        }

        #[test]
        fn a_file_that_was_cut_or_has_another_byte_is_noticed(cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), flip in 1..=255u8) {
            let rows: Rows = (0..2_000u32).map(|n| (n.to_be_bytes().to_vec(), vec![n.to_le_bytes()[0]; 9])).collect();
            let (bytes, check) = packed(&rows);
            let check = check.unwrap();
            let cut = bytes.slice(..cut.index(bytes.len()));
            prop_assert!(Pack::open(Arc::new(cut), check).is_err_and(|error| error.wants_rebuild()));
            let mut other = bytes.to_vec();
            other[at.index(bytes.len())] ^= flip;
            let read = Pack::open(Arc::new(Bytes::from(other)), check).and_then(|pack| {
                pack.read_filter()?;
                read_all(&Arc::new(pack), &[], None, false)
            });
            prop_assert!(read.is_err_and(|error| error.wants_rebuild()));
            prop_assert!(Pack::open(Arc::new(bytes), check ^ 1).is_err());
        }
    }
}
