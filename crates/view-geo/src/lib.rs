//! The map view: which features lie in a box.
//!
//! Entries of the map's space are kept by key ([`kappadb_view::keyed`]) and by where they are and where their past was, in
//! an index that is log-structured: a bounded R*-tree in memory, backed by rows, and packed, immutable runs of pages in
//! Hilbert order. `design/views.md` has the rows and why.
//!
//! | file | what |
//! |---|---|
//! | `view` | [`MapView`]: name, version, settings |
//! | `index` | [`MapIndex`]: takes changes in, answers |
//! | `answer` | [`Answer`] and how it is gathered |
//! | `check` | comparing sets too large for memory |
//! | `space` | the spatial index: memory and runs, when which is packed |
//! | `memory` | the R*-tree |
//! | `run`, `page`, `cache` | packed runs |
//! | `item` | what the spatial index holds of a version |
//! | `feeds` | short numbers for feeds |
//! | `rows` | keys of the rows |

mod answer;
mod boxes;
mod cache;
mod check;
mod feeds;
mod index;
mod item;
mod list;
mod memory;
mod page;
mod query;
mod rank;
mod refs;
mod rows;
mod run;
mod space;
mod view;

pub use answer::{Answer, Hit};
pub use index::{MapIndex, MapStats, RunStats};
pub use query::{Cursor, CursorError, Order, Query};
pub use view::MapView;
