//! A FeatureCollection, one feature in memory at a time. Its members may come in any order.

use super::Sink;
use crate::error::ImportError;
use crate::source::Source;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::io::{self, Read};

/// Reads all features of a collection into the sink.
pub(super) fn read(source: &Source, reader: impl Read, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let mut trouble = None;
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let collection = Collection { sink: &mut *sink, trouble: &mut trouble };
    let read = collection.deserialize(&mut deserializer).and_then(|()| {
        sink.meter.allow_one_more();
        deserializer.end()
    });
    match (trouble, read) {
        (Some(e), _) => Err(sink.unspooled(e)),
        (None, Ok(())) => Ok(()),
        (None, Err(e)) => Err(sink.explain(source, &e, "the FeatureCollection")),
    }
}

/// The collection's object, then the array of its features.
struct Collection<'a, 'b> {
    sink: &'a mut Sink<'b>,
    trouble: &'a mut Option<io::Error>,
}

struct Features<'a, 'b>(Collection<'a, 'b>);

impl<'de> DeserializeSeed<'de> for Collection<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Collection<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a FeatureCollection")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(name) = map.next_key::<String>()? {
            self.sink.meter.allow_one_more();
            match name.as_str() {
                "features" if found => return Err(A::Error::custom("\"features\" twice")),
                "features" => {
                    found = true;
                    let features = Collection { sink: &mut *self.sink, trouble: &mut *self.trouble };
                    map.next_value_seed(Features(features))?;
                }
                "type" if map.next_value::<String>()? != "FeatureCollection" => {
                    return Err(A::Error::custom("the type is not FeatureCollection"));
                }
                "type" => {}
                _ => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        if found { Ok(()) } else { Err(A::Error::custom("a FeatureCollection without \"features\"")) }
    }
}

impl<'de> DeserializeSeed<'de> for Features<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Features<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of Features")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Features(Collection { sink, trouble }) = self;
        while let Some(raw) = seq.next_element::<Box<RawValue>>()? {
            let line = sink.line_of(raw.get());
            if let Err(e) = sink.take(raw.get(), line) {
                *trouble = Some(e);
                return Err(A::Error::custom("the spool failed"));
            }
            sink.meter.allow_one_more();
        }
        Ok(())
    }
}
