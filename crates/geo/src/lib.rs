//! Map features: the model, their bodies in blocks, their ids, what they are made of, merging of versions, filters, GeoJSON in
//! and out, OSM XML out and their order on a Hilbert curve.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let text = r#"{"type":"Feature","id":7,"geometry":{"type":"Point","coordinates":[24.94,60.17]},"properties":{"a":1.0}}"#;
//! let feature = kappadb_geo::geojson::from_text(text)?;
//! let entry = kappadb_geo::put(&feature)?;
//! assert_eq!(entry.key, b"g:7");
//! assert_eq!(kappadb_geo::decode("g:7", &entry.payload)?, feature);
//! # Ok(())
//! # }
//! ```
//!
//! Floor 1: pure. No clock, no thread, no async, no IO.

mod assemble;
mod body;
pub mod chain;
mod check;
mod entry;
mod error;
mod expand;
mod extent;
mod feature;
mod filter;
pub mod geojson;
mod geometry;
mod hilbert;
pub mod id;
mod item;
mod json;
mod merge;
pub mod osm_xml;
mod ring;

pub use assemble::{assemble, outline};
pub use body::{MAX_BODY, decode, encode};
pub use entry::{CODE_BARE, CODE_DELETE, CODE_PUT, Prepared, decode_delete, delete, put};
pub use error::FeatureError;
pub use expand::{Expansion, expand};
pub use extent::join as join_extents;
pub use feature::{Body, Edit, Element, Feature, Free, Member, Meta, Shape, WayNode};
pub use filter::{FeatureKind, Filter, FilterError, TagFilter};
pub use geojson::GeoJsonError;
pub use geometry::{Geometry, GeometryError, Part};
pub use hilbert::hilbert;
pub use id::{ElementKind, IdError};
pub use item::{Bare, Item};
pub use merge::{merge, merge3};
