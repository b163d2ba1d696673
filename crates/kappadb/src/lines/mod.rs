//! Lines of an import, each a JSON object. They are read one by one, so that a damaged one spoils itself alone, and what is of no use is
//! never held: neither a line that is too long nor fields that nobody asked for.

pub(crate) mod fields;
mod object;

pub use object::Object;

use std::io::{self, BufRead, ErrorKind};

/// Bytes of a line, at most: 16 MiB.
pub const MAX_LINE: usize = 16 << 20;

/// What some programs write before a text in UTF-8: no part of it.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// It has more than [`MAX_LINE`] bytes.
    #[error("it has more than {} MiB", MAX_LINE >> 20)]
    TooLong,
    /// It ends within the object.
    #[error("it ends before the JSON object does")]
    CutOff,
    /// It is no JSON from that byte on, counted from 1.
    #[error("it is no JSON, from byte {0} on")]
    NoJson(usize),
    /// It is JSON, and no object.
    #[error("it is no JSON object")]
    NoObject,
    /// A field is not there, or null.
    #[error("{0:?} is missing")]
    Missing(&'static str),
    /// A field is something else than it should be.
    #[error("{name:?} must be {wanted}, and is {found}")]
    Other {
        /// Its name.
        name: &'static str,
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
}

/// What a reader of lines came upon.
#[derive(Debug)]
pub enum Next {
    /// A line that is not empty.
    Line(Result<Object, LineError>),
    /// Nothing came for a while ([`ErrorKind::TimedOut`]): it may go on.
    Idle,
    /// The end.
    End,
}

/// Reads lines and counts them.
pub struct Lines<R> {
    input: R,
    names: &'static [&'static str],
    line: Vec<u8>,
    too_long: bool,
    whole: bool,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Reads objects of which these fields are wanted. Others are passed over.
    pub fn new(input: R, names: &'static [&'static str]) -> Lines<R> {
        Lines { input, names, line: Vec::new(), too_long: false, whole: false, number: 0 }
    }

    /// The number of the last line, from 1. Empty ones count.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line that is not empty. An input that lets one wait may say [`ErrorKind::TimedOut`]: it is asked again the next time.
    ///
    /// # Errors
    /// Those of the input.
    pub fn next_line(&mut self) -> io::Result<Next> {
        loop {
            match self.read() {
                Ok(true) => self.number += 1,
                Ok(false) => return Ok(Next::End),
                Err(error) if error.kind() == ErrorKind::TimedOut => return Ok(Next::Idle),
                Err(error) => return Err(error),
            }
            if self.too_long {
                return Ok(Next::Line(Err(LineError::TooLong)));
            }
            let line = match self.number {
                1 => self.line.strip_prefix(MARK).unwrap_or(&self.line),
                _ => &self.line,
            };
            if !line.trim_ascii().is_empty() {
                return Ok(Next::Line(Object::of(line, self.names)));
            }
        }
    }

    /// Reads on to the end of a line, which the last one needs not have. False if there is none. Goes on where an error left it.
    fn read(&mut self) -> io::Result<bool> {
        if std::mem::take(&mut self.whole) {
            self.line.clear();
            self.too_long = false;
        }
        while !self.whole {
            let found = match self.input.fill_buf() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                found => found?,
            };
            if found.is_empty() {
                self.whole = true;
                return Ok(self.too_long || !self.line.is_empty());
            }
            let piece = found.split(|byte| *byte == b'\n').next().unwrap_or(found);
            self.whole = piece.len() < found.len();
            self.too_long |= self.line.len() + piece.len() > MAX_LINE;
            if self.too_long {
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(piece);
            }
            let read = piece.len() + usize::from(self.whole);
            self.input.consume(read);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{BufReader, Read};

    fn all(input: impl BufRead) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(input, &["a", "n"]);
        let mut out = Vec::new();
        loop {
            match lines.next_line().unwrap() {
                Next::Line(line) => {
                    let text = line.and_then(|mut object| object.text("a"));
                    out.push((lines.number(), text.map_err(|error| error.to_string())));
                }
                Next::Idle => {}
                Next::End => return out,
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_in_words() {
        for (line, told) in [
            (r#"{"a":"#, "it ends before the JSON object does"),
            ("hello", "it is no JSON, from byte 1 on"),
            (r#"{"a":"x"} {"#, "it is no JSON, from byte 11 on"),
            ("[1,2]", "it is no JSON object"),
            ("7", "it is no JSON object"),
            (r#"{"b":1}"#, r#""a" is missing"#),
            (r#"{"a":null}"#, r#""a" is missing"#),
            (r#"{"a":7}"#, r#""a" must be text, and is a number"#),
            (r#"{"a":[{}]}"#, r#""a" must be text, and is a list"#),
        ] {
            assert_eq!(all(line.as_bytes()), [(1, Err(told.to_owned()))], "{line}");
        }
        let number = |line: &str| {
            let mut object = Object::of(line.as_bytes(), &["n"]).unwrap();
            object.whole_number("n", "a whole number of ms").map_err(|error| error.to_string())
        };
        assert_eq!(number(r#"{"n":-5}"#), Ok(-5));
        let told = r#""n" must be a whole number of ms, and is another number"#;
        assert_eq!(number(r#"{"n":1.5}"#), Err(told.to_owned()));
    }

    #[test]
    fn a_damaged_line_spoils_itself_alone_and_the_last_needs_no_end() {
        let good = |text: &str| format!(r#"{{"a":"{text}","more":[1,{{}}]}}"#);
        let text = [&good("1"), "", "{", &good("2"), "\u{ff}", &good("3")].join("\n");
        let found = all(BufReader::with_capacity(3, text.as_bytes()));
        let good: Vec<_> = found.iter().filter_map(|(n, line)| Some((*n, line.as_deref().ok()?))).collect();
        assert_eq!((found.len(), good), (5, vec![(1, "1"), (4, "2"), (6, "3")]));
    }

    #[test]
    fn a_byte_order_mark_before_the_text_is_no_part_of_it() {
        assert_eq!(all(&b"\xef\xbb\xbf{\"a\":\"1\"}"[..]), [(1, Ok("1".to_owned()))]);
        assert_eq!(all(&b"\xef\xbb\xbf\n{\"a\":\"1\"}"[..]), [(2, Ok("1".to_owned()))]);
        assert!(all(&b"\n\xef\xbb\xbf{\"a\":\"1\"}"[..])[0].1.is_err(), "within it, it is one");
    }

    #[test]
    fn lists_of_texts_are_read_and_others_are_none() {
        let texts = |line: &str| Object::of(line.as_bytes(), &["a"]).unwrap().texts_if_any("a");
        assert_eq!(texts(r#"{"a":["x","y"]}"#), Ok(Some(vec!["x".to_owned(), "y".to_owned()])));
        assert_eq!(texts(r#"{"a":[]}"#), Ok(Some(Vec::new())));
        assert_eq!((texts("{}"), texts(r#"{"a":null}"#)), (Ok(None), Ok(None)));
        for line in [r#"{"a":[1]}"#, r#"{"a":["x",["y"]]}"#, r#"{"a":"x"}"#] {
            assert!(texts(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_line_of_300_mb_is_never_held() {
        let long = io::repeat(b'x').take(300_000_000);
        let mut lines = Lines::new(BufReader::new(long.chain(&b"\n{\"a\":\"1\"}"[..])), &["a"]);
        assert!(matches!(lines.next_line().unwrap(), Next::Line(Err(LineError::TooLong))));
        assert!(lines.line.capacity() <= 2 * MAX_LINE);
        assert!(matches!(lines.next_line().unwrap(), Next::Line(Ok(_))));
        assert_eq!(lines.number(), 2);
    }

    /// Gives a byte at a time, and lets one wait before each.
    struct Slow(Vec<u8>, bool);

    impl io::Read for Slow {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::TimedOut.into());
            }
            match (self.0.is_empty(), buf.first_mut()) {
                (false, Some(first)) => {
                    *first = self.0.remove(0);
                    Ok(1)
                }
                _ => Ok(0),
            }
        }
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_whole() {
        let slow = Slow(b"{\"a\":\"1\"}\n{\"a\":\"2\"}".to_vec(), false);
        assert_eq!(all(BufReader::new(slow)), [(1, Ok("1".to_owned())), (2, Ok("2".to_owned()))]);
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
            all(&noise[..]);
        }
    }
}
