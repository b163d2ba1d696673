//! Rows packed in pages, in runs that never change and are merged in the background: many small rows cost the store little more than
//! their bytes.

mod merged;
mod page;
mod run;
mod shelf;

pub use merged::Merged;
pub use page::BAD;
pub use run::{Reader, RunId, Writer};
pub use shelf::{Merge, Run, Shelf, load as load_runs, number_of};
