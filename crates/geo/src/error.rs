use crate::geometry::GeometryError;
use crate::id::IdError;
use kappadb_core::codec::DecodeError;

/// Why a feature cannot be put in a block, or a block's payload is no feature.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// Its id breaks a rule.
    #[error(transparent)]
    Id(#[from] IdError),
    /// An id of the OSM form on something else, or an OSM element with another id.
    #[error(
        "the id {id:?} does not fit: n1, w1 and r1 are for OSM nodes, ways and relations, and only for them"
    )]
    WrongKind {
        /// The id.
        id: String,
    },
    /// A line too short, a ring that is not closed.
    #[error("{id}: {source}")]
    Geometry {
        /// The feature's id.
        id: String,
        /// What is wrong with it.
        source: GeometryError,
    },
    /// Its body is larger than a feature's may be.
    #[error("{id} has {bytes} bytes, more than the {limit} that a feature may have")]
    TooLarge {
        /// The feature's id.
        id: String,
        /// Bytes of its body.
        bytes: usize,
        /// [`crate::MAX_BODY`].
        limit: usize,
    },
    /// The payload, or what was to become one, breaks a rule of the format.
    #[error("{id}: {source}")]
    Body {
        /// The feature's id.
        id: String,
        /// The rule.
        source: DecodeError,
    },
}
