//! Features on disk, until the whole file has been read.

use crate::error::{Location, Reason, Skip};
use crate::import::{Counts, Skipped};
use crate::lookup::key;
use crate::osm::{BareNode, Nodes, RANK, Rank};
use crate::portions::{Portions, Span};
use crate::sort::{Sorted, Sorter, part, record};
use kappadb_core::{blake2b256, codec};
use kappadb_geo::{
    Bare, Body, Element, ElementKind, Feature, Item, Meta, Prepared, Shape, WayNode, decode_delete, delete,
    hilbert, id, put,
};
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::iter;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Name | rank | place | offset u64 | length u32 | sort u8. Of one name the last record counts.
const BY_ID: usize = NAME + RANK + BY_PLACE;
/// Kind u8, then what an id has in a fixed width: an element's number, as a key, in 15 bytes; of other ids the start of the digest.
const NAME: usize = 16;
/// Part of the order u8 | place on the curve u64 | offset u64 | length u32 | sort u8.
const BY_PLACE: usize = 9 + 13;
const WHAT: &str = "spooled feature";

/// Takes features in any order.
pub(crate) struct Spool {
    dir: std::path::PathBuf,
    /// What is to be written of each item, as [`Prepared`].
    features: BufWriter<File>,
    end: u64,
    /// Those of the item at hand.
    bytes: Vec<u8>,
    by_id: Sorter<BY_ID>,
    /// The nodes of ways.
    carried: Sorter<8>,
    /// True if the file has changes: several versions of an element are no mistake.
    pub change: bool,
    /// True if ways of the file have a node at different places.
    pub torn: bool,
    /// Elements of which the version or edit could not be read.
    pub unclear: u64,
    /// Elements that got an id for a placeholder.
    pub renamed: u64,
    /// Names of what the file says beside its features.
    pub unkept: BTreeSet<String>,
    pub skipped: Skipped,
}

/// All items of a file in their order, each id once.
#[derive(Debug)]
pub(crate) struct Spooled {
    features: File,
    order: Sorted<BY_PLACE>,
    /// What the file says of nodes, if it is a map.
    nodes: Option<Nodes>,
    carried: Sorted<8>,
    /// True if a way came more than once, so that it may have nodes no more that are carried, or if ways have a node at different places.
    pub contradicts_itself: bool,
    pub change: bool,
    pub unclear: u64,
    pub renamed: u64,
    pub unkept: BTreeSet<String>,
    pub counts: Counts,
    pub deletes: u64,
    pub skipped: Skipped,
}

/// Sorts of items.
#[derive(Clone, Copy)]
enum Sort {
    Put { kind: Option<ElementKind>, is_edit: bool },
    Delete(ElementKind),
}

impl Spool {
    pub fn new(dir: &Path) -> io::Result<Self> {
        let features = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(dir)?);
        let (by_id, carried, skipped) = (Sorter::new(dir), Sorter::new(dir), Skipped::default());
        Ok(Spool {
            dir: dir.to_owned(),
            features,
            end: 0,
            bytes: Vec::new(),
            by_id,
            carried,
            change: false,
            torn: false,
            unclear: 0,
            renamed: 0,
            unkept: BTreeSet::new(),
            skipped,
        })
    }

    /// Where temporary files go.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a feature, or skips it if it cannot be put in a block.
    pub fn add(
        &mut self,
        feature: &Feature,
        is_edit: bool,
        rank: Rank,
        location: Location,
    ) -> io::Result<()> {
        let prepared = match put(feature) {
            Ok(prepared) => prepared,
            Err(e) => {
                self.skip(location, Some(feature.id.clone()), e);
                return Ok(());
            }
        };
        let kind = match &feature.body {
            Body::Osm(element) => Some(element.shape.kind()),
            Body::Free(_) => None,
        };
        if let Body::Osm(Element { shape: Shape::Way(nodes), .. }) = &feature.body {
            nodes.iter().try_for_each(|node| self.carried.push(key(node.id)))?;
        }
        let extent = feature.extent();
        let place = if extent.boxes().is_empty() { u64::MAX } else { hilbert(&extent) };
        self.keep(&prepared, rank, Sort::Put { kind, is_edit }, place)
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
        let id = id::osm(kind, number);
        match delete(&id, meta) {
            Ok(prepared) => self.keep(&prepared, rank, Sort::Delete(kind), 0),
            Err(e) => {
                self.skip(location, Some(id), e);
                Ok(())
            }
        }
    }

    fn keep(&mut self, prepared: &Prepared, rank: Rank, sort: Sort, place: u64) -> io::Result<()> {
        self.bytes.clear();
        codec::encode_into(prepared, &mut self.bytes);
        let len = u32::try_from(self.bytes.len()).map_err(|_| ErrorKind::InvalidInput)?;
        self.features.write_all(&self.bytes)?;
        self.by_id.push(record(&[
            &name(&prepared.key),
            &rank.bytes(),
            &[sort.part_of_order()],
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

    /// Puts the items in order; of each id one is left.
    pub fn finish(self, nodes: Option<Nodes>) -> io::Result<Spooled> {
        let features = self.features.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut order = Sorter::new(&self.dir);
        let by_id = self.by_id.finish()?;
        let mut records = by_id.iter()?.peekable();
        let (mut counts, mut deletes, mut skipped) = (Counts::default(), 0, self.skipped);
        let mut contradicts_itself = self.torn;
        let overridden = nodes.as_ref().map_or(Ok(Vec::new()), Nodes::overridden)?;
        let named = |number| name_of(ElementKind::Node, number);
        let overridden: HashSet<[u8; NAME]> = overridden.into_iter().map(named).collect();
        while let Some(this) = records.next() {
            let this = this?;
            let newer = matches!(records.peek(), Some(Ok(next)) if part::<NAME>(next, 0) == part::<NAME>(&this, 0))
                || overridden.contains(&part(&this, 0));
            let by_place = part::<BY_PLACE>(&this, NAME + RANK);
            let sort = Sort::of(part(&this, BY_ID - 1));
            if !newer {
                count(&mut counts, &mut deletes, sort);
                order.push(by_place)?;
                continue;
            }
            contradicts_itself |= matches!(sort, Sort::Put { kind: Some(ElementKind::Way), .. });
            // The same once more is no loss.
            let is_repeated = match records.peek() {
                Some(Ok(next)) => is_same(&features, by_place, part(next, NAME + RANK))?,
                _ => false,
            };
            if !self.change && !is_repeated {
                let told = skipped.first.len() < Skipped::DETAILED;
                let id = told.then(|| item(&by_place, &read_one(&features, &by_place)?)).transpose()?;
                let id = id.map(|item| item.id().to_owned());
                skipped.add(|| Skip { location: Location::File, id, reason: Reason::Replaced });
            }
        }
        let (order, carried) = (order.finish()?, self.carried.finish()?);
        let (change, unclear, unkept) = (self.change, self.unclear, self.unkept);
        Ok(Spooled {
            features,
            order,
            nodes,
            carried,
            contradicts_itself,
            change,
            unclear,
            renamed: self.renamed,
            unkept,
            counts,
            deletes,
            skipped,
        })
    }
}

/// What an id has in a fixed width: no two ids have the same.
fn name(id: &[u8]) -> [u8; NAME] {
    match std::str::from_utf8(id).ok().and_then(id::parse_osm) {
        Some((kind, number)) => name_of(kind, number),
        None => record(&[&[FREE], &blake2b256(&[id]).0[..]]),
    }
}

fn name_of(kind: ElementKind, number: i64) -> [u8; NAME] {
    record(&[&[kind_byte(Some(kind))], &key(number)])
}

impl Spooled {
    pub fn items<'a, W: Fn(usize, Option<ElementKind>) -> bool + 'a>(
        &'a self,
        from: usize,
        wanted: W,
    ) -> io::Result<impl Iterator<Item = io::Result<(usize, Item)>> + use<'a, W>> {
        let records = (from..).zip(self.order.iter_from(from as u64)?);
        let wanted = records.filter(move |(number, record)| {
            record.as_ref().map_or(true, |record| wanted(*number, Sort::of(part(record, 21)).kind()))
        });
        let spans = wanted.map(|(number, record)| record.and_then(|r| Ok(((number, r), span(&r)?))));
        let mut portions = Portions::new(&self.features, spans);
        let read = |(number, record), bytes: &_| Ok((number, item(&record, bytes)?));
        Ok(iter::from_fn(move || portions.next(read)))
    }

    pub fn prepared(&self) -> io::Result<impl Iterator<Item = io::Result<Prepared>> + use<'_>> {
        let spans = self.order.iter_from(0)?.map(|record| Ok(((), span(&record?)?)));
        let mut portions = Portions::new(&self.features, spans);
        Ok(iter::from_fn(move || portions.next(|(), bytes| prepared(bytes))))
    }

    /// Nodes without tags, by their ids.
    pub fn each_bare(&mut self, each: &mut dyn FnMut(Bare) -> io::Result<()>) -> io::Result<()> {
        let Some(nodes) = &mut self.nodes else { return Ok(()) };
        let mut carried = self.carried.iter()?.peekable();
        nodes.each_bare(&mut |BareNode { node, is_edit, of_way }| {
            let key = key(node.id);
            while carried.next_if(|next| next.as_ref().is_ok_and(|next| *next < key)).is_some() {}
            let is_carried = match carried.peek() {
                Some(Err(_)) => return carried.next().map_or(Ok(()), |failed| failed.map(drop)),
                next => next.is_some_and(|next| next.as_ref().is_ok_and(|next| *next == key)),
            };
            each(Bare { node, is_edit, is_carried, of_way })
        })
    }

    /// What the file says of a node.
    pub fn said(&mut self, node: i64) -> io::Result<Option<(WayNode, bool)>> {
        self.nodes.as_mut().map_or(Ok(None), |nodes| nodes.said(node))
    }
}

/// True if two items say the same of one id.
fn is_same(features: &File, one: [u8; BY_PLACE], other: [u8; BY_PLACE]) -> io::Result<bool> {
    let said = |item: &[u8; BY_PLACE]| part::<5>(item, 17);
    Ok(said(&one) == said(&other) && read_one(features, &one)? == read_one(features, &other)?)
}

/// Where the bytes of an item lie, and how many they are.
fn span(record: &[u8; BY_PLACE]) -> io::Result<Span> {
    let (offset, len) = (u64::from_be_bytes(part(record, 9)), u32::from_be_bytes(part(record, 17)));
    Ok((offset, usize::try_from(len).map_err(io::Error::other)?))
}

fn read_one(features: &File, record: &[u8; BY_PLACE]) -> io::Result<Vec<u8>> {
    let (offset, len) = span(record)?;
    let mut bytes = vec![0; len];
    features.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn prepared(bytes: &[u8]) -> io::Result<Prepared> {
    codec::decode_own(WHAT, bytes).map_err(io::Error::other)
}

fn item(record: &[u8; BY_PLACE], bytes: &[u8]) -> io::Result<Item> {
    let Prepared { key, payload, .. } = prepared(bytes)?;
    let id = String::from_utf8(key).map_err(io::Error::other)?;
    match Sort::of(part(record, 21)) {
        Sort::Put { is_edit, .. } => {
            Ok(Item::Put { feature: Feature { id, body: decode_body(&payload)? }, is_edit })
        }
        Sort::Delete(_) => Ok(Item::Delete { id, meta: decode_delete(&payload).map_err(io::Error::other)? }),
    }
}

/// Decodes a body that was encoded here; without the rules that hold for features in blocks.
pub(crate) fn decode_body(bytes: &[u8]) -> io::Result<Body> {
    codec::decode_own(WHAT, bytes).map_err(io::Error::other)
}

/// The kind byte of what is no element.
const FREE: u8 = 3;

fn kind_byte(kind: Option<ElementKind>) -> u8 {
    match kind {
        Some(ElementKind::Node) => 0,
        Some(ElementKind::Way) => 1,
        Some(ElementKind::Relation) => 2,
        None => FREE,
    }
}

impl Sort {
    /// What is there is read by place; what is gone comes after it.
    fn part_of_order(self) -> u8 {
        u8::from(matches!(self, Sort::Delete(_)))
    }

    fn kind(self) -> Option<ElementKind> {
        match self {
            Sort::Put { kind, .. } => kind,
            Sort::Delete(kind) => Some(kind),
        }
    }

    /// Kind, with 4 for an edit and 8 for a delete.
    fn byte(self) -> u8 {
        match self {
            Sort::Put { kind, is_edit } => kind_byte(kind) | if is_edit { 4 } else { 0 },
            Sort::Delete(kind) => kind_byte(Some(kind)) | 8,
        }
    }

    fn of([byte]: [u8; 1]) -> Sort {
        let kind = match byte & 3 {
            0 => Some(ElementKind::Node),
            1 => Some(ElementKind::Way),
            2 => Some(ElementKind::Relation),
            _ => None,
        };
        match kind {
            Some(kind) if byte & 8 != 0 => Sort::Delete(kind),
            kind => Sort::Put { kind, is_edit: byte & 4 != 0 },
        }
    }
}

fn count(counts: &mut Counts, deletes: &mut u64, sort: Sort) {
    let of = match sort {
        Sort::Put { kind: Some(ElementKind::Node), .. } => &mut counts.nodes,
        Sort::Put { kind: Some(ElementKind::Way), .. } => &mut counts.ways,
        Sort::Put { kind: Some(ElementKind::Relation), .. } => &mut counts.relations,
        Sort::Put { kind: None, .. } => &mut counts.free,
        Sort::Delete(_) => deletes,
    };
    *of += 1;
}
