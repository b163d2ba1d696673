//! The map view: which features lie in a box.
//!
//! Entries of the map's space are kept by key ([`kappadb_view::keyed`]) and by where they are and where their past was, in
//! an index that is log-structured: a bounded R*-tree in memory, backed by rows, and packed, immutable runs of pages in
//! Hilbert order. `design/views.md` has the rows and why.
//!
//! | file | what |
//! |---|---|
//! | `index` | [`MapIndex`]: takes changes in, answers |
//! | `space` | the spatial index: memory, runs, what is dead in them |
//! | `memory` | the R*-tree |
//! | `run`, `page`, `cache` | packed runs |
//! | `item` | what the spatial index holds of a version |
//! | `feeds` | short numbers for feeds |

mod cache;
mod feeds;
mod index;
mod item;
mod memory;
mod page;
mod rows;
mod run;
mod space;

pub use index::{Answer, Hit, MapIndex, MapStats, MapView};
