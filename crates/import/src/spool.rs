//! Features on disk, until the whole file has been read.

use crate::error::{Location, Reason, Skip};
use crate::import::{Counts, Skipped};
use crate::sort::{Sorted, Sorter, part, record};
use kappadb_core::{Extent, blake2b256};
use kappadb_geo::{Body, Feature, Shape, decode, hilbert, put};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Start of the id's digest 16 | version u32 | offset u64 | length u32 | place on the curve u64 | sort u8. Of one id the
/// last record counts: the highest version, or what comes last.
const BY_ID: usize = 41;
/// Place on the curve u64 | offset u64 | length u32.
const BY_PLACE: usize = 20;

/// Takes features in any order.
pub(crate) struct Spool {
    dir: std::path::PathBuf,
    /// Length of the id u8 | id | body, for each feature.
    features: BufWriter<File>,
    end: u64,
    by_id: Sorter<BY_ID>,
    pub skipped: Skipped,
}

/// All features of a file, in Hilbert order, each id once.
#[derive(Debug)]
pub(crate) struct Spooled {
    features: File,
    order: Sorted<BY_PLACE>,
    pub counts: Counts,
    pub skipped: Skipped,
}

impl Spool {
    pub fn new(dir: &Path) -> io::Result<Self> {
        let features = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(dir)?);
        let by_id = Sorter::new(dir);
        Ok(Spool { dir: dir.to_owned(), features, end: 0, by_id, skipped: Skipped::default() })
    }

    /// Where temporary files go.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a feature, or skips it if it cannot be put in a block.
    pub fn add(&mut self, feature: &Feature, version: u32, location: Location) -> io::Result<()> {
        let payload = match put(feature) {
            Ok(prepared) => prepared.payload,
            Err(e) => {
                self.skip(location, Some(feature.id.clone()), e);
                return Ok(());
            }
        };
        let id = feature.id.as_bytes();
        // `put` bounds the lengths of both.
        let id_len = u8::try_from(id.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let len = u32::try_from(1 + id.len() + payload.len()).map_err(|_| ErrorKind::InvalidInput)?;
        for bytes in [&[id_len][..], id, &payload] {
            self.features.write_all(bytes)?;
        }
        let digest: [u8; 16] = part(&blake2b256(&[id]).0, 0);
        self.by_id.push(record(&[
            &digest,
            &version.to_be_bytes(),
            &self.end.to_be_bytes(),
            &len.to_be_bytes(),
            &hilbert(&feature.extent()).to_be_bytes(),
            &[sort_of(&feature.body)],
        ]))?;
        self.end += u64::from(len);
        Ok(())
    }

    /// Counts a feature that is left out.
    pub fn skip(&mut self, location: Location, id: Option<String>, reason: impl Into<Reason>) {
        self.skipped.add(|| Skip { location, id, reason: reason.into() });
    }

    /// Puts the features in order; of each id one is left.
    pub fn finish(self) -> io::Result<Spooled> {
        let features = self.features.into_inner().map_err(io::IntoInnerError::into_error)?;
        let (mut counts, mut skipped) = (Counts::default(), self.skipped);
        let mut order = Sorter::new(&self.dir);
        let by_id = self.by_id.finish()?;
        let mut records = by_id.iter()?.peekable();
        while let Some(this) = records.next() {
            let this = this?;
            let newer =
                matches!(records.peek(), Some(Ok(next)) if part::<16>(next, 0) == part::<16>(&this, 0));
            let (offset, len) = (part::<8>(&this, 20), part::<4>(&this, 28));
            if newer {
                let id = (skipped.first.len() < Skipped::DETAILED)
                    .then(|| read(&features, offset, len))
                    .transpose()?;
                let id = id.map(|feature| feature.id);
                skipped.add(|| Skip { location: Location::File, id, reason: Reason::Replaced });
                continue;
            }
            count(&mut counts, part::<1>(&this, 40));
            order.push(record(&[&part::<8>(&this, 32), &offset, &len]))?;
        }
        Ok(Spooled { features, order: order.finish()?, counts, skipped })
    }
}

impl Spooled {
    pub fn features(&mut self) -> io::Result<impl Iterator<Item = io::Result<Feature>> + use<'_>> {
        let features = &self.features;
        Ok(self.order.iter()?.map(move |record| {
            let record = record?;
            read(features, part(&record, 8), part(&record, 16))
        }))
    }
}

fn read(mut features: &File, offset: [u8; 8], len: [u8; 4]) -> io::Result<Feature> {
    features.seek(SeekFrom::Start(u64::from_be_bytes(offset)))?;
    let mut bytes = Vec::new();
    features.take(u32::from_be_bytes(len).into()).read_to_end(&mut bytes)?;
    let (id_len, rest) = bytes.split_first().ok_or(ErrorKind::UnexpectedEof)?;
    let (id, body) = rest.split_at_checked(usize::from(*id_len)).ok_or(ErrorKind::UnexpectedEof)?;
    let id = std::str::from_utf8(id).map_err(io::Error::other)?;
    decode(id, body).map_err(io::Error::other)
}

fn sort_of(body: &Body) -> u8 {
    match body {
        Body::Osm(element) => match element.shape {
            Shape::Node(_) => 0,
            Shape::Way(_) => 1,
            Shape::Relation { .. } => 2,
        },
        Body::Free(_) => 3,
    }
}

fn count(counts: &mut Counts, sort: [u8; 1]) {
    let of = match sort {
        [0] => &mut counts.nodes,
        [1] => &mut counts.ways,
        [2] => &mut counts.relations,
        _ => &mut counts.free,
    };
    *of += 1;
}

/// The boxes of an extent in a fixed width: how many, then two boxes of four numbers.
pub(crate) const EXTENT: usize = 33;

/// Writes an extent of at most two boxes.
pub(crate) fn extent_bytes(extent: &Extent) -> [u8; EXTENT] {
    let count = u8::try_from(extent.boxes().len()).unwrap_or_default();
    let numbers = extent.boxes().iter().flat_map(|b| [b.west, b.south, b.east, b.north]);
    let bytes: Vec<u8> = numbers.flat_map(i32::to_le_bytes).collect();
    record(&[&[count], &bytes])
}

/// Reads what [`extent_bytes`] wrote, one extent a box.
pub(crate) fn extent_parts(bytes: &[u8]) -> Vec<Extent> {
    let [count] = part::<1>(bytes, 0);
    let number = |i: usize| i32::from_le_bytes(part(bytes, 1 + 4 * i));
    let one = |i: usize| kappadb_core::GeoBox {
        west: number(4 * i),
        south: number(4 * i + 1),
        east: number(4 * i + 2),
        north: number(4 * i + 3),
    };
    (0..usize::from(count)).map(|i| Extent::from(one(i))).collect()
}
