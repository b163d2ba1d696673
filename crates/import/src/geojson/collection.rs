//! FeatureCollections, one feature in memory at a time. Their members may come in any order.

use super::{Place, Sink};
use crate::error::ImportError;
use crate::source::Source;
use kappadb_geo::GeoJsonError;
use kappadb_geo::geojson::check_crs;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};

/// Reads all features of collections one after the other into the sink.
pub(super) fn read(source: &Source, reader: impl Read, sink: &mut Sink<'_>) -> Result<(), ImportError> {
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    loop {
        let mut trouble = None;
        let collection = Collection { sink: &mut *sink, trouble: &mut trouble };
        let read = collection.deserialize(&mut deserializer);
        match (trouble, read) {
            (Some(Trouble::Spool(e)), _) => return Err(sink.unspooled(e)),
            (Some(Trouble::Refused(reason)), _) => {
                return Err(ImportError::Refused { path: source.path.clone(), reason });
            }
            (None, Err(e)) => return Err(sink.explain(source, &e, "the FeatureCollection")),
            (None, Ok(())) => sink.meter.allow_one_more(),
        }
        match deserializer.end() {
            Ok(()) => return Ok(()),
            // Something follows.
            Err(e) if e.is_syntax() => {}
            Err(e) => return Err(sink.explain(source, &e, "the FeatureCollection")),
        }
    }
}

/// Reads the features of a collection that is one record of others, and starts at `place`.
pub(super) fn take(text: &str, place: Place, sink: &mut Sink<'_>) -> io::Result<()> {
    let members: BTreeMap<String, &RawValue> = match serde_json::from_str(text) {
        Ok(members) => members,
        Err(e) => return skip(GeoJsonError::NotJson { reason: e.to_string() }, place, sink),
    };
    if let Some(Err(reason)) = members.get("crs").map(|crs| check_crs(crs.get())) {
        return skip(reason, place, sink);
    }
    let listed = members.get("features").map(|features| serde_json::from_str(features.get()));
    let features: Vec<&RawValue> = match listed {
        Some(Ok(features)) => features,
        Some(Err(e)) => return skip(GeoJsonError::NotJson { reason: e.to_string() }, place, sink),
        None => return skip(GeoJsonError::NoFeatures, place, sink),
    };
    sink.begin_collection();
    for feature in features {
        let before = (feature.get().as_ptr().addr()).checked_sub(text.as_ptr().addr());
        let before = before.and_then(|len| text.get(..len)).unwrap_or_default();
        sink.take(feature.get(), place.after(before))?;
    }
    members
        .into_keys()
        .filter(|name| !KNOWN.contains(&name.as_str()))
        .for_each(|name| sink.note_member(name));
    Ok(())
}

/// Members of a collection that are used.
const KNOWN: [&str; 3] = ["type", "features", "crs"];

fn skip(reason: GeoJsonError, place: Place, sink: &mut Sink<'_>) -> io::Result<()> {
    sink.recognised += 1;
    sink.skip(place, None, reason.into());
    Ok(())
}

/// Why reading ends that the parser does not know.
enum Trouble {
    Spool(io::Error),
    Refused(GeoJsonError),
}

/// The collection's object, then the array of its features.
struct Collection<'a, 'b> {
    sink: &'a mut Sink<'b>,
    trouble: &'a mut Option<Trouble>,
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
        self.sink.begin_collection();
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
                "crs" => {
                    let crs = map.next_value::<Box<RawValue>>()?;
                    if let Err(reason) = check_crs(crs.get()) {
                        *self.trouble = Some(Trouble::Refused(reason));
                        return Err(A::Error::custom("refused"));
                    }
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    self.sink.note_member(name);
                }
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
            let place = sink.place_of(raw.get());
            if let Err(e) = sink.take(raw.get(), place) {
                *trouble = Some(Trouble::Spool(e));
                return Err(A::Error::custom("the spool failed"));
            }
            sink.meter.allow_one_more();
        }
        Ok(())
    }
}
