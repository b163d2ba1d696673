//! The rows of the view, by their first byte. Numbers in keys are big-endian, so that they ascend.

/// Active and redundant versions by key: [`kappadb_view::Keyed`].
pub const KEYED: u8 = 1;
/// `feed 32` → `number u32`.
pub const FEEDS: u8 = 2;
/// `number u64` → what one batch took out of memory and put there: [`crate::memory`].
pub const MEMORY: u8 = 3;
/// Which runs of boxes count ([`kappadb_view::packed`]): [`crate::run`].
pub const RUNS: u8 = 4;
/// `run u64 | number u32` → `(feed number u32 | seq u64 | items u8)...`, little-endian: versions whose items in that run count no
/// more.
pub const DEAD: u8 = 6;

/// Who refers to what, packed ([`kappadb_view::packed`]): [`crate::refs`].
pub const REFS: u8 = 7;

/// The key of a feature with several heads → nothing.
pub const SEVERAL: u8 = 8;

/// A row's key.
pub fn key(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + parts.iter().map(|part| part.len()).sum::<usize>());
    out.push(prefix);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// The key of a row of the memory's log.
pub fn log_key(number: u64) -> Vec<u8> {
    key(MEMORY, &[&number.to_be_bytes()])
}

/// Appends `feed number u32 | seq u64`, little-endian.
pub fn push_slot((feed, seq): (u32, u64), out: &mut Vec<u8>) {
    out.extend_from_slice(&feed.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
}

/// Reads what [`push_slot`] wrote, and gives what is left.
pub fn read_slot(bytes: &[u8]) -> Option<((u32, u64), &[u8])> {
    let (feed, bytes) = bytes.split_first_chunk()?;
    let (seq, rest) = bytes.split_first_chunk()?;
    Some(((u32::from_le_bytes(*feed), u64::from_le_bytes(*seq)), rest))
}
