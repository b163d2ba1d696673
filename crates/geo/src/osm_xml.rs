//! OSM XML, version 0.6, out: one element at a time, nothing of it kept.
//!
//! What JOSM, osmium and OpenStreetMap's own programs read: nodes with their positions, ways with the ids of their nodes,
//! relations with their members; tags; and which edit each comes from, as far as that is known. Positions belong to nodes
//! alone, so a way is drawn by a reader only if its nodes are in the file too: [`Writer::write_vertex`] is for those that
//! are no features of their own.
//!
//! - Elements are written in the order in which they are given. Programs expect nodes, then ways, then relations, each by
//!   ascending ids.
//! - What the source did not say is left out: a reader must not take a guess for a fact. `visible` is omitted; what is deleted is not written at all.
//! - Values that these programs cannot read are left out: a version, changeset or author's number beyond 31 bits, a time
//!   outside the years 1970 to 9999. Times are to the second, all that OpenStreetMap has. The least and the greatest number of 64 bits are no ids
//!   for them: an element that has one, or refers to one, is refused.
//! - XML 1.0 has no way to write most control characters, nor U+FFFE and U+FFFF. Each is replaced by U+FFFD; an element is
//!   worth more than a stray character in its name. Tabs and line ends are kept.

use crate::id::{osm, parse_osm};
use crate::{Body, Edit, Element, ElementKind, Feature, Member, Shape, WayNode};
use kappadb_core::{Coord, Extent, Timestamp};
use std::fmt;
use std::io;

/// Bytes in a key, a value, a role or an author's name; osmium refuses a file with a longer one. OpenStreetMap itself takes
/// 255 characters.
pub const MAX_TEXT: usize = 1024;

/// Writes one document. Makes many small writes: give it a [`std::io::BufWriter`].
#[derive(Debug)]
pub struct Writer<W: io::Write> {
    out: W,
}

/// Why an element was not written. After all but [`XmlError::Io`] the document is as before, and the next element can be
/// written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XmlError {
    /// A GeoJSON feature, for which OSM XML has no form; or an element with an id of another kind.
    #[error("{id:?} is no element of OpenStreetMap: write it as GeoJSON")]
    NotAnElement {
        /// The feature's id.
        id: String,
    },
    /// A key, a value, a role or a name is longer than programs read.
    #[error("{id} has a text of {bytes} bytes, more than the {MAX_TEXT} that OSM XML may have")]
    TextTooLong {
        /// The feature's id.
        id: String,
        /// Its length.
        bytes: usize,
    },
    /// An id, its own or one that it refers to, at which programs stop reading.
    #[error("{id} has, or refers to, the id {number}, which programs for OSM XML do not read")]
    ExtremeId {
        /// The feature's id.
        id: String,
        /// The number.
        number: i64,
    },
    /// Nothing more can be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl<W: io::Write> Writer<W> {
    /// Begins a document, with what it covers if that is to be said: across the antimeridian two boxes.
    pub fn begin(mut out: W, bounds: Option<&Extent>) -> io::Result<Self> {
        writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
        writeln!(out, r#"<osm version="0.6" generator="kappadb">"#)?;
        for b in bounds.into_iter().flat_map(Extent::boxes) {
            let [west, south, east, north] = [b.west, b.south, b.east, b.north].map(Degrees);
            let low = format_args!(r#"minlat="{south}" minlon="{west}""#);
            writeln!(out, r#"  <bounds {low} maxlat="{north}" maxlon="{east}"/>"#)?;
        }
        Ok(Writer { out })
    }

    /// Writes a node, way or relation.
    pub fn write(&mut self, feature: &Feature) -> Result<(), XmlError> {
        let (number, element) = checked(feature)?;
        let tag = element.shape.kind().name();
        write!(self.out, r#"  <{tag} id="{number}""#)?;
        self.meta(element.version(), element.meta.as_ref().map(|meta| &meta.edit))?;
        if let Shape::Node(at) = element.shape {
            self.position(at)?;
        }
        match (&element.shape, element.tags.as_slice()) {
            (Shape::Node(_), []) => writeln!(self.out, "/>")?,
            (shape, tags) => {
                writeln!(self.out, ">")?;
                self.parts(shape)?;
                self.tags(tags)?;
                writeln!(self.out, "  </{tag}>")?;
            }
        }
        Ok(())
    }

    /// Writes a node that is no feature of its own: what a way says of it. Nothing if that is not where it is.
    pub fn write_vertex(&mut self, node: &WayNode) -> Result<(), XmlError> {
        let Some(at) = node.at else { return Ok(()) };
        if is_extreme(node.id) {
            return Err(XmlError::ExtremeId { id: osm(ElementKind::Node, node.id), number: node.id });
        }
        write!(self.out, r#"  <node id="{}""#, node.id)?;
        self.meta(node.version, node.edit.as_deref())?;
        self.position(at)?;
        Ok(writeln!(self.out, "/>")?)
    }

    /// Ends the document, flushes it, and gives back where it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        writeln!(self.out, "</osm>")?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn meta(&mut self, version: u32, edit: Option<&Edit>) -> io::Result<()> {
        let known = |value: i64| Some(value).filter(|value| (1..=i64::from(i32::MAX)).contains(value));
        if let Some(version) = known(version.into()) {
            write!(self.out, r#" version="{version}""#)?;
        }
        let Some(Edit { time, changeset, uid, user }) = edit else { return Ok(()) };
        if let Some(time) = time.filter(|time| (0..=LAST_MS).contains(&time.0)) {
            let whole = Timestamp(time.0 - time.0 % 1_000);
            write!(self.out, r#" timestamp="{whole}""#)?;
        }
        if let Some(changeset) = known(*changeset) {
            write!(self.out, r#" changeset="{changeset}""#)?;
        }
        if let Some(uid) = known(*uid) {
            write!(self.out, r#" uid="{uid}""#)?;
        }
        if !user.is_empty() {
            write!(self.out, r#" user="{}""#, Escaped(user))?;
        }
        Ok(())
    }

    fn position(&mut self, at: Coord) -> io::Result<()> {
        write!(self.out, r#" lat="{}" lon="{}""#, Degrees(at.lat), Degrees(at.lon))
    }

    fn parts(&mut self, shape: &Shape) -> io::Result<()> {
        match shape {
            Shape::Node(_) => Ok(()),
            Shape::Way(nodes) => {
                nodes.iter().try_for_each(|node| writeln!(self.out, r#"    <nd ref="{}"/>"#, node.id))
            }
            Shape::Relation { members, .. } => members.iter().try_for_each(|member| self.member(member)),
        }
    }

    fn member(&mut self, Member { kind, id, role }: &Member) -> io::Result<()> {
        let (kind, role) = (kind.name(), Escaped(role));
        writeln!(self.out, r#"    <member type="{kind}" ref="{id}" role="{role}"/>"#)
    }

    fn tags(&mut self, tags: &[(String, String)]) -> io::Result<()> {
        tags.iter().try_for_each(|(key, value)| {
            writeln!(self.out, r#"    <tag k="{}" v="{}"/>"#, Escaped(key), Escaped(value))
        })
    }
}

/// The end of the year 9999, in ms since the Unix epoch.
const LAST_MS: i64 = 253_402_300_799_999;

/// The number of an element that can be written.
fn checked(feature: &Feature) -> Result<(i64, &Element), XmlError> {
    let id = || feature.id.clone();
    let (Body::Osm(element), Some((kind, number))) = (&feature.body, parse_osm(&feature.id)) else {
        return Err(XmlError::NotAnElement { id: id() });
    };
    if kind != element.shape.kind() {
        return Err(XmlError::NotAnElement { id: id() });
    }
    if let Some(number) = std::iter::once(number).chain(numbers(element)).find(|number| is_extreme(*number)) {
        return Err(XmlError::ExtremeId { id: id(), number });
    }
    match texts(element).map(str::len).find(|bytes| *bytes > MAX_TEXT) {
        Some(bytes) => Err(XmlError::TextTooLong { id: id(), bytes }),
        None => Ok((number, element)),
    }
}

/// True for what osmium takes for the sign that a text is no number.
fn is_extreme(number: i64) -> bool {
    matches!(number, i64::MIN | i64::MAX)
}

/// The ids of what it is made of.
fn numbers(element: &Element) -> impl Iterator<Item = i64> {
    let (nodes, members) = match &element.shape {
        Shape::Node(_) => (&[][..], &[][..]),
        Shape::Way(nodes) => (nodes.as_slice(), &[][..]),
        Shape::Relation { members, .. } => (&[][..], members.as_slice()),
    };
    nodes.iter().map(|node| node.id).chain(members.iter().map(|member| member.id))
}

fn texts(element: &Element) -> impl Iterator<Item = &str> {
    let members = if let Shape::Relation { members, .. } = &element.shape { members.as_slice() } else { &[] };
    let tags = element.tags.iter().flat_map(|(key, value)| [key, value]);
    let user = element.meta.iter().map(|meta| &meta.edit.user);
    tags.chain(members.iter().map(|member| &member.role)).chain(user).map(String::as_str)
}

/// 1e-7 degrees as degrees with all seven decimals, exactly.
struct Degrees(i32);

impl fmt::Display for Degrees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DEGREE: u32 = 10_000_000;
        let (sign, units) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        write!(f, "{sign}{}.{:07}", units / DEGREE, units % DEGREE)
    }
}

/// A text as the value of an attribute.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        // Nearly all texts, at a glance. U+FFFE and U+FFFF begin with 0xef.
        if rest.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'&' | b'<' | b'>' | b'"' | 0xef)) {
            return f.write_str(rest);
        }
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| written_as(*c).is_some()) {
            let (plain, special) = rest.split_at(at);
            f.write_str(plain)?;
            f.write_str(written_as(c).unwrap_or_default())?;
            rest = special.strip_prefix(c).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

/// What stands for a character that cannot stand for itself. White space other than a blank would be read as a blank.
fn written_as(c: char) -> Option<&'static str> {
    match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\r' => Some("&#13;"),
        '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => Some("\u{fffd}"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_have_seven_decimals() {
        for (units, text) in [
            (0, "0.0000000"),
            (-1, "-0.0000001"),
            (1_800_000_000, "180.0000000"),
            (-1_234_567_890, "-123.4567890"),
            (601_642_003, "60.1642003"),
        ] {
            assert_eq!(Degrees(units).to_string(), text);
        }
    }

    #[test]
    fn special_characters_are_escaped_or_replaced() {
        assert_eq!(Escaped("").to_string(), "");
        assert_eq!(Escaped("Å & <b> \"q\" 'a'").to_string(), "Å &amp; &lt;b&gt; &quot;q&quot; 'a'");
        assert_eq!(
            Escaped("a\tb\r\n\u{0}\u{1f}\u{ffff}\u{7f}").to_string(),
            "a&#9;b&#13;&#10;\u{fffd}\u{fffd}\u{fffd}\u{7f}"
        );
    }
}
