//! Names and times for programs that pass them on, as JSON or otherwise: a name is its text, a time its milliseconds.

use crate::{DatabaseId, EntryId, FeedKey, Timestamp};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Reads a text.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_text {
    ($($type:ty)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Text(PhantomData))
            }
        }
    )*};
}

as_text! { DatabaseId EntryId FeedKey }

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_texts_and_times_are_milliseconds() {
        let id = EntryId { feed: FeedKey([7; 32]), seq: 3 };
        let json = serde_json::to_string(&(id, id.feed, DatabaseId([1; 32]), Timestamp(-5))).unwrap();
        assert_eq!(json, format!(r#"["{id}","{}","{}",-5]"#, id.feed, DatabaseId([1; 32])));
        let (again, feed, _, time): (EntryId, FeedKey, DatabaseId, Timestamp) =
            serde_json::from_str(&json).unwrap();
        assert_eq!((again, feed, time), (id, id.feed, Timestamp(-5)));
        let error = serde_json::from_str::<EntryId>(r#""7""#).unwrap_err().to_string();
        assert!(error.contains("is not an entry id"), "{error}");
    }
}
