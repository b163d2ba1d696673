//! Sorting records on disk: fixed width, in the order of their bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Bytes of records that a sorter keeps in memory.
const MEMORY: usize = 16 << 20;
/// Bytes that are read or written at once.
const AT_ONCE: usize = 64 << 10;
/// Sorted files that are merged at once, and that may be open.
const FAN: usize = 64;

/// Takes records in any order.
pub(crate) struct Sorter<const N: usize> {
    dir: PathBuf,
    buffer: Vec<[u8; N]>,
    capacity: usize,
    runs: Vec<File>,
}

/// Sorted records in a temporary file.
#[derive(Debug)]
pub(crate) struct Sorted<const N: usize> {
    pub file: File,
}

impl<const N: usize> Sorter<N> {
    /// A sorter with its temporary files in `dir`.
    pub fn new(dir: &Path) -> Self {
        Self::with_capacity(dir, MEMORY / N)
    }

    fn with_capacity(dir: &Path, capacity: usize) -> Self {
        Sorter { dir: dir.to_owned(), buffer: Vec::new(), capacity, runs: Vec::new() }
    }

    pub fn push(&mut self, record: [u8; N]) -> io::Result<()> {
        self.buffer.push(record);
        if self.buffer.len() < self.capacity { Ok(()) } else { self.spill() }
    }

    fn spill(&mut self) -> io::Result<()> {
        // Mostly sorted already, which costs next to nothing.
        self.buffer.sort_unstable();
        let mut out = BufWriter::with_capacity(AT_ONCE, tempfile::tempfile_in(&self.dir)?);
        self.buffer.drain(..).try_for_each(|record| out.write_all(&record))?;
        self.runs.push(out.into_inner().map_err(io::IntoInnerError::into_error)?);
        if self.runs.len() < FAN { Ok(()) } else { self.merge() }
    }

    /// Makes one run of all.
    fn merge(&mut self) -> io::Result<()> {
        let mut runs: Vec<Records<N>> =
            self.runs.drain(..).map(|run| Records::new(run, 0)).collect::<io::Result<_>>()?;
        let mut next = BinaryHeap::new();
        for (i, run) in runs.iter_mut().enumerate() {
            next.extend(run.next().transpose()?.map(|record| Reverse((record, i))));
        }
        let mut out = BufWriter::with_capacity(AT_ONCE, tempfile::tempfile_in(&self.dir)?);
        while let Some(Reverse((record, i))) = next.pop() {
            out.write_all(&record)?;
            let after = runs.get_mut(i).and_then(Iterator::next).transpose()?;
            next.extend(after.map(|record| Reverse((record, i))));
        }
        self.runs.push(out.into_inner().map_err(io::IntoInnerError::into_error)?);
        Ok(())
    }

    /// All records, sorted.
    pub fn finish(mut self) -> io::Result<Sorted<N>> {
        if !self.buffer.is_empty() || self.runs.is_empty() {
            self.spill()?;
        }
        if self.runs.len() > 1 {
            self.merge()?;
        }
        let file = self.runs.pop().ok_or(ErrorKind::NotFound)?;
        Ok(Sorted { file })
    }
}

impl<const N: usize> Sorted<N> {
    /// The records from the first.
    pub fn iter(&self) -> io::Result<Records<N, &File>> {
        self.iter_from(0)
    }

    /// The records from that with this number, from 0.
    pub fn iter_from(&self, number: u64) -> io::Result<Records<N, &File>> {
        Records::new(&self.file, number)
    }
}

/// Reads records to the end of a file.
pub(crate) struct Records<const N: usize, F = File> {
    file: BufReader<F>,
}

impl<const N: usize, F: Read + Seek> Records<N, F> {
    fn new(mut file: F, number: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(number.saturating_mul(N as u64)))?;
        Ok(Records { file: BufReader::with_capacity(AT_ONCE, file) })
    }
}

impl<const N: usize, F: Read> Iterator for Records<N, F> {
    type Item = io::Result<[u8; N]>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut record = [0; N];
        match self.file.read_exact(&mut record) {
            Ok(()) => Some(Ok(record)),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => None,
            Err(e) => Some(Err(e)),
        }
    }
}

/// One record of its parts, whose lengths must add up to `N`.
pub(crate) fn record<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    let bytes = parts.iter().flat_map(|part| part.iter());
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

/// `M` bytes of a record, from `at`.
pub(crate) fn part<const M: usize>(record: &[u8], at: usize) -> [u8; M] {
    record.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; M])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sort(numbers: &[u32], capacity: usize) -> Vec<u32> {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::<4>::with_capacity(dir.path(), capacity);
        numbers.iter().for_each(|n| sorter.push(n.to_be_bytes()).unwrap());
        let sorted = sorter.finish().unwrap();
        sorted.iter().unwrap().map(|r| u32::from_be_bytes(r.unwrap())).collect()
    }

    #[test]
    fn more_runs_than_may_be_open() {
        let numbers: Vec<u32> = (0..1000u32).map(|n| n.wrapping_mul(2_654_435_761)).collect();
        let mut expected = numbers.clone();
        expected.sort_unstable();
        assert_eq!(sort(&numbers, 3), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn sorts(numbers in prop::collection::vec(any::<u32>(), 0..40), capacity in 1usize..50) {
            let mut expected = numbers.clone();
            expected.sort_unstable();
            prop_assert_eq!(sort(&numbers, capacity), expected);
        }
    }

    #[test]
    fn records_are_cut_where_they_were_joined() {
        let joined = record::<7>(&[&[1, 2, 3, 4], &[5, 6], &[7]]);
        assert_eq!(part::<2>(&joined, 4), [5, 6]);
        assert_eq!(part::<1>(&joined, 6), [7]);
    }
}
