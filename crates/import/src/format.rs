use std::io::{self, Read};

/// What to do with files that need more of their reader than is there.
pub(crate) const TO_PLAIN: &str = "convert it to a plain .osm.pbf, packed with zlib, lz4 or Zstandard";
pub(crate) const TO_COLLECTION: &str =
    "make it the \"features\" of a FeatureCollection, as GeoJSON (RFC 7946) has it";
pub(crate) const TO_UTF8: &str = "convert it to UTF-8";
/// Every version of each element.
pub(crate) const HISTORY: &str = "a reader of full history files";
pub(crate) const ONE_TIME: &str =
    "make a map of one time of it, for instance with `osmium time-filter`, and import that";

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A blob header that says `OSMHeader`.
    Pbf,
    /// A JSON object, or the record separator of RFC 8142.
    Json,
    /// Markup.
    Xml,
    /// Text in another encoding than UTF-8.
    Utf16,
    /// A JSON array.
    JsonArray,
}

/// Looks at the start of `content`.
pub(crate) fn detect(content: impl Read) -> io::Result<Option<Format>> {
    let mut start = Vec::new();
    content.take(4096).read_to_end(&mut start)?;
    Ok(of_bytes(&start))
}

fn of_bytes(start: &[u8]) -> Option<Format> {
    // u32 length of the blob header, then its first field (number 1, bytes): the type.
    if start.get(4..15) == Some(b"\x0a\x09OSMHeader") {
        return Some(Format::Pbf);
    }
    // With its mark, or an ASCII character without.
    if matches!(start, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'<' | b'{', 0, ..] | [0, b'<' | b'{', ..]) {
        return Some(Format::Utf16);
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'{' | 0x1e) => Some(Format::Json),
        Some(b'<') => Some(Format::Xml),
        Some(b'[') => Some(Format::JsonArray),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tells() {
        assert_eq!(of_bytes(b"\0\0\0\x0d\x0a\x09OSMHeader\x18\x7a"), Some(Format::Pbf));
        assert_eq!(of_bytes(b"\n { "), Some(Format::Json));
        assert_eq!(of_bytes(b"\xef\xbb\xbf{"), Some(Format::Json));
        assert_eq!(of_bytes(b"\x1e{"), Some(Format::Json));
        assert_eq!(of_bytes(b"\xef\xbb\xbf<osm>"), Some(Format::Xml));
        assert_eq!(of_bytes(b"\xff\xfe<\0"), Some(Format::Utf16));
        assert_eq!(of_bytes(b" [1]"), Some(Format::JsonArray));
        for foreign in [&b""[..], b"\0\0\0\x0d\x0a\x07OSMData", b"   "] {
            assert_eq!(of_bytes(foreign), None);
        }
    }
}
