//! What goes into an entry for a change of a feature. Links to what it replaces are the caller's part.

use crate::body::{self, MAX_BODY};
use crate::{Feature, FeatureError, id};
use kappadb_entry::Places;

/// Code, in the map's space, of an entry that creates or replaces a feature; its payload is the body.
pub const CODE_PUT: u8 = 0;
/// Code, in the map's space, of an entry that deletes a feature; it has no payload and no place.
pub const CODE_DELETE: u8 = 1;

/// The parts of an entry that depend on the feature alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The feature's id.
    pub key: Vec<u8>,
    /// Its extent; nowhere for a delete.
    pub places: Places,
    /// Its body; empty for a delete.
    pub payload: Vec<u8>,
}

/// An entry that says what a feature is. Fails if the feature breaks a rule or is too large, so that whatever is
/// written can be read by everyone.
pub fn put(feature: &Feature) -> Result<Prepared, FeatureError> {
    body::check(feature)?;
    let payload = body::encode(&feature.body);
    if payload.len() > MAX_BODY {
        return Err(FeatureError::TooLarge { id: feature.id.clone(), bytes: payload.len(), limit: MAX_BODY });
    }
    // Public fields may hold what the format forbids, such as a position off the map.
    body::decode(&feature.id, &payload)?;
    Ok(Prepared { key: feature.id.clone().into_bytes(), places: Places::on_map(&feature.extent()), payload })
}

/// An entry that says that a feature is gone.
pub fn delete(id: &str) -> Result<Prepared, FeatureError> {
    id::check(id)?;
    Ok(Prepared { key: id.as_bytes().to_vec(), places: Places::NOWHERE, payload: Vec::new() })
}
