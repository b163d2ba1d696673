//! Views: deterministic functions of the set of entries held, kept in trees of their own.
//!
//! A view is written against [`View`] and [`Index`] and registered with [`Views`]. From then on a thread of its own reads
//! the arrival log forward, hands the entries to the index in batches, and commits rows and cursor in one step. What is
//! asked of a view is asked through its [`ViewHandle`], or by name through [`Views`].
//!
//! ```text
//! Source (feeds) ── arrivals ──► indexer thread ──► Index::apply ──► rows + cursor, one batch
//!                                     │                                   │
//!                                  notices ──► Watcher        ViewHandle::read, Views::matches
//! ```
//!
//! How a view is kept, rebuilt and asked is written in `design/views.md`. [`keyed`] has the part that all views of keyed
//! entries share, [`packed`] what those of very many small rows share.

mod control;
mod directory;
mod error;
mod generation;
mod handle;
mod indexer;
pub mod keyed;
mod mark;
pub mod packed;
mod payload;
mod seen;
mod source;
mod threads;
pub mod tiers;
mod traits;
mod upkeep;
mod verify;
mod views;
mod watch;

pub use error::ViewError;
pub use handle::{PauseGuard, ViewHandle};
pub use keyed::{Active, KeyUpdate, Keyed, KeyedReader, KeyedSnapshot};
pub use mark::Exclusions;
pub use payload::{Payload, PayloadError, Payloads};
pub use source::{Arrival, ReadError, Source};
pub use threads::SystemThreads;
pub use traits::{Arrived, Change, Index, Notice, Upkeep, View, differences};
pub use views::{ViewStatus, Views};
pub use watch::{Changes, Watcher};
