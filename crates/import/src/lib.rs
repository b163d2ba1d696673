//! Readers of `.osm.pbf`, `.osm` (XML), `.osc` (osmChange), GeoJSON, newline-delimited GeoJSON and GeoJSON text sequences;
//! each may be packed with gzip, bzip2, xz or Zstandard, and may come from a pipe.
//!
//! A file is read and checked whole before the first item is handed out: a file that is cut short, damaged or of
//! another format is an error, and nothing of it gets anywhere. What was read waits in temporary files, which vanish with the
//! [`Import`], also when the process dies.
//!
//! Memory is bounded: features and positions are on disk, sorted there in buffers of 16 MB and looked up through caches of
//! 1,024 pages; beside that there is one unpacked blob (32 MB at most) or the text of one feature or element (64 MB at
//! most). All that grows with the file are 8 bytes for every 256 nodes and ways, and 16 for every blob.
//!
//! ```no_run
//! # fn main() -> Result<(), kappadb_import::ImportError> {
//! use kappadb_import::Item;
//! let mut import = kappadb_import::read("helsinki.osm.pbf".as_ref(), &kappadb_import::Ids::New, &std::env::temp_dir(), &mut |_| ())?;
//! println!("{} items, {} skipped", import.len(), import.skipped().count);
//! for item in import.items()? {
//!     match item? {
//!         Item::Put { feature, .. } => println!("{}", feature.id),
//!         Item::Delete { id, .. } => println!("{id} is gone"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! From an OSM file: every tagged node, every way, every relation, and a delete of every element marked as deleted; apart from these the
//! nodes without tags ([`Import::each_bare`]). Of elements with one id the highest version counts, the last of these; of GeoJSON features with one id
//! the last. In a `.osc` that is how it should be, elsewhere the others are counted as skipped.
//!
//! What breaks a file's structure is an error; an element or feature with a bad value (no id, a position off the map) is
//! left out and told of in [`Import::skipped`].
//!
//! A `.osm.pbf` has no end mark: one that is cut exactly between two of its blobs cannot be told from a whole one. The same
//! goes for newline-delimited files that are cut at the end of a line.

mod edits;
mod error;
mod format;
mod geojson;
mod ids;
mod import;
mod lookup;
mod metered;
mod nested;
mod osm;
mod packing;
mod pbf;
mod portions;
mod sort;
mod source;
mod spool;
mod xml;

pub use error::{Damage, ImportError, Location, Reason, Skip, XmlDamage};
pub use ids::Ids;
pub use import::{Counts, Import, Progress, Skipped, read, read_stream};
pub use kappadb_geo::{Bare, Item};
