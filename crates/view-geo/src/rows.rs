//! The rows of the view, by their first byte. Numbers in keys are big-endian, so that they ascend.

use kappadb_view::ViewError;

/// Active and redundant versions by key: [`kappadb_view::Keyed`].
pub const KEYED: u8 = 1;
/// `feed 32` → `number u32`.
pub const FEEDS: u8 = 2;
/// `feed number u32 | seq u64` → items of a version that are in memory.
pub const MEMORY: u8 = 3;
/// `run u32` → [`crate::run::Descriptor`].
pub const RUNS: u8 = 4;
/// `run u32 | level u8 | page u32` → a page.
pub const PAGES: u8 = 5;
/// `run u32 | feed number u32 | seq u64` → nothing: the version's items in that run count no more.
pub const DEAD: u8 = 6;

/// `target length u8 | target | feed number u32 | seq u64` → the key of a feature that refers to the target:
/// [`crate::refs`].
pub const REFS: u8 = 7;

/// A row's key.
pub fn key(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    out.push(prefix);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// The key of a row about one version.
pub fn slot_key(prefix: u8, (feed, seq): (u32, u64)) -> Vec<u8> {
    key(prefix, &[&feed.to_be_bytes(), &seq.to_be_bytes()])
}

/// The key of a row about one version in a run.
pub fn dead_key(run: u32, (feed, seq): (u32, u64)) -> Vec<u8> {
    key(DEAD, &[&run.to_be_bytes(), &feed.to_be_bytes(), &seq.to_be_bytes()])
}

/// The version that a row is about: the last twelve bytes of its key, which has `len` bytes.
pub fn slot(key: &[u8], len: usize) -> Result<(u32, u64), ViewError> {
    const BAD: ViewError = ViewError::Inconsistent("a row of the map index has a bad key");
    let (front, seq) = key.split_last_chunk::<8>().ok_or(BAD)?;
    let (_, feed) = front.split_last_chunk::<4>().ok_or(BAD)?;
    if key.len() == len { Ok((u32::from_be_bytes(*feed), u64::from_be_bytes(*seq))) } else { Err(BAD) }
}
