//! One feature out of several versions that were written without knowledge of each other.

use crate::{Body, Feature};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What the versions say together. The first is the winner; the order of the others matters only where they alone
/// disagree. `versions` is not empty.
///
/// The geometry, the members and the edit are the winner's. Tags are those of all: the winner's come first, with its
/// values; what only others have follows, with the value of the first that has it. The same for the top-level members of a
/// GeoJSON feature's properties. Versions of another sort than the winner's add nothing.
pub fn merge(versions: &[&Feature]) -> Option<Feature> {
    let (winner, others) = versions.split_first()?;
    let mut merged = Feature::clone(winner);
    for other in others {
        match (&mut merged.body, &other.body) {
            (Body::Osm(merged), Body::Osm(other)) => {
                for (key, value) in &other.tags {
                    if merged.tag(key).is_none() {
                        merged.tags.push((key.clone(), value.clone()));
                    }
                }
            }
            (Body::Free(merged), Body::Free(other)) => {
                if let Some(joined) = join(&merged.properties, &other.properties) {
                    merged.properties = joined;
                }
            }
            _ => {}
        }
    }
    Some(merged)
}

/// Both objects' members, each value as it was written; none if that is the first as it stands.
fn join(first: &str, second: &str) -> Option<String> {
    type Members<'a> = BTreeMap<String, &'a RawValue>;
    let members =
        |text| serde_json::from_str::<Option<Members<'_>>>(text).ok().map(Option::unwrap_or_default);
    let (has, more) = (members(first)?, members(second)?);
    let added: Vec<String> = more
        .into_iter()
        .filter(|(key, _)| !has.contains_key(key))
        .map(|(key, value)| format!("{}:{value}", serde_json::Value::String(key)))
        .collect();
    let inner = first.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
    let comma = if inner.is_empty() { "" } else { "," };
    (!added.is_empty()).then(|| format!("{{{inner}{comma}{}}}", added.join(",")))
}
