//! A segment: some messages, the latest first, and for each word the numbers of those that have it.
//!
//! ```text
//! area DOCS    number u32                       → place 48, complemented | channel
//! area WORDS   word | 00 | first number u32     → (number - the one before) varint, each: a part of the word's list
//! ```

use crate::people::Row;
use crate::rows::BAD;
use crate::rows::{DOCS, PLACE_LEN, Place, WORDS};
use kappadb_store::Overlay;
use kappadb_view::ViewError;
use kappadb_view::packed::{Cursor, Run, Writer, after};

/// Numbers in one part of a word's list.
const PART: usize = 512;

/// The two runs of a segment, which have the same number.
#[derive(Debug, Clone)]
pub struct Segment {
    pub docs: Run,
    /// None if no message has a word.
    pub words: Option<Run>,
}

impl Segment {
    pub fn number(&self) -> u64 {
        self.docs.number
    }

    /// Messages in it.
    pub fn items(&self) -> u64 {
        self.docs.items()
    }

    /// Says that it counts.
    pub fn write(&self, rows: &mut Overlay<'_>) {
        self.docs.write(DOCS, rows);
        self.words.iter().for_each(|words| words.write(WORDS, rows));
    }

    /// Says that it counts no more.
    pub fn remove(&self, rows: &mut Overlay<'_>) {
        self.docs.remove(DOCS, rows);
        self.words.iter().for_each(|words| words.remove(WORDS, rows));
    }

    /// The parts of lists of words from `from` on that begin so.
    fn parts(&self, prefix: &[u8]) -> Result<Option<Cursor>, ViewError> {
        let words = self.words.as_ref();
        words.map(|words| words.range(prefix, after(prefix).as_deref(), false)).transpose()
    }
}

/// A message of a segment. In the order of these bytes the latest comes first.
pub fn doc(channel: &[u8], place: &Place) -> Vec<u8> {
    let mut doc: Vec<u8> = place.bytes().iter().map(|byte| !byte).collect();
    doc.extend_from_slice(channel);
    doc
}

/// The message, unless its channel is no text.
pub fn read_doc(doc: &[u8]) -> Result<Option<Row>, ViewError> {
    let (place, channel) = doc.split_first_chunk::<PLACE_LEN>().ok_or(BAD)?;
    let place = Place::read(&place.map(|byte| !byte)).ok_or(BAD)?;
    Ok(std::str::from_utf8(channel).ok().map(|channel| Row { channel: channel.to_owned(), place }))
}

/// The word and first number of a part.
pub fn read_part(key: &[u8]) -> Result<(&[u8], u32), ViewError> {
    let (word, first) = key.split_last_chunk::<4>().ok_or(BAD)?;
    let (_, word) = word.split_last().ok_or(BAD)?;
    Ok((word, u32::from_be_bytes(*first)))
}

/// The numbers of a part.
pub fn read_numbers(first: u32, mut value: &[u8], out: &mut Vec<u32>) -> Result<(), ViewError> {
    let mut number = first;
    out.push(number);
    while !value.is_empty() {
        let (mut step, mut shift) = (0u32, 0);
        loop {
            let (byte, rest) = value.split_first().ok_or(BAD)?;
            value = rest;
            step |= u32::from(byte & 0x7f).checked_shl(shift).ok_or(BAD)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        number = number.checked_add(step).ok_or(BAD)?;
        out.push(number);
    }
    Ok(())
}

/// Writes the list of a word, in parts. `numbers` ascend.
pub fn write_list(writer: &mut Writer, word: &[u8], numbers: &[u32]) -> Result<(), ViewError> {
    for part in numbers.chunks(PART) {
        let Some((first, rest)) = part.split_first() else { continue };
        let key = [word, &[0], &first.to_be_bytes()].concat();
        let (mut value, mut before) = (Vec::with_capacity(2 * part.len()), *first);
        for number in rest {
            let mut step = number.saturating_sub(before);
            while step >= 0x80 {
                value.push(step.to_le_bytes().first().copied().unwrap_or(0) | 0x80);
                step >>= 7;
            }
            value.push(step.to_le_bytes().first().copied().unwrap_or(0));
            before = *number;
        }
        writer.push(&key, &value)?;
    }
    Ok(())
}

/// The numbers of the messages that have a word, ascending, read as they are wanted.
pub struct List {
    parts: Option<Cursor>,
    numbers: std::vec::IntoIter<u32>,
}

impl List {
    pub fn of_word(segment: &Segment, word: &str) -> Result<List, ViewError> {
        let parts = segment.parts(&[word.as_bytes(), &[0]].concat())?;
        Ok(List { parts, numbers: Vec::new().into_iter() })
    }

    fn next(&mut self) -> Result<Option<u32>, ViewError> {
        loop {
            if let Some(number) = self.numbers.next() {
                return Ok(Some(number));
            }
            let Some(parts) = &mut self.parts else { return Ok(None) };
            if !parts.advance()? {
                return Ok(None);
            }
            let (_, first) = read_part(parts.key())?;
            let mut numbers = Vec::new();
            read_numbers(first, parts.value()?, &mut numbers)?;
            self.numbers = numbers.into_iter();
        }
    }
}

/// The numbers of the messages that have a word that begins so, ascending.
pub fn with_prefix(segment: &Segment, prefix: &str) -> Result<Vec<u32>, ViewError> {
    let Some(mut parts) = segment.parts(prefix.as_bytes())? else { return Ok(Vec::new()) };
    // A mark for each message: a beginning may be that of very many words.
    let mut marks = vec![false; usize::try_from(segment.items()).map_err(|_| BAD)?];
    let mut numbers = Vec::new();
    while parts.advance()? {
        let (_, first) = read_part(parts.key())?;
        numbers.clear();
        read_numbers(first, parts.value()?, &mut numbers)?;
        for number in &numbers {
            *usize::try_from(*number).ok().and_then(|n| marks.get_mut(n)).ok_or(BAD)? = true;
        }
    }
    let marked = (0u32..).zip(marks).filter_map(|(number, marked)| marked.then_some(number));
    Ok(marked.collect())
}

/// Numbers that come ascending from one of two sources.
pub enum Numbers {
    List(List),
    Known(std::vec::IntoIter<u32>),
}

impl Numbers {
    pub fn next(&mut self) -> Result<Option<u32>, ViewError> {
        match self {
            Numbers::List(list) => list.next(),
            Numbers::Known(numbers) => Ok(numbers.next()),
        }
    }
}

/// The numbers that all of some lists have.
pub struct Common(pub Vec<Numbers>);

impl Common {
    pub fn next(&mut self) -> Result<Option<u32>, ViewError> {
        let Some((first, others)) = self.0.split_first_mut() else { return Ok(None) };
        let Some(mut wanted) = first.next()? else { return Ok(None) };
        // Those of the others that were read and are not below what is wanted.
        let mut heads: Vec<Option<u32>> = vec![None; others.len()];
        'wanted: loop {
            for (list, head) in others.iter_mut().zip(&mut heads) {
                while head.is_none_or(|head| head < wanted) {
                    let Some(next) = list.next()? else { return Ok(None) };
                    *head = Some(next);
                }
                if let Some(head) = head.filter(|head| *head > wanted) {
                    while wanted < head {
                        let Some(next) = first.next()? else { return Ok(None) };
                        wanted = next;
                    }
                    continue 'wanted;
                }
            }
            return Ok(Some(wanted));
        }
    }
}
