//! What a box can be asked: from which level on, how many, in which order, from where on.

use crate::rank::Rank;
use kappadb_core::limits::MAX_FEATURE_ID;
use std::fmt;
use std::str::FromStr;

/// How to answer for a box. By default: everything, in the order of the ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Only what is at this level at least ([`kappadb_core::GeoBox::level`]), box by box; 0 leaves nothing out.
    pub level: u8,
    /// Features in the answer, at most; all without.
    pub limit: Option<usize>,
    /// Go on after this, which an answer to the same box, level and order gave.
    pub after: Option<Cursor>,
    /// Which come first.
    pub order: Order,
    /// Also nodes without tags.
    pub bare: bool,
}

/// Which features of an answer come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Bytewise by their ids. With a limit it still looks at all of the box, in memory for twice the limit.
    #[default]
    ById,
    /// By descending level, neighbours together. With a limit it looks at what comes first and little more, so it costs as much
    /// as the answer is long, however much there is in the box.
    LargestFirst,
}

/// How far an answer went. What stays as it was comes once, whatever else arrives or is merged between two questions.
/// As text it can be handed to others; it is of use with the box, level and order that it was given for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub(crate) Position);

impl Cursor {
    /// After the feature of this id, in the order of the ids.
    pub fn after_id(id: String) -> Cursor {
        Cursor(Position::Id(id))
    }
}

/// The last feature of an answer, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    Id(String),
    Ranked(Rank, String),
}

/// Why a text is no cursor, or a cursor none of this question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// Not what a cursor was written as.
    #[error("this is no cursor of a map query")]
    Malformed,
    /// The question asks for another order.
    #[error("the cursor is of a map query in another order")]
    OtherOrder,
}

impl Query {
    /// The id to go on after.
    ///
    /// # Errors
    /// If the cursor is of another order.
    pub fn after_id(&self) -> Result<Option<&str>, CursorError> {
        match &self.after {
            None => Ok(None),
            Some(Cursor(Position::Id(id))) => Ok(Some(id)),
            Some(_) => Err(CursorError::OtherOrder),
        }
    }

    /// The rank and id to go on after.
    pub(crate) fn after_rank(&self) -> Result<Option<(Rank, &str)>, CursorError> {
        match &self.after {
            None => Ok(None),
            Some(Cursor(Position::Ranked(rank, id))) => Ok(Some((*rank, id))),
            Some(_) => Err(CursorError::OtherOrder),
        }
    }
}

/// `i:<id>`, or `l<level>.<place on the curve, hexadecimal>:<id>`.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Position::Id(id) => write!(f, "i:{id}"),
            Position::Ranked(rank, id) => write!(f, "l{}.{:016x}:{id}", rank.level(), rank.hilbert()),
        }
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    /// Reads exactly what [`Cursor`]'s `Display` writes.
    fn from_str(text: &str) -> Result<Cursor, CursorError> {
        let cursor = parse(text).filter(|cursor| cursor.to_string() == text);
        cursor.ok_or(CursorError::Malformed)
    }
}

fn parse(text: &str) -> Option<Cursor> {
    let (place, id) = text.split_once(':')?;
    if id.is_empty() || id.len() > MAX_FEATURE_ID {
        return None;
    }
    if place == "i" {
        return Some(Cursor(Position::Id(id.to_owned())));
    }
    let (level, hilbert) = place.strip_prefix('l')?.split_once('.')?;
    let rank = Rank::new(level.parse().ok()?, u64::from_str_radix(hilbert, 16).ok()?);
    Some(Cursor(Position::Ranked(rank, id.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(id in "\\PC{1,40}", rank in prop::option::of(any::<(u8, u64)>())) {
            let cursor = Cursor(match rank {
                Some((level, hilbert)) => Position::Ranked(Rank::new(level, hilbert), id),
                None => Position::Id(id),
            });
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn one_text_a_cursor(text in "[il]?[0-9a-f+]{0,3}\\.?[0-9a-fA-F]{0,17}:?\\PC{0,4}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "i", "i:", "l1:a", "l1.2:a", "l256.0000000000000000:a", "x:a", "l01.0000000000000000:a"]
        {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError::Malformed), "{text}");
        }
        assert!(format!("i:{}", "x".repeat(256)).parse::<Cursor>().is_err());
        assert!("i:a:b".parse::<Cursor>().is_ok() && "l9.0000000000000001:n1".parse::<Cursor>().is_ok());
    }
}
