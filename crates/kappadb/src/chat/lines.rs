//! The lines of an import: read one by one, so that a damaged one spoils itself alone.

use kappadb_core::Timestamp;
use serde::Deserialize;
use std::io::{self, BufRead, Read};

/// Bytes of a line, at most: the longest text with every character escaped, and what goes with it.
const MAX_LINE: u64 = 64 << 10;

/// What a line says.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Line {
    pub author: String,
    pub channel: String,
    /// Milliseconds since the Unix epoch.
    pub timestamp: i64,
    pub text: String,
}

impl Line {
    pub fn time(&self) -> Timestamp {
        Timestamp(self.timestamp)
    }
}

/// Why a line was left out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadLine {
    /// No message is as long.
    #[error("it has more than {MAX_LINE} bytes")]
    TooLong,
    /// No JSON, no UTF-8, or a field is missing or something else.
    #[error(r#"no JSON object with text as "author", "channel" and "text" and a number of ms as "timestamp": {0}"#)]
    Json(#[from] serde_json::Error),
    /// The author's name cannot be that of a writer here.
    #[error(transparent)]
    Author(crate::error::WriterError),
    /// The message breaks a limit.
    #[error(transparent)]
    Message(#[from] kappadb_chat::SayError),
}

/// Reads lines and counts them, and the bytes that they had.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// The number of the last line read, from 1.
    pub number: u64,
    /// Bytes read.
    pub bytes: u64,
}

impl<R: BufRead> Lines<R> {
    pub fn new(input: R) -> Lines<R> {
        Lines { input, buffer: Vec::new(), number: 0, bytes: 0 }
    }

    /// The next line that is not empty; none at the end.
    pub fn next(&mut self) -> io::Result<Option<Result<Line, BadLine>>> {
        loop {
            self.buffer.clear();
            let read = (&mut self.input).take(MAX_LINE + 1).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.bytes += read as u64;
            if self.buffer.len() as u64 > MAX_LINE {
                if self.buffer.last() != Some(&b'\n') {
                    self.bytes += self.input.skip_until(b'\n')? as u64;
                }
                return Ok(Some(Err(BadLine::TooLong)));
            }
            let line = self.buffer.trim_ascii();
            if !line.is_empty() {
                return Ok(Some(serde_json::from_slice(line).map_err(BadLine::from)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &[u8]) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::new(text);
        let mut out = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            out.push((lines.number, line.ok().map(|line| line.text)));
        }
        assert_eq!(lines.bytes, text.len() as u64);
        out
    }

    #[test]
    fn a_damaged_line_spoils_itself_alone() {
        let good =
            |text: &str| format!(r#"{{"author":"a","channel":"c","timestamp":1,"text":"{text}","more":[]}}"#);
        let long = good(&"x".repeat(70_000));
        let text = [&good("1"), "", "{", &good("2"), &long, r#"{"author":"a"}"#, &good("3")].join("\n");
        let text = [text.as_bytes(), b"\n\xff\n", good("4").as_bytes()].concat();
        let (some, none) = (|text: &str| Some(text.to_owned()), None);
        let expected = [
            (1, some("1")),
            (3, none.clone()),
            (4, some("2")),
            (5, none.clone()),
            (6, none.clone()),
            (7, some("3")),
            (8, none),
            (9, some("4")),
        ];
        assert_eq!(all(&text), expected);
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            all(&noise);
        }
    }
}
