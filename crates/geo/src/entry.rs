//! What goes into an entry for a change of a feature. Links to what it replaces are the caller's part.

use crate::body::{self, MAX_BODY};
use crate::{Body, Element, Feature, FeatureError, Meta, Shape, check, id};
use bincode::{Decode, Encode};
use kappadb_core::{Timestamp, codec};
use kappadb_entry::Places;

/// Code, in the map's space, of an entry that creates or replaces a feature; its payload is the body.
pub const CODE_PUT: u8 = 0;
/// The same for a node without tags: it is there for what is made of it, and is no answer to a box.
pub const CODE_BARE: u8 = 2;
/// Code, in the map's space, of an entry that deletes a feature. It has no place; its payload is the edit of
/// OpenStreetMap that it comes from, or nothing.
pub const CODE_DELETE: u8 = 1;

/// Bytes that name the edit that a delete comes from: more than any user's name needs.
const MAX_DELETE: usize = 4 << 10;

/// The parts of an entry that depend on the feature alone.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Prepared {
    /// [`CODE_PUT`], [`CODE_BARE`] or [`CODE_DELETE`].
    pub code: u8,
    /// The feature's id.
    pub key: Vec<u8>,
    /// Its extent; nowhere for a delete.
    pub places: Places,
    /// The ids of what it is made of ([`Feature::refs`]).
    pub refs: Vec<Vec<u8>>,
    /// Its body; for a delete, the edit that it comes from or nothing.
    pub payload: Vec<u8>,
    /// When the edit of OpenStreetMap that it comes from was made, if that is known.
    pub edited: Option<Timestamp>,
}

/// An entry that says what a feature is. Fails if the feature breaks a rule or is too large, so that whatever is
/// written can be read by everyone.
pub fn put(feature: &Feature) -> Result<Prepared, FeatureError> {
    check::check_all(feature)?;
    let payload = body::encode(&feature.body);
    if payload.len() > MAX_BODY {
        return Err(FeatureError::TooLarge { id: feature.id.clone(), bytes: payload.len(), limit: MAX_BODY });
    }
    Ok(Prepared {
        code: if feature.is_bare() { CODE_BARE } else { CODE_PUT },
        key: feature.id.clone().into_bytes(),
        places: Places::on_map(&feature.extent()),
        refs: feature.refs().into_iter().map(String::into_bytes).collect(),
        payload,
        edited: feature.edited(),
    })
}

/// An entry that says that a feature is gone, and by which edit of OpenStreetMap if it comes from there.
pub fn delete(id: &str, edit: Option<&Meta>) -> Result<Prepared, FeatureError> {
    id::check(id)?;
    let payload = edit.map(codec::encode).unwrap_or_default();
    if payload.len() > MAX_DELETE {
        return Err(FeatureError::TooLarge { id: id.to_owned(), bytes: payload.len(), limit: MAX_DELETE });
    }
    Ok(Prepared {
        code: CODE_DELETE,
        key: id.as_bytes().to_vec(),
        places: Places::NOWHERE,
        refs: Vec::new(),
        payload,
        edited: edit.and_then(|meta| meta.edit.time),
    })
}

/// Which edit of OpenStreetMap a delete comes from, from its entry's payload.
pub fn decode_delete(payload: &[u8]) -> Result<Option<Meta>, codec::DecodeError> {
    if payload.is_empty() {
        return Ok(None);
    }
    codec::decode::<Meta, MAX_DELETE>("map delete", payload).map(Some)
}

impl Feature {
    /// True for a node without tags.
    pub fn is_bare(&self) -> bool {
        matches!(&self.body, Body::Osm(Element { shape: Shape::Node(_), tags, .. }) if tags.is_empty())
    }

    /// The ids of what it is made of: a way's nodes, a relation's members; in their order, without those that come again
    /// right after each other.
    pub fn refs(&self) -> Vec<String> {
        let Body::Osm(element) = &self.body else { return Vec::new() };
        let mut refs: Vec<String> = match &element.shape {
            Shape::Node(_) => Vec::new(),
            Shape::Way(nodes) => nodes.iter().map(|node| id::osm(id::ElementKind::Node, node.id)).collect(),
            Shape::Relation { members, .. } => {
                members.iter().map(|member| id::osm(member.kind, member.id)).collect()
            }
        };
        refs.dedup();
        refs
    }
}
