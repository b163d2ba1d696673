//! What bytes and names are called in lines of JSON. Results of questions say themselves by these names, for whoever passes them on.

use bytes::Bytes;
use data_encoding::BASE64;
use kappadb_core::EntryId;
use serde::ser::{SerializeMap, Serializer};

/// Bytes under a name, as text; what is no UTF-8 as base64, under the name with `_base64`. None is null.
pub(crate) fn bytes<M: SerializeMap>(map: &mut M, name: &str, bytes: Option<&[u8]>) -> Result<(), M::Error> {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => map.serialize_entry(name, &()),
        Some(Ok(text)) => map.serialize_entry(name, text),
        Some(Err(bytes)) => map.serialize_entry(&format!("{name}_base64"), &BASE64.encode(bytes)),
    }
}

pub(crate) fn key<S: Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    bytes(&mut map, "key", Some(key))?;
    map.end()
}

#[expect(clippy::ref_option, reason = "what serde calls it with")]
pub(crate) fn value<S: Serializer>(value: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    bytes(&mut map, "value", value.as_deref())?;
    map.end()
}

/// An entry by its id, and its author.
pub(crate) fn written<S: Serializer>(id: &EntryId, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("id", id)?;
    map.serialize_entry("author", &id.feed)?;
    map.end()
}
