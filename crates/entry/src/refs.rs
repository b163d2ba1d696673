//! What an entry refers to: keys of its own space, in a header extension.
//!
//! They are part of an entry's meaning, so they are in the header, where they outlive the payload: who refers to what is the
//! same in a view that was rebuilt after payloads were cleared. Keys ascend, and each is written as what it does not
//! share with the one before: `shared varint | rest len varint | rest`. Ids of neighbours share most of their bytes.

use crate::{EntryError, Extension, Header};
use kappadb_core::codec;
use kappadb_core::limits::MAX_KEY;

/// The kind of the header extension.
pub const REFS: u16 = 1;

impl Header {
    /// The keys, in this entry's space, that it refers to: ascending, each once. Whoever reads them need not look out for
    /// malformed ones: a decoded header has none, and what is malformed in a header made by hand ends the list.
    pub fn refs(&self) -> Vec<Vec<u8>> {
        let extension = self.extensions.iter().find(|extension| extension.kind == REFS);
        let read = |extension: &Extension| decode(&extension.bytes).unwrap_or_default();
        extension.map(read).unwrap_or_default()
    }

    /// Sets the keys that the entry refers to, in any order.
    pub fn set_refs(&mut self, refs: impl IntoIterator<Item = Vec<u8>>) {
        let mut refs: Vec<Vec<u8>> = refs.into_iter().collect();
        refs.sort_unstable();
        refs.dedup();
        self.set_extension(REFS, if refs.is_empty() { None } else { Some(encode(&refs)) });
    }

    /// Puts an extension into its place among the others, or takes it away.
    pub(crate) fn set_extension(&mut self, kind: u16, bytes: Option<Vec<u8>>) {
        self.extensions.retain(|extension| extension.kind != kind);
        self.extensions.extend(bytes.map(|bytes| Extension { kind, bytes }));
        self.extensions.sort_unstable_by_key(|extension| extension.kind);
    }
}

fn encode(refs: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut before: &[u8] = &[];
    for key in refs {
        let shared = shared(before, key);
        let rest = key.get(shared..).unwrap_or_default();
        codec::encode_into(&(shared as u64, rest.len() as u64), &mut out);
        out.extend_from_slice(rest);
        before = key;
    }
    out
}

/// Reads and checks, as [`check`] does.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Vec<u8>>, EntryError> {
    let mut refs = Vec::new();
    each(bytes, |key| refs.push(key.to_vec()))?;
    Ok(refs)
}

/// Checks that there are keys of at most [`MAX_KEY`] bytes, strictly ascending, at least one, each sharing all that it can.
pub(crate) fn check(bytes: &[u8]) -> Result<(), EntryError> {
    each(bytes, |_| ())
}

/// Calls `visit` with each key. All headers come by here: nothing is allocated for a key.
fn each(mut bytes: &[u8], mut visit: impl FnMut(&[u8])) -> Result<(), EntryError> {
    let mut key: Vec<u8> = Vec::new();
    let mut is_first = true;
    if bytes.is_empty() {
        return Err(EntryError::BadRefs);
    }
    while !bytes.is_empty() {
        let ((shares, rest), used) = codec::decode_prefix::<(u64, u64), 20>("refs", bytes)?;
        let shares = usize::try_from(shares).ok().filter(|shares| *shares <= key.len());
        let rest = usize::try_from(rest).ok().and_then(|rest| bytes.get(used..)?.split_at_checked(rest));
        let (Some(shares), Some((rest, left))) = (shares, rest) else { return Err(EntryError::BadRefs) };
        // It goes on after what it shares with the one before, and with a greater byte.
        let before = key.get(shares..).unwrap_or_default();
        let follows = is_first || before < rest;
        if shares + rest.len() > MAX_KEY || !follows || shared(before, rest) > 0 {
            return Err(EntryError::BadRefs);
        }
        key.truncate(shares);
        key.extend_from_slice(rest);
        visit(&key);
        (bytes, is_first) = (left, false);
    }
    Ok(())
}

fn shared(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
