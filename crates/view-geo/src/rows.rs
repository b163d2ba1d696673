//! The rows of the view, by their first byte. Numbers in keys are big-endian, so that they ascend.

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
/// `feed number u32 | seq u64` → `run u32`: in this run and all older ones, the version's items do not count.
pub const DEAD: u8 = 6;

/// A row's key.
pub fn key(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![prefix];
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// The part of a row's key after its first byte, as two numbers.
pub fn slot(key: &[u8]) -> Option<(u32, u64)> {
    let (feed, seq) = key.get(1..)?.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*feed), u64::from_be_bytes(seq.try_into().ok()?)))
}

/// The key of a row about one version.
pub fn slot_key(prefix: u8, (feed, seq): (u32, u64)) -> Vec<u8> {
    key(prefix, &[&feed.to_be_bytes(), &seq.to_be_bytes()])
}
