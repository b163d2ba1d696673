//! The map view: which features lie in a box.
//!
//! Entries of the map's space are kept by key ([`kappadb_view::keyed`]) and by where they are and where their past was, in
//! an index that is log-structured: a bounded part in memory, backed by a log in rows, and packed, immutable runs of pages that are
//! merged in the background. All of it is in one order, large things first, then along a Hilbert curve. `design/views.md` has the
//! rows and why.
//!
//! | file | what |
//! |---|---|
//! | `view` | [`MapView`]: name, version, settings |
//! | `index` | [`MapIndex`]: takes changes in, answers by key and to peers |
//! | `boxes`, `query`, `answer` | asking a box: how, with what, and what it gives |
//! | `list`, `refs` | listing by id; who refers to what |
//! | `check` | comparing sets too large for memory |
//! | `space` | the spatial index: memory and runs, when which is packed |
//! | `memory`, `sorted` | what is not packed yet |
//! | `run`, `packed`, `page`, `leaf`, `cache` | packed runs |
//! | `upkeep`, `merge`, `sweep` | work in the background |
//! | `item`, `rank` | what the spatial index holds of a version, and its order |
//! | `feeds` | short numbers for feeds |
//! | `rows` | keys of the rows |

mod answer;
mod boxes;
mod check;
mod feeds;
mod index;
mod item;
mod leaf;
mod list;
mod memory;
mod merge;
mod packed;
mod page;
mod query;
mod rank;
mod refs;
mod rows;
mod run;
mod several;
mod sorted;
mod space;
mod upkeep;
mod view;

pub use answer::{Answer, Hit, Inside};
pub use index::{MapIndex, MapStats, RunStats};
pub use query::{Cursor, CursorError, Order, Query};
pub use view::MapView;
