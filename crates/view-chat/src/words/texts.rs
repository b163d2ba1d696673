//! Texts whose words are in no segment yet: what a batch brought, in one row, as it came.
//!
//! ```text
//! channel length u16 | channel | place 48 | text length u32 | text     each, big-endian
//! ```

use crate::rows::BAD;
use crate::rows::{PLACE_LEN, Place};
use kappadb_view::ViewError;

/// A message's text.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    pub channel: &'a [u8],
    pub place: Place,
    pub text: &'a str,
}

/// Adds a text to a row.
pub fn push(row: &mut Vec<u8>, channel: &[u8], place: &Place, text: &str) {
    // Both are far shorter: what is longer was refused when it was decoded.
    row.extend_from_slice(&u16::try_from(channel.len()).unwrap_or(u16::MAX).to_be_bytes());
    row.extend_from_slice(channel);
    row.extend_from_slice(&place.bytes());
    row.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    row.extend_from_slice(text.as_bytes());
}

/// The texts of a row. After an error it ends.
pub struct Texts<'a>(pub &'a [u8]);

impl<'a> Texts<'a> {
    fn read(&mut self) -> Option<Text<'a>> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (channel, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let (place, rest) = rest.split_first_chunk::<PLACE_LEN>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (text, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
        self.0 = rest;
        Some(Text { channel, place: Place::read(place)?, text: std::str::from_utf8(text).ok()? })
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = Result<Text<'a>, ViewError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let text = self.read();
        if text.is_none() {
            self.0 = &[];
        }
        Some(text.ok_or(BAD))
    }
}
