//! Readers of `.osm.pbf`, GeoJSON and newline-delimited GeoJSON files.
//!
//! A file is read and checked whole before the first feature is handed out: a file that is cut short, damaged or of
//! another format is an error, and nothing of it gets anywhere. What was read waits in temporary files, which vanish with the
//! [`Import`], also when the process dies.
//!
//! Memory is bounded: features and node positions are on disk, sorted there when they come in another order. What
//! grows with the file is 8 bytes for every 256 nodes and ways.
//!
//! From a `.osm.pbf`: every tagged node, every way with at least one located node, every relation with at least one
//! located member node or way. Elements marked as deleted are skipped. Of elements with one id the highest version
//! counts, the last of these; of GeoJSON features with one id the last.
//!
//! A `.osm.pbf` has no end mark: one that is cut exactly between two of its blobs cannot be told from a whole one. The same
//! goes for newline-delimited files that are cut at the end of a line.

mod error;
mod format;
mod geojson;
mod import;
mod lookup;
mod metered;
mod pbf;
mod sort;
mod spool;

pub use error::{Damage, ImportError, Location, Reason, Skip};
pub use import::{Counts, Import, Progress, Skipped, read};
