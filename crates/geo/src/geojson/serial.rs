use super::{from_geojson, to_geojson};
use crate::Feature;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;

/// As GeoJSON: [`to_geojson`].
impl Serialize for Feature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        to_geojson(self).serialize(serializer)
    }
}

/// Of GeoJSON: [`from_geojson`].
impl<'de> Deserialize<'de> for Feature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_geojson(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}
