//! `blob ...`.

use super::{AskArgs, EntryText, Limit};
use clap::{Args as ClapArgs, Subcommand};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Subcommand)]
pub enum BlobCommand {
    /// Store a file and print the id of its blob.
    Put {
        /// The file, or `-` for stdin.
        file: PathBuf,
        /// Its media type, such as image/jpeg.
        #[arg(long = "type", value_name = "TYPE")]
        media_type: Option<String>,
        /// What it is called; the file's name by default.
        #[arg(long)]
        name: Option<String>,
    },
    /// Write a blob, or a part of it, to stdout or a file. Asks the known peers for what is missing.
    Get(BlobGetArgs),
    /// Print which blobs there are, the latest first: what it takes to `get` them, how much of each is held here, and what it is called.
    List {
        /// Print at most this many, or `all`.
        #[arg(long, value_name = "N", default_value_t = Limit::ALL)]
        limit: Limit,
        /// Go on after this blob: the last one of an earlier page.
        #[arg(long, value_name = "ID")]
        after: Option<EntryText>,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print what is known of a blob.
    Info {
        /// Its id: FEED/SEQ.
        id: EntryText,
        #[command(flatten)]
        ask: AskArgs,
    },
}

#[derive(ClapArgs)]
pub struct BlobGetArgs {
    /// Its id: FEED/SEQ.
    pub id: EntryText,
    /// Bytes A to B, counted from 0, both included; A- to the end; -N the last N. Only what they lie in is fetched.
    #[arg(long, value_name = "A-B", allow_hyphen_values = true)]
    pub range: Option<ByteRange>,
    /// Where to write it.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub ask: AskArgs,
}

/// A range of bytes as HTTP writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// The first and the last.
    Within(u64, u64),
    /// From there to the end.
    From(u64),
    /// So many at the end.
    Last(u64),
}

impl ByteRange {
    pub const ALL: ByteRange = ByteRange::From(0);

    /// Which bytes of so many these are; what lies beyond the end is left out.
    pub fn of(self, bytes: u64) -> Range<u64> {
        let (start, end) = match self {
            ByteRange::Within(first, last) => (first, last.saturating_add(1)),
            ByteRange::From(first) => (first, bytes),
            ByteRange::Last(count) => (bytes.saturating_sub(count), bytes),
        };
        start.min(bytes)..end.min(bytes)
    }
}

impl FromStr for ByteRange {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "expected A-B, A- or -N, with A not above B";
        let number = |text: &str| text.parse::<u64>().map_err(|_| wanted);
        match text.split_once('-').ok_or(wanted)? {
            ("", count) => Ok(ByteRange::Last(number(count)?)),
            (first, "") => Ok(ByteRange::From(number(first)?)),
            (first, last) => match (number(first)?, number(last)?) {
                (first, last) if first <= last => Ok(ByteRange::Within(first, last)),
                _ => Err(wanted),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_ranges_are_those_of_http() {
        let of = |text: &str| text.parse::<ByteRange>().map(|range| range.of(100));
        for (text, range) in [
            ("0-0", 0..1),
            ("5-", 5..100),
            ("-5", 95..100),
            ("90-200", 90..100),
            ("-200", 0..100),
            ("100-", 100..100),
        ] {
            assert_eq!(of(text), Ok(range), "{text}");
        }
        for text in ["", "-", "5", "7-6", "a-b", "--5", "1-2-3"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
