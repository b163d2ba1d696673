//! What a line of an import says.

use crate::error::WriterError;
use crate::lines::{LineError, Object};
use kappadb_core::Timestamp;

/// Its fields.
pub(super) const FIELDS: &[&str] = &["author", "channel", "timestamp", "text"];

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub author: String,
    pub channel: String,
    pub time: Timestamp,
    pub text: String,
}

impl TryFrom<Object> for Line {
    type Error = LineError;

    fn try_from(mut object: Object) -> Result<Line, LineError> {
        Ok(Line {
            author: object.text("author")?,
            channel: object.text("channel")?,
            time: Timestamp(object.whole_number("timestamp", "a whole number of ms since 1970")?),
            text: object.text("text")?,
        })
    }
}

/// Why a line was left out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadLine {
    /// It is no object with these fields.
    #[error(transparent)]
    Line(#[from] LineError),
    /// The author's name cannot be that of a writer here.
    #[error(transparent)]
    Author(WriterError),
    /// The message breaks a limit.
    #[error(transparent)]
    Message(#[from] kappadb_chat::SayError),
}
