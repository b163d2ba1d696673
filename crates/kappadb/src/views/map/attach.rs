//! Photos and other files attached to features: a blob, and a tag or property that names it.

use super::{AttachError, Map, draft};
use crate::engine::batch::Batch;
use crate::error::{ReadError, WriteError};
use crate::views::blobs;
use crate::views::map::MapParts;
use crate::write::Write;
use kappadb_core::EntryId;
use kappadb_entry::Label;
use kappadb_geo::{Body, Feature};
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use tokio::io::AsyncRead;

/// What the key of a tag or property that names a blob begins with; the attachment's name follows.
const PREFIX: &str = "attachment:";
/// Bytes in the name of an attachment: the tag's key must not be longer than OSM allows.
const MAX_NAME: usize = 255 - PREFIX.len();

/// A blob that a feature names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// What it is called there.
    pub name: String,
    /// The blob: see [`Blobs`](crate::Blobs).
    pub blob: EntryId,
}

impl Map {
    /// Writes what `reader` gives as a blob, and a new version of the feature that names it: with the tag (OSM elements) or the
    /// top-level property (others) `attachment:<name>` = `<feed hex>/<seq>`. One of the same name is replaced. Durable when
    /// it returns the blob.
    ///
    /// Whoever asks for the feature learns that there is a blob, not its bytes; [`Blobs::fetch`](crate::Blobs::fetch) gets
    /// these, or a part of them.
    ///
    /// # Errors
    /// If there is no such feature, or several current versions of it (which to attach to is for people to say), or its
    /// content is not here. All that is looked at before the reader is read, and once more after.
    pub async fn attach(
        &self,
        id: &str,
        name: &str,
        reader: impl AsyncRead + Unpin,
        label: Label,
    ) -> Result<EntryId, AttachError> {
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(AttachError::Name(name.to_owned()));
        }
        let (key, id) = (format!("{PREFIX}{name}"), id.to_owned());
        let before = id.clone();
        self.run_writing(move |parts| attachable(parts, &before)).await??;
        let blob = blobs::put(&self.parts, reader, label).await?;
        let edit = move |parts: &MapParts, batch: &mut Batch| {
            let mut feature = attachable(parts, &id)?;
            set(&mut feature.body, &key, &blob.to_string());
            let prepared = kappadb_geo::put(&feature).map_err(WriteError::from)?;
            batch.replace(parts, &parts.map, draft(prepared))?;
            Ok::<_, AttachError>(())
        };
        Write::apart(&self.parts, edit).await?;
        Ok(blob)
    }

    /// The blobs that a feature names, in its order.
    pub fn attachments(feature: &Feature) -> Vec<Attachment> {
        let named = |(key, value): (&str, &str)| {
            Some(Attachment { name: key.strip_prefix(PREFIX)?.to_owned(), blob: value.parse().ok()? })
        };
        match &feature.body {
            Body::Osm(element) => element.tags.iter().filter_map(|(k, v)| named((k, v))).collect(),
            Body::Free(free) => {
                let texts = members(&free.properties).into_iter().filter_map(|(key, value)| {
                    Some((key, serde_json::from_str::<String>(value.get()).ok()?))
                });
                texts.filter_map(|(key, value)| named((&key, &value))).collect()
            }
        }
    }
}

/// Has a feature name other blobs, where there are others for those that it names.
pub(super) fn attach_others(feature: &mut Feature, others: &BTreeMap<EntryId, EntryId>) {
    for Attachment { name, blob } in Map::attachments(feature) {
        if let Some(other) = others.get(&blob) {
            set(&mut feature.body, &format!("{PREFIX}{name}"), &other.to_string());
        }
    }
}

/// The one current version of a feature.
fn attachable(parts: &MapParts, id: &str) -> Result<Feature, AttachError> {
    let hit = parts.feature(id).map_err(WriteError::from)?;
    let hit = hit.ok_or_else(|| AttachError::NoFeature(id.to_owned()))?;
    let found = parts.load_feature(&hit).map_err(|e: ReadError| WriteError::from(e))?;
    if found.is_conflict() {
        return Err(AttachError::Conflict(id.to_owned()));
    }
    let feature = found.versions.into_iter().find_map(|version| version.feature);
    feature.ok_or_else(|| AttachError::NoContent(id.to_owned()))
}

/// Sets a tag or a top-level property; all else stays as it was written.
fn set(body: &mut Body, key: &str, value: &str) {
    match body {
        Body::Osm(element) => match element.tags.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => value.clone_into(old),
            None => element.tags.push((key.to_owned(), value.to_owned())),
        },
        Body::Free(free) => {
            let text = |text: &str| Value::from(text).to_string();
            let others = members(&free.properties).into_iter().filter(|(k, _)| k != key);
            let others = others.map(|(k, v)| format!("{}:{}", text(&k), v.get()));
            let all: Vec<String> = others.chain([format!("{}:{}", text(key), text(value))]).collect();
            free.properties = format!("{{{}}}", all.join(","));
        }
    }
}

/// The members of a JSON object, in its order, repeats included, values as they are written; of `null` none.
fn members(properties: &str) -> Vec<(String, Box<RawValue>)> {
    let members: Option<Members> = serde_json::from_str(properties).ok().flatten();
    members.map(|Members(members)| members).unwrap_or_default()
}

struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(Vec::new()))
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Members, A::Error> {
        while let Some(member) = map.next_entry()? {
            self.0.push(member);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_geo::geojson;

    #[test]
    fn properties_stay_as_they_were_written() {
        let text = |properties: &str| {
            format!(
                r#"{{"type":"Feature","id":"x","properties":{properties},"geometry":{{"type":"Point","coordinates":[1,2]}}}}"#
            )
        };
        let cases = [
            ("null", r#"{"k":"v"}"#),
            ("{}", r#"{"k":"v"}"#),
            (r#"{"z":1.10,"a":{"k":1e3},"z":"\u00e4"}"#, r#"{"z":1.10,"a":{"k":1e3},"z":"\u00e4","k":"v"}"#),
            (r#"{"k":[1],"b":2,"k":3}"#, r#"{"b":2,"k":"v"}"#),
        ];
        for (before, after) in cases {
            let Ok(mut feature) = geojson::from_text(&text(before)) else { unreachable!("{before}") };
            set(&mut feature.body, "k", "v");
            let Body::Free(free) = &feature.body else { unreachable!("{before}") };
            assert_eq!(free.properties, after);
            assert!(kappadb_geo::put(&feature).is_ok());
        }
    }
}
