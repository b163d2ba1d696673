use bincode::{Decode, Encode};
use std::fmt;

/// A place in the journal: a segment and a byte offset in it. Ordered as the journal is written.
///
/// The place after the last record of a segment and the place of the first record of the next one are different
/// positions; both are good starting points for a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub struct Position {
    /// Number of the segment file, from 0.
    pub segment: u32,
    /// Bytes from the start of that file.
    pub offset: u64,
}

impl Position {
    /// Before everything: a scan from here reads the whole journal.
    pub const START: Position = Position { segment: 0, offset: 0 };

    /// The position as the 12 bytes `segment u32 LE | offset u64 LE` of a record's head.
    pub(crate) fn to_bytes(self) -> [u8; 12] {
        let mut out = [0; 12];
        let (segment, offset) = out.split_at_mut(4);
        segment.copy_from_slice(&self.segment.to_le_bytes());
        offset.copy_from_slice(&self.offset.to_le_bytes());
        out
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", file_name(self.segment), self.offset)
    }
}

/// The file name of a segment: its number in eight lower-case hex digits, and `.kj`.
pub(crate) fn file_name(segment: u32) -> String {
    format!("{segment:08x}.kj")
}

/// The segment that a file name stands for. Only the one spelling of [`file_name`] counts.
pub(crate) fn segment_of(name: &str) -> Option<u32> {
    let number = u32::from_str_radix(name.strip_suffix(".kj")?, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_has_one_name() {
        assert_eq!(file_name(27), "0000001b.kj");
        assert_eq!(segment_of("0000001b.kj"), Some(27));
        assert_eq!(segment_of("ffffffff.kj"), Some(u32::MAX));
        for foreign in
            ["0000001B.kj", "1b.kj", "+000001b.kj", "0000001b.kj~", "0000001b", "100000000.kj", ".kj", ""]
        {
            assert_eq!(segment_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn positions_are_ordered_as_written() {
        let at = |segment, offset| Position { segment, offset };
        assert!(at(0, 900) < at(1, 44) && at(1, 44) < at(1, 45));
        assert_eq!(at(1, 2).to_bytes(), [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    }
}
