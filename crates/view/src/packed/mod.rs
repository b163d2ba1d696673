//! What views of very many small rows share: rows packed in runs that never change and are merged in the background. They cost little more than
//! their bytes.
//!
//! A run is a file of the view's tree ([`Pack`]). Rows of the store, under one leading byte P that the view chooses, say which count:
//!
//! ```text
//! P 01 sort u8 run u64 BE             rows u64, age u64, check u64, LE: the run counts, and is newer than those with a lower age
//! P 02 feed 32                        RangeSet: numbers of its entries that were withdrawn
//! P 03 sort u8 number u64 BE          what a batch changed of a table: (length u32 LE, key, length u32 LE, value) each
//! ```
//!
//! A [`Table`] is a map: what a batch changes is kept in memory and in a log until it is worth a run, and of the rows of a key the newest counts.
//! As a set of keys it is never taken anything out of: rows of entries that were withdrawn stay, and who reads passes them over ([`Withdrawn`]). A view may also
//! write runs of its own ([`Writer`]) and say when they are merged.

mod cache;
mod cursor;
mod filter;
mod job;
mod layers;
mod merge;
mod merged;
mod pack;
mod page;
mod row;
mod run;
mod table;
mod withdrawn;

pub use cache::Cache;
pub use cursor::Cursor;
pub(crate) use filter::bits;
pub use layers::Layers;
pub use merge::{Rewrite, unless_full};
pub use merged::Merged;
pub use pack::{Pack, PackWriter};
pub use run::{Area, Run, Writer, load_runs, remove_others};
pub use table::{Table, TableJob};
pub use withdrawn::Withdrawn;

/// One more than every key that begins so; none if there is no such key.
pub fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let (last, front) = prefix.get(..=kept)?.split_last()?;
    Some([front, &[last + 1]].concat())
}
