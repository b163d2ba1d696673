//! Feature ids.
//!
//! - OSM elements: `n1`, `w1`, `r1` (a letter and the element's number, which may be negative).
//! - A GeoJSON feature keeps its own id; the number `7` and the string `"7"` are one id. One that looks like an OSM element's, or is a whole
//!   number, is written `g:` and the id.
//! - Whole numbers are mostly the numbers of a file's rows. So an import gives such a feature `f:`, a name for the file, and the number
//!   (`f:0123456789abcdef:7`).
//! - A GeoJSON feature without an id gets `h:` and the BLAKE2b-256 digest, in hex, of its body as it is stored.
//!
//! So what is written out and read in again keeps its id.

use bincode::{Decode, Encode};
use kappadb_core::blake2b256;
use kappadb_core::limits::MAX_FEATURE_ID;

/// The three sorts of OSM elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum ElementKind {
    /// A position.
    Node,
    /// A line or a ring of nodes.
    Way,
    /// Elements with roles.
    Relation,
}

/// Why a text is no feature id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// No character in it.
    #[error("a feature's id must not be empty")]
    Empty,
    /// More than [`MAX_FEATURE_ID`] bytes.
    #[error("a feature's id of {bytes} bytes is longer than the {MAX_FEATURE_ID} allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Ids are written one a line.
    #[error("the feature's id {0:?} holds a control character")]
    Control(String),
}

impl ElementKind {
    /// `n`, `w` or `r`.
    pub fn letter(self) -> char {
        match self {
            ElementKind::Node => 'n',
            ElementKind::Way => 'w',
            ElementKind::Relation => 'r',
        }
    }

    /// `node`, `way` or `relation`.
    pub fn name(self) -> &'static str {
        match self {
            ElementKind::Node => "node",
            ElementKind::Way => "way",
            ElementKind::Relation => "relation",
        }
    }
}

/// The id of an OSM element.
pub fn osm(kind: ElementKind, number: i64) -> String {
    format!("{}{number}", kind.letter())
}

/// Which OSM element an id names, if it names one.
pub fn parse_osm(id: &str) -> Option<(ElementKind, i64)> {
    let kind = match id.chars().next()? {
        'n' => ElementKind::Node,
        'w' => ElementKind::Way,
        'r' => ElementKind::Relation,
        _ => return None,
    };
    let number = id.get(1..)?;
    // One element has one id: `n01`, `n-0` and `n+1` name none.
    let is_plain = is_whole_number(number) && number != "-0";
    Some((kind, number.parse().ok().filter(|_| is_plain)?))
}

/// The id of a GeoJSON feature whose own is `text`.
pub fn free(text: &str) -> Result<String, IdError> {
    let is_taken = looks_like_osm(text) || is_whole_number(text);
    let id = if is_taken { format!("g:{text}") } else { text.to_owned() };
    check(&id).map(|()| id)
}

/// Which rows a file's row numbers are of: those of another scope are other features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows(String);

impl Rows {
    /// Those of a scope of this name, which may be any bytes.
    pub fn of(scope: &[u8]) -> Rows {
        let digest = blake2b256(&[b"rows", scope]).0;
        let start = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Rows(format!("{start:016x}"))
    }

    /// True if this is the id of one of these rows.
    pub fn has(&self, id: &str) -> bool {
        id.strip_prefix("f:")
            .and_then(|rest| rest.strip_prefix(&self.0))
            .is_some_and(|rest| rest.starts_with(':'))
    }

    /// The id of the feature with the id `text` in a file; none if that is no whole number.
    pub fn id(&self, text: &str) -> Option<Result<String, IdError>> {
        let id = is_whole_number(text).then(|| format!("f:{}:{text}", self.0))?;
        Some(check(&id).map(|()| id))
    }
}

/// As a row's number is written: `007` is none.
fn is_whole_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits == "0" || !digits.starts_with('0');
    is_plain && !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A letter and digits, whether or not an element can have that number.
fn looks_like_osm(text: &str) -> bool {
    let number = text.strip_prefix(['n', 'w', 'r']).map(|rest| rest.strip_prefix(['-', '+']).unwrap_or(rest));
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// The id of a GeoJSON feature that has none, from its body's bytes.
pub(crate) fn of_content(body: &[u8]) -> String {
    format!("h:{}", blake2b256(&[body]))
}

/// Checks the rules that hold for every id.
pub fn check(id: &str) -> Result<(), IdError> {
    match id.len() {
        0 => Err(IdError::Empty),
        bytes if bytes > MAX_FEATURE_ID => Err(IdError::TooLong { bytes }),
        _ if id.chars().any(char::is_control) => Err(IdError::Control(id.to_owned())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn osm_ids_have_one_form() {
        assert_eq!(parse_osm("n1"), Some((ElementKind::Node, 1)));
        assert_eq!(parse_osm("w-7"), Some((ElementKind::Way, -7)));
        for other in
            ["", "n", "n01", "n-01", "n-0", "n+1", "n--1", "x1", "n1a", "N1", "n99999999999999999999", "é1"]
        {
            assert_eq!(parse_osm(other), None, "{other}");
        }
    }

    #[test]
    fn ids_that_look_like_osm_elements_are_set_apart() {
        assert_eq!(free("n1").as_deref(), Ok("g:n1"));
        assert_eq!(free("w-1").as_deref(), Ok("g:w-1"));
        assert_eq!(free("n01").as_deref(), Ok("g:n01"));
        for kept in ["1a", "1.5", "007", "-", "node", "n1a", "g:n1", "g:g:n1", "h:00", "n", "r-"] {
            assert_eq!(free(kept).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn whole_numbers_are_set_apart_by_the_rows_that_they_number() {
        for number in ["7", "0", "-1", "123456789012345678901"] {
            assert_eq!(free(number), Ok(format!("g:{number}")));
            let id = Rows::of(b"a").id(number).unwrap().unwrap();
            assert!(id.starts_with("f:") && id.ends_with(&format!(":{number}")), "{id}");
            assert_ne!(Rows::of(b"b").id(number), Some(Ok(id.clone())));
            assert_eq!(
                (free(&id).as_ref(), Rows::of(b"a").id(&id)),
                (Ok(&id), None),
                "written and read again"
            );
            assert_eq!(Rows::of(b"a").id(&format!("g:{number}")), None);
        }
        for other in ["", "-", "007", "1.5", "x", "+1", "n1"] {
            assert_eq!(Rows::of(b"a").id(other), None, "{other}");
        }
    }

    #[test]
    fn ids_have_limits() {
        assert_eq!(free(""), Err(IdError::Empty));
        assert_eq!(free(&"x".repeat(256)), Err(IdError::TooLong { bytes: 256 }));
        assert!(free(&"x".repeat(255)).is_ok());
        assert!(matches!(free("a\nb"), Err(IdError::Control(_))));
    }
}
