//! GeoJSON (RFC 7946), in and out.
//!
//! In: one Feature, or a geometry by itself. Longitude and latitude are rounded to 1e-7 degrees. A geometry that says more (heights, collections in
//! collections, which are flattened, members of its own) is kept as it was written, beside what is read of it. Properties and other members are kept as
//! written, but for the white space between tokens.
//!
//! Out: a free feature as it came. An element of OpenStreetMap has its tags as properties and, beside them, all else that it is, in properties whose
//! names begin with `@` (`design/map.md`, "GeoJSON"): so it is the same element when it is read in again. A way is a Polygon if it is closed and its
//! tags say that it is an area, else a LineString of its located nodes. A relation has its extent as `bbox`, whose west is greater than its east
//! across the antimeridian, and a geometry if whoever writes it knows its members.

mod element;
mod read;
mod serial;
mod write;

pub use read::{check_crs, from_geojson, from_text, from_text_by_id, from_text_of, id_of_text};
pub(crate) use read::{is_foreign, says};
pub use write::{is_area, to_geojson, to_record, to_text, to_text_with};

use crate::geometry::GeometryError;
use crate::id::IdError;
use kappadb_core::GeoError;

type Read<T> = Result<T, GeoJsonError>;

/// Why a text is no GeoJSON feature that can be kept.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GeoJsonError {
    /// Not JSON, or nested too deep.
    #[error("not JSON: {reason}")]
    NotJson {
        /// Where, and what the parser found.
        reason: String,
    },
    /// Its `type` is not `Feature`.
    #[error("a GeoJSON object whose type is {found} where a \"Feature\" is needed")]
    NotAFeature {
        /// The type as JSON.
        found: String,
    },
    /// A collection without features, not even none.
    #[error("a FeatureCollection without \"features\"")]
    NoFeatures,
    /// No geometry, not even `null`.
    #[error("the feature has no \"geometry\"; null says that it has no place")]
    NoGeometry,
    /// Coordinates of another system.
    #[error(
        "its coordinates are in {name}, not in degrees of WGS 84; convert it, for instance with `ogr2ogr -t_srs EPSG:4326`"
    )]
    Crs {
        /// The system's name.
        name: String,
    },
    /// A geometry of a type that RFC 7946 does not have.
    #[error("the geometry's type is {found}, which GeoJSON does not have")]
    UnknownGeometry {
        /// The type as JSON.
        found: String,
    },
    /// Coordinates that do not fit the geometry's type.
    #[error("the coordinates of a {of} must be {wanted}")]
    Coordinates {
        /// The geometry's type.
        of: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// Longitude or latitude out of range.
    #[error(transparent)]
    OffTheMap(#[from] GeoError),
    /// A line too short, a ring that is not closed.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// Neither an object nor `null`.
    #[error(
        "the properties are neither an object nor null, or not to be kept: nested more than 64 deep, a number beyond doubles, half a character"
    )]
    Properties,
    /// A member that cannot be kept.
    #[error(
        "its \"{name}\" is not to be kept: nested more than 64 deep, a number beyond doubles, or half a character"
    )]
    Member {
        /// Its name.
        name: String,
    },
    /// Neither a text nor a number.
    #[error("the feature's id is {found}; it must be a string or a number")]
    IdType {
        /// The id as JSON.
        found: String,
    },
    /// A property of an element is not as it is written here.
    #[error("the property {name:?} of an element must be {wanted}")]
    Property {
        /// Its name.
        name: &'static str,
        /// What belongs there.
        wanted: &'static str,
    },
    /// What an element is made of is not said.
    #[error(
        "the feature does not say {what:?}: what an element is made of cannot be seen from its geometry, so it stays as it was"
    )]
    Unsaid {
        /// The property that would.
        what: &'static str,
    },
    /// A way whose geometry was made longer or shorter than it has nodes.
    #[error(
        "the way has {nodes} nodes and its geometry {positions} positions; which of them are new, a program for OpenStreetMap can say"
    )]
    Misfit {
        /// Nodes with a position.
        nodes: usize,
        /// Positions.
        positions: usize,
    },
    /// Its own id names one element, its properties another.
    #[error("the feature's id is {id}, but its properties \"@type\" and \"@id\" say that it is {other}")]
    TwoIds {
        /// The one.
        id: String,
        /// The other.
        other: String,
    },
    /// An element's tag that is an object or a list.
    #[error("the tag {key:?} of an element must be a text")]
    TagValue {
        /// Its key.
        key: String,
    },
    /// The id breaks a rule.
    #[error(transparent)]
    Id(#[from] IdError),
}
