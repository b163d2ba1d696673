//! How a GeoJSON file is laid out, by its beginning.

use super::records::RS;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One FeatureCollection.
    Collection,
    /// One value between each two of these bytes.
    Lines(u8),
    /// Values over several lines each.
    Values,
}

/// Looks at the file, which `open` opens from its start.
pub(super) fn detect<R: Read, E: From<io::Error>>(
    open: &mut dyn FnMut() -> Result<R, E>,
) -> Result<Layout, E> {
    let mut reader = BufReader::new(open()?);
    let start = reader.fill_buf()?;
    if start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&RS) {
        return Ok(Layout::Lines(RS));
    }
    if is_collection(reader) {
        return Ok(Layout::Collection);
    }
    let first = serde_json::Deserializer::from_reader(open()?).into_iter::<Box<RawValue>>().next();
    Ok(match first {
        Some(Ok(value)) if value.get().contains('\n') => Layout::Values,
        // The file is one value that does not end.
        Some(Err(e)) if e.is_eof() => Layout::Values,
        _ => Layout::Lines(b'\n'),
    })
}

/// True if the first value is a FeatureCollection, as far as that can be seen.
fn is_collection(reader: impl Read) -> bool {
    let found = Cell::new(false);
    // Stops with an error of its own as soon as it is known.
    let _ = Detector(&found).deserialize(&mut serde_json::Deserializer::from_reader(reader));
    found.get()
}

struct Detector<'a>(&'a Cell<bool>);

impl<'de> DeserializeSeed<'de> for Detector<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Detector<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let known = match name.as_str() {
                "features" => true,
                "type" => map.next_value::<String>()? == "FeatureCollection",
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            self.0.set(known);
            return Err(A::Error::custom("known"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(text: &str) -> Layout {
        detect::<_, io::Error>(&mut || Ok(text.as_bytes())).unwrap()
    }

    #[test]
    fn the_beginning_tells() {
        assert_eq!(layout(r#"{"type":"FeatureCollection","fea"#), Layout::Collection);
        assert_eq!(layout(r#"{"bbox":[1,{"type":"x"}],"features":["#), Layout::Collection);
        assert_eq!(layout("{\"type\":\"Feature\"}\n{}"), Layout::Lines(b'\n'));
        assert_eq!(layout("{\"type\":\"Feature\",\n\"id\":1}"), Layout::Values);
        assert_eq!(layout("{\"type\":\"Feature\",\n\"id\":"), Layout::Values);
        assert_eq!(layout("\x1e{\"type\":\"Feature\"}\n"), Layout::Lines(RS));
        assert_eq!(layout("{oops\n{\"type\":\"Feature\"}"), Layout::Lines(b'\n'));
    }
}
