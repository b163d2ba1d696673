//! Features on disk, until the whole file has been read.

use crate::error::{Location, Reason, Skip};
use crate::import::{Counts, Skipped};
use crate::item::Item;
use crate::osm::{RANK, Rank};
use crate::sort::{Sorted, Sorter, part, record};
use kappadb_core::codec;
use kappadb_core::{Extent, blake2b256};
use kappadb_geo::{Body, ElementKind, Feature, FeatureError, MAX_BODY, Meta, encode, hilbert, id, put};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Start of the id's digest 16 | rank | place | offset u64 | length u32 | sort u8. Of one id the last record counts.
const BY_ID: usize = 16 + RANK + PLACE + 13;
/// Place | offset u64 | length u32.
const BY_PLACE: usize = PLACE + 12;
/// Part of the order u8 | place on the curve u64.
const PLACE: usize = 9;
/// The first part of the order that has deletes.
const DELETES: u8 = 4;
/// Bytes of an edit that deletes: it must fit into a block with its header.
const MAX_DELETE: usize = 64 << 10;
/// bincode's limit for what was encoded here.
const SPOOLED: usize = 1 << 30;

/// Takes features in any order.
pub(crate) struct Spool {
    dir: std::path::PathBuf,
    /// Length of the id u8 | id | body, or the edit that deleted it, for each item.
    features: BufWriter<File>,
    end: u64,
    by_id: Sorter<BY_ID>,
    /// True if the file has changes: what is nowhere is kept too, and what is newer is no mistake.
    pub change: bool,
    pub skipped: Skipped,
}

/// All items of a file in their order, each id once.
#[derive(Debug)]
pub(crate) struct Spooled {
    features: File,
    order: Sorted<BY_PLACE>,
    pub change: bool,
    pub counts: Counts,
    pub deletes: u64,
    pub skipped: Skipped,
}

/// Sorts of items, to count them.
#[derive(Clone, Copy)]
enum Sort {
    Put(Option<ElementKind>),
    Delete(ElementKind),
}

impl Spool {
    pub fn new(dir: &Path) -> io::Result<Self> {
        let features = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(dir)?);
        let (by_id, skipped) = (Sorter::new(dir), Skipped::default());
        Ok(Spool { dir: dir.to_owned(), features, end: 0, by_id, change: false, skipped })
    }

    /// Where temporary files go.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a feature, or skips it if it cannot be put in a block.
    pub fn add(&mut self, feature: &Feature, rank: Rank, location: Location) -> io::Result<()> {
        let payload = match put(feature) {
            Ok(prepared) => prepared.payload,
            Err(FeatureError::Nowhere { .. }) if self.change => encode(&feature.body),
            Err(e) => {
                self.skip(location, Some(feature.id.clone()), e);
                return Ok(());
            }
        };
        if payload.len() > MAX_BODY {
            self.skip_too_large(location, feature.id.clone(), payload.len(), MAX_BODY);
            return Ok(());
        }
        let kind = match &feature.body {
            Body::Osm(element) => Some(element.shape.kind()),
            Body::Free(_) => None,
        };
        let extent = feature.extent();
        let place = if extent.boxes().is_empty() { u64::MAX } else { hilbert(&extent) };
        self.keep(&feature.id, &payload, rank, Sort::Put(kind), place)
    }

    /// Keeps that an element is gone.
    pub fn delete(
        &mut self,
        kind: ElementKind,
        number: i64,
        meta: Option<&Meta>,
        rank: Rank,
        location: Location,
    ) -> io::Result<()> {
        let (id, payload) = (id::osm(kind, number), codec::encode(&meta));
        if payload.len() > MAX_DELETE {
            self.skip_too_large(location, id, payload.len(), MAX_DELETE);
            return Ok(());
        }
        self.keep(&id, &payload, rank, Sort::Delete(kind), 0)
    }

    fn keep(&mut self, id: &str, payload: &[u8], rank: Rank, sort: Sort, place: u64) -> io::Result<()> {
        let id = id.as_bytes();
        // Ids are checked or made of a number.
        let id_len = u8::try_from(id.len()).map_err(|_| ErrorKind::InvalidInput)?;
        let len = u32::try_from(1 + id.len() + payload.len()).map_err(|_| ErrorKind::InvalidInput)?;
        for bytes in [&[id_len][..], id, payload] {
            self.features.write_all(bytes)?;
        }
        let digest: [u8; 16] = part(&blake2b256(&[id]).0, 0);
        self.by_id.push(record(&[
            &digest,
            &rank.bytes(),
            &[sort.part_of_order(self.change)],
            &place.to_be_bytes(),
            &self.end.to_be_bytes(),
            &len.to_be_bytes(),
            &[sort.byte()],
        ]))?;
        self.end += u64::from(len);
        Ok(())
    }

    /// Counts a feature that is left out.
    pub fn skip(&mut self, location: Location, id: Option<String>, reason: impl Into<Reason>) {
        self.skipped.add(|| Skip { location, id, reason: reason.into() });
    }

    fn skip_too_large(&mut self, location: Location, id: String, bytes: usize, limit: usize) {
        self.skip(location, Some(id.clone()), FeatureError::TooLarge { id, bytes, limit });
    }

    /// Puts the items in order; of each id one is left.
    pub fn finish(self) -> io::Result<Spooled> {
        let features = self.features.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut order = Sorter::new(&self.dir);
        let by_id = self.by_id.finish()?;
        let mut records = by_id.iter()?.peekable();
        let (mut counts, mut deletes, mut skipped) = (Counts::default(), 0, self.skipped);
        while let Some(this) = records.next() {
            let this = this?;
            let newer =
                matches!(records.peek(), Some(Ok(next)) if part::<16>(next, 0) == part::<16>(&this, 0));
            let by_place = part::<BY_PLACE>(&this, 16 + RANK);
            if !newer {
                count(&mut counts, &mut deletes, part::<1>(&this, BY_ID - 1));
                order.push(by_place)?;
            } else if !self.change {
                let told = skipped.first.len() < Skipped::DETAILED;
                let id = told.then(|| read(&features, by_place)).transpose()?;
                let id = id.map(|item| item.id().to_owned());
                skipped.add(|| Skip { location: Location::File, id, reason: Reason::Replaced });
            }
        }
        Ok(Spooled { features, order: order.finish()?, change: self.change, counts, deletes, skipped })
    }
}

impl Spooled {
    pub fn items(&mut self) -> io::Result<impl Iterator<Item = io::Result<Item>> + use<'_>> {
        let features = &self.features;
        Ok(self.order.iter()?.map(move |record| read(features, record?)))
    }
}

fn read(mut features: &File, by_place: [u8; BY_PLACE]) -> io::Result<Item> {
    let ([part_of_order], offset, len) = (part::<1>(&by_place, 0), part(&by_place, 9), part(&by_place, 17));
    features.seek(SeekFrom::Start(u64::from_be_bytes(offset)))?;
    let mut bytes = Vec::new();
    features.take(u32::from_be_bytes(len).into()).read_to_end(&mut bytes)?;
    let (id_len, rest) = bytes.split_first().ok_or(ErrorKind::UnexpectedEof)?;
    let (id, payload) = rest.split_at_checked(usize::from(*id_len)).ok_or(ErrorKind::UnexpectedEof)?;
    let id = std::str::from_utf8(id).map_err(io::Error::other)?.to_owned();
    if part_of_order >= DELETES {
        let meta = codec::decode::<Option<Meta>, SPOOLED>("spooled delete", payload);
        return Ok(Item::Delete { id, meta: meta.map_err(io::Error::other)? });
    }
    Ok(Item::Put(Feature { id, body: decode_body(payload)? }))
}

/// Decodes a body that was encoded here; without the rules that hold for features in blocks.
pub(crate) fn decode_body(bytes: &[u8]) -> io::Result<Body> {
    codec::decode::<Body, SPOOLED>("spooled feature", bytes).map_err(io::Error::other)
}

impl Sort {
    /// A map is read by place, and what refers to something comes after it in a change, or goes before it.
    fn part_of_order(self, change: bool) -> u8 {
        match self {
            Sort::Delete(ElementKind::Relation) => DELETES,
            Sort::Delete(ElementKind::Way) => DELETES + 1,
            Sort::Delete(ElementKind::Node) => DELETES + 2,
            Sort::Put(Some(ElementKind::Way)) if change => 1,
            Sort::Put(Some(ElementKind::Relation)) if change => 2,
            Sort::Put(_) => 0,
        }
    }

    fn byte(self) -> u8 {
        match self {
            Sort::Put(Some(ElementKind::Node)) => 0,
            Sort::Put(Some(ElementKind::Way)) => 1,
            Sort::Put(Some(ElementKind::Relation)) => 2,
            Sort::Put(None) => 3,
            Sort::Delete(_) => 4,
        }
    }
}

fn count(counts: &mut Counts, deletes: &mut u64, sort: [u8; 1]) {
    let of = match sort {
        [0] => &mut counts.nodes,
        [1] => &mut counts.ways,
        [2] => &mut counts.relations,
        [3] => &mut counts.free,
        _ => deletes,
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
