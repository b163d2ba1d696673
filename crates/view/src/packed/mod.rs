//! What views of very many small rows share: rows packed in pages, in runs that never change and are merged in the background. They cost
//! the store little more than their bytes.
//!
//! Rows of the store, under one leading byte that the view chooses:
//!
//! ```text
//! P 00 sort u8 run u64 BE first key   a page: rows in order
//! P 01 sort u8 run u64 BE             items u64, age u64 LE: the run counts, has so many rows, and is newer than those with a lower age
//! P 02 feed 32                        RangeSet: numbers of its entries that were withdrawn
//! P 03 sort u8 number u64 BE          what a batch changed of a table: (length u32 LE, key, length u32 LE, value) each
//! ```
//!
//! A [`Shelf`] is a set of keys: a batch becomes a run, small runs are merged at once, large ones as upkeep ([`Merge`]). Nothing is ever
//! taken out of a run: rows of entries that were withdrawn stay, and who reads passes them over ([`Withdrawn`]). A [`Table`] is a map: what a batch changes
//! is kept in memory and in a log until it is worth a run, and of the rows of a key the newest counts. A view may also write runs of its own ([`Writer`])
//! and say when they are merged. What is left of runs that count no more is swept ([`Leftovers`]).

mod finder;
mod merged;
mod page;
mod run;
mod shelf;
mod sweep;
mod table;
mod withdrawn;

pub use merged::Merged;
pub use run::{Area, Reader, RunId, Writer};
pub use shelf::{Merge, Run, Shelf, after, load_runs};
pub use sweep::{Leftovers, Sweep};
pub use table::{Table, TableJob, TableRows};
pub use withdrawn::Withdrawn;
