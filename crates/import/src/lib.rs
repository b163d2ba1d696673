//! Readers of `.osm.pbf`, GeoJSON and newline-delimited GeoJSON files.
//!
//! A file is read and checked whole before the first feature is handed out: a file that is cut short, damaged or of
//! another format is an error, and nothing of it gets anywhere. What was read waits in temporary files, which vanish with the
//! [`Import`], also when the process dies.
//!
//! Memory is bounded: features and positions are on disk, sorted there in buffers of 32 MB and looked up through caches of
//! 4,096 pages; beside that there is one unpacked blob (32 MB at most) or the text of one GeoJSON feature (64 MB at most).
//! All that grows with the file are 8 bytes for every 256 nodes and ways, and 16 for every blob.
//!
//! ```no_run
//! # fn main() -> Result<(), kappadb_import::ImportError> {
//! let mut import = kappadb_import::read("helsinki.osm.pbf".as_ref(), &std::env::temp_dir(), &mut |_| ())?;
//! println!("{} features, {} skipped", import.len(), import.skipped().count);
//! for feature in import.features()? {
//!     println!("{}", feature?.id);
//! }
//! # Ok(())
//! # }
//! ```
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
