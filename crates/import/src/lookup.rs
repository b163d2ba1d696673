use crate::sort::{Sorted, part};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Records in a page.
const PAGE: usize = 256;
/// Pages kept in memory: each has one slot that it may be in.
const SLOTS: usize = 1024;

/// A key at the front of a record.
pub(crate) type Key = [u8; 8];

/// An OSM id as a key: as unsigned, the bytes have the order of the ids.
pub(crate) fn key(id: i64) -> Key {
    (id ^ i64::MIN).to_be_bytes()
}

/// The id whose key this is.
pub(crate) fn id_of(key: Key) -> i64 {
    i64::from_be_bytes(key) ^ i64::MIN
}

/// Finds records in a sorted file by their first eight bytes: the first key of every page is in memory, pages are read
/// as they are needed.
#[derive(Debug)]
pub(crate) struct Lookup<const N: usize> {
    sorted: Sorted<N>,
    first_keys: Vec<Key>,
    slots: Vec<Option<(usize, Vec<[u8; N]>)>>,
}

impl<const N: usize> Lookup<N> {
    pub fn new(sorted: Sorted<N>) -> io::Result<Self> {
        let firsts = sorted.iter()?.step_by(PAGE);
        let first_keys = firsts.map(|record| Ok(part(&record?, 0))).collect::<io::Result<_>>()?;
        Ok(Lookup { sorted, first_keys, slots: (0..SLOTS).map(|_| None).collect() })
    }

    /// The last record of this key.
    pub fn last(&mut self, key: Key) -> io::Result<Option<[u8; N]>> {
        let pages = self.first_keys.partition_point(|first| *first <= key);
        let Some(page) = pages.checked_sub(1) else { return Ok(None) };
        let records = self.page(page)?;
        let upto = records.partition_point(|record| part(record, 0) <= key);
        let last = upto.checked_sub(1).and_then(|i| records.get(i));
        Ok(last.filter(|record| part(*record, 0) == key).copied())
    }

    /// All records in their order. The file's place is shared, so nothing may be looked up meanwhile.
    pub fn sorted(&self) -> io::Result<Sorted<N>> {
        Ok(Sorted { file: self.sorted.file.try_clone()? })
    }

    fn page(&mut self, page: usize) -> io::Result<&[[u8; N]]> {
        let Some(slot) = self.slots.get_mut(page % SLOTS) else { return Ok(&[]) };
        if slot.as_ref().is_none_or(|(held, _)| *held != page) {
            *slot = Some((page, read_page(&self.sorted.file, page)?));
        }
        Ok(slot.as_ref().map_or(&[], |(_, records)| records.as_slice()))
    }
}

fn read_page<const N: usize>(file: &File, page: usize) -> io::Result<Vec<[u8; N]>> {
    let (mut bytes, mut len) = (vec![0; PAGE * N], 0);
    // The last page is shorter.
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, (page * PAGE * N + len) as u64)? {
            0 => break,
            read => len += read,
        }
    }
    bytes.truncate(len);
    Ok(bytes.as_chunks::<N>().0.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sort::{Sorter, record};
    use std::collections::BTreeMap;

    #[test]
    fn finds_the_last_of_each_key() {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::<9>::new(dir.path());
        let mut model = BTreeMap::new();
        for n in 0..3_000i64 {
            let (id, value) = ((n * 7_919) % 1_201 - 600, u8::try_from(n % 251).unwrap());
            sorter.push(record(&[&key(id), &[value]])).unwrap();
            let greatest = model.entry(id).or_insert(value);
            *greatest = value.max(*greatest);
        }
        let mut lookup = Lookup::new(sorter.finish().unwrap()).unwrap();
        for id in -700..700 {
            let found = lookup.last(key(id)).unwrap().map(|record| record[8]);
            assert_eq!(found, model.get(&id).copied(), "{id}");
        }
    }

    #[test]
    fn an_empty_file_has_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut lookup = Lookup::new(Sorter::<9>::new(dir.path()).finish().unwrap()).unwrap();
        assert_eq!(lookup.last(key(0)).unwrap(), None);
    }
}
