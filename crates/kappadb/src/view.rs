//! All that a view of your own needs. The map view uses nothing else.
//!
//! Implement [`View`] and [`Index`], register it with [`Database::view`](crate::Database::view), and write entries for
//! it with [`Database::write`](crate::Database::write) or, for keyed ones, [`Database::replace`](crate::Database::replace).
//! `examples/custom_view.rs` is a whole one.

pub use kappadb_entry::rules::{self, Version};
pub use kappadb_entry::{Entry, Header, Kind, Moment, Places, space};
pub use kappadb_query::Selector;
pub use kappadb_store::{Overlay, StoreError, Tree, prefix_range};
pub use kappadb_view::{
    Active, Arrived, Change, Changes, Index, KeyUpdate, Keyed, KeyedReader, KeyedSnapshot, Notice, Payload,
    PayloadError, Payloads, Upkeep, View, ViewError, ViewHandle, Watcher,
};

pub use crate::engine::keyed::KeyedIndex;
pub use crate::write::Draft;
