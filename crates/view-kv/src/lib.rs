//! The key-value view: which versions of a key are held, which of them count, and what keys there are.
//!
//! A key's versions are kept as every keyed view keeps them ([`kappadb_view::keyed`]); the rows are ordered by key, so ranges
//! are read as they lie. Small values lie beside their versions, too; larger ones in the log alone (`design/views.md` says why).
//!
//! | file | what |
//! |---|---|
//! | `entry` | what an entry of this view is: kinds, limits of keys |
//! | `view` | [`KvView`]: name, version |
//! | `index` | [`KvIndex`]: takes changes in, answers by key and to peers |
//! | `range` | ranges of keys |
//! | `reader` | what the index says of a key, now or at one moment |
//! | `state` | what a key says at a time |
//! | `scan` | reading a range page by page, from either end |

mod entry;
mod index;
mod range;
mod reader;
mod scan;
mod state;
mod view;

pub use entry::{CODE_DELETE, CODE_PUT, KeyError, MAX_BESIDE, check_key, kind};
pub use index::KvIndex;
pub use range::KeyRange;
pub use reader::{KvReader, KvSnapshot};
pub use scan::{Page, Row, ScanOptions};
pub use state::KeyState;
pub use view::KvView;
