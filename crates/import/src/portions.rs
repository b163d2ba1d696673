//! Reading pieces of a file that are wanted in one order and lie in another: many at a time, those in the order in which they lie.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::ops::Range;
use std::vec;

/// Pieces in a first portion. Each later one has twice as many, as long as they have bytes for it.
const FIRST: usize = 1_000;
/// Bytes in a portion, about.
const BYTES: usize = 8 << 20;
/// Bytes that are read at once: what lies between two pieces costs less than to ask for each.
const AT_ONCE: usize = 64 << 10;

/// Where a piece lies, and its length.
pub(crate) type Span = (u64, usize);

/// What comes of each span of `wanted`, in their order.
pub(crate) struct Portions<'a, W, T> {
    file: &'a File,
    wanted: W,
    portion: usize,
    bytes: Vec<u8>,
    /// Of the portion at hand, and where in `bytes` each lies.
    left: vec::IntoIter<(T, Range<usize>)>,
}

impl<'a, T, W: Iterator<Item = io::Result<(T, Span)>>> Portions<'a, W, T> {
    /// Nobody else moves in the file while a piece is asked for.
    pub fn new(file: &'a File, wanted: W) -> Self {
        Portions { file, wanted, portion: FIRST, bytes: Vec::new(), left: Vec::new().into_iter() }
    }

    /// What `make` makes of the next piece.
    pub fn next<M>(&mut self, make: impl FnOnce(T, &[u8]) -> io::Result<M>) -> Option<io::Result<M>> {
        if self.left.len() == 0
            && let Err(error) = self.fill()
        {
            return Some(Err(error));
        }
        let (of, at) = self.left.next()?;
        Some(make(of, self.bytes.get(at).unwrap_or_default()))
    }

    fn fill(&mut self) -> io::Result<()> {
        let (mut portion, mut as_they_lie, mut end) = (Vec::new(), Vec::new(), 0);
        while portion.len() < self.portion && end < BYTES {
            let Some((of, (offset, len))) = self.wanted.next().transpose()? else { break };
            let at = end..end + len;
            end = at.end;
            as_they_lie.push((offset, at.clone()));
            portion.push((of, at));
        }
        self.portion = self.portion.saturating_mul(2);
        self.bytes.resize(end, 0);
        as_they_lie.sort_unstable_by_key(|(offset, _)| *offset);
        self.read(as_they_lie)?;
        self.left = portion.into_iter();
        Ok(())
    }

    fn read(&mut self, as_they_lie: Vec<(u64, Range<usize>)>) -> io::Result<()> {
        let (mut file, mut place) = (BufReader::with_capacity(AT_ONCE, self.file), 0);
        file.rewind()?;
        for (offset, at) in as_they_lie {
            file.seek_relative(offset.wrapping_sub(place).cast_signed())?;
            place = offset.saturating_add(at.len() as u64);
            file.read_exact(self.bytes.get_mut(at).unwrap_or_default())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn pieces_come_in_the_order_in_which_they_are_wanted_wherever_they_lie() {
        let mut file = tempfile::tempfile().unwrap();
        let (mut spans, mut end) = (Vec::new(), 0);
        for n in 0..9_000u64 {
            let len = if n % 3_000 == 7 { BYTES / 2 } else { usize::try_from(n % 50).unwrap() };
            file.write_all(&vec![u8::try_from(n % 251).unwrap(); len]).unwrap();
            spans.push((n, (end, len)));
            end += len as u64;
        }
        // Most of them, far from each other, some twice.
        let wanted = (0..8_000usize).map(|n| spans[(n * 7_919) % spans.len() / 3 * 3 % spans.len()]);
        let mut portions = Portions::new(&file, wanted.clone().map(Ok));
        for (n, (_, len)) in wanted {
            let next = portions.next(|of, bytes| {
                let byte = u8::try_from(n % 251).unwrap();
                Ok(of == n && bytes.len() == len && bytes.iter().all(|b| *b == byte))
            });
            assert!(next.unwrap().unwrap(), "{n}");
        }
        assert!(portions.next(|_, _| Ok(())).is_none());
    }

    #[test]
    fn a_piece_beyond_the_end_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let mut portions = Portions::new(&file, [Ok(((), (0, 1)))].into_iter());
        assert!(portions.next(|(), _| Ok(())).unwrap().is_err());
    }
}
