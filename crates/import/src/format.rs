use std::io::{self, Read};

/// What a file is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// A blob header that says `OSMHeader`.
    Pbf,
    /// A JSON object, or the record separator of RFC 8142.
    Json,
    /// Markup.
    Xml,
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
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'{' | 0x1e) => Some(Format::Json),
        Some(b'<') => Some(Format::Xml),
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
        for foreign in [&b""[..], b"[1]", b"\xff\xfe<\0", b"\0\0\0\x0d\x0a\x07OSMData", b"   "] {
            assert_eq!(of_bytes(foreign), None);
        }
    }
}
