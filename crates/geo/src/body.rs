//! What a block's payload says of a feature. All but the id, which is the entry's key.
//!
//! bincode (see `kappadb_core::codec`), in lists of a count and the items, without recursion:
//!
//! ```text
//! body     = version u8 (1) | kind u8 | by kind:
//!   0 node      tagged | position
//!   1 way       tagged | count, id differences i64 | count, places in the list without position (differences) | path | said
//!   2 relation  tagged | count, members (kind, id difference i64, role) | count, boxes
//!   3 free      form u8 | 0 part, or 1 count, parts, or 2 nothing | properties text | written text, if form has 4 | foreign text, if form has 8
//! tagged   = count, (key text, value text) | has meta u8 | version u32, edit
//! edit     = time option i64 ms | changeset i64 | uid i64 | user text
//! said     = count, edits | count (0, or that of the nodes), (version u32 | number of the edit, from 1, or 0; difference i64)*
//! part     = type u8 | 0 position | 1, 2 path | 3, 4 count, paths | 5 count, (count, paths)
//! path     = count | (longitude difference i64, latitude difference i64)*
//! position = longitude i32 | latitude i32
//! ```
//!
//! Differences are to the item before, and to 0 for the first. The paths of types 3 to 5 have two positions at least, in
//! type 3, and four in the others; lists other than paths and lists of paths have at most 2^20 items. So what a body takes
//! in memory is a few times its length, whatever it claims.

use crate::check::{BAD_EXTENT, BAD_FOREIGN, BAD_PROPERTIES, BAD_WRITTEN, TOO_MANY, check};
use crate::extent;
use crate::feature::{Body, Edit, Element, Feature, Free, Member, Meta, Shape, WayNode};
use crate::geometry::{Geometry, MIN_LINE, MIN_RING, Part};
use crate::id::ElementKind;
use crate::{FeatureError, geojson, json};
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use kappadb_core::codec::{self, refuse};
use kappadb_core::limits::{MAX_FEATURE_BODY, MAX_FEATURE_ITEMS};
use kappadb_core::{Coord, GeoBox, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Bytes in a body. One that does not fit into a block is written into blocks of its own.
pub const MAX_BODY: usize = MAX_FEATURE_BODY;

pub(crate) const WHAT: &str = "map feature";
/// bincode counts every number against its limit with its width in memory, 8 bytes for one that may take 1 in a body.
const BINCODE_LIMIT: usize = 8 * MAX_BODY + 64;
const VERSION: u8 = 1;
const NODE: u8 = 0;
const WAY: u8 = 1;
const RELATION: u8 = 2;
const FREE: u8 = 3;

/// A feature's body as bytes. Does not check that they can be read again: [`crate::put`] does.
pub fn encode(body: &Body) -> Vec<u8> {
    codec::encode(body)
}

/// The feature of this id from its body's bytes. Refuses what [`crate::put`] would refuse.
pub fn decode(id: &str, bytes: &[u8]) -> Result<Feature, FeatureError> {
    if bytes.len() > MAX_BODY {
        return Err(FeatureError::TooLarge { id: id.to_owned(), bytes: bytes.len(), limit: MAX_BODY });
    }
    let body = codec::decode::<Body, BINCODE_LIMIT>(WHAT, bytes)
        .map_err(|source| FeatureError::Body { id: id.to_owned(), source })?;
    let feature = Feature { id: id.to_owned(), body };
    check(&feature).map(|()| feature)
}

/// The kind of an element and its tags, as they stand at the front of its body, whether or not the rest of it is sound. None of other bodies.
pub(crate) fn front(bytes: &[u8]) -> Option<(ElementKind, Vec<(&str, &str)>)> {
    let (kind, tagged) = match bytes {
        [VERSION, NODE, rest @ ..] => (ElementKind::Node, rest),
        [VERSION, WAY, rest @ ..] => (ElementKind::Way, rest),
        [VERSION, RELATION, rest @ ..] => (ElementKind::Relation, rest),
        _ => return None,
    };
    codec::peek(tagged).map(|tags| (kind, tags))
}

type Encoded = Result<(), EncodeError>;

fn put_list<T, E: Encoder>(items: &[T], e: &mut E, mut put: impl FnMut(&T, &mut E) -> Encoded) -> Encoded {
    (items.len() as u64).encode(e)?;
    items.iter().try_for_each(|item| put(item, e))
}

/// Reads items as they come, so that a claimed count costs nothing: each item takes a byte at least. Their number is limited
/// because a small one takes twenty times its bytes in memory.
fn get_list<T, D: Decoder>(
    d: &mut D,
    get: impl FnMut(&mut D) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    match u64::decode(d)? {
        count if count > MAX_FEATURE_ITEMS as u64 => refuse(TOO_MANY),
        count => get_items(count, d, get),
    }
}

fn get_items<T, D: Decoder>(
    count: u64,
    d: &mut D,
    mut get: impl FnMut(&mut D) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    (0..count).map(|_| get(d)).collect()
}

/// Writes numbers as differences, wrapping, to the one before.
fn put_difference<E: Encoder>(last: &mut i64, value: i64, e: &mut E) -> Encoded {
    value.wrapping_sub(std::mem::replace(last, value)).encode(e)
}

fn get_difference<D: Decoder>(last: &mut i64, d: &mut D) -> Result<i64, DecodeError> {
    *last = last.wrapping_add(i64::decode(d)?);
    Ok(*last)
}

fn put_path<E: Encoder>(path: &[Coord], e: &mut E) -> Encoded {
    let (mut lon, mut lat) = (0, 0);
    put_list(path, e, |at, e| {
        put_difference(&mut lon, at.lon.into(), e)?;
        put_difference(&mut lat, at.lat.into(), e)
    })
}

fn get_path<D: Decoder>(d: &mut D) -> Result<Vec<Coord>, DecodeError> {
    let (mut lon, mut lat) = (0, 0);
    let count = u64::decode(d)?;
    get_items(count, d, |d| {
        let at = Coord::from_units(get_difference(&mut lon, d)?, get_difference(&mut lat, d)?);
        at.map_or_else(|| refuse("a position off the map"), Ok)
    })
}

fn put_paths<E: Encoder>(paths: &[Vec<Coord>], e: &mut E) -> Encoded {
    put_list(paths, e, |path, e| put_path(path, e))
}

/// `least` positions in each, as RFC 7946 asks of lines and rings: a path without any would be all overhead.
fn get_paths<D: Decoder>(least: usize, d: &mut D) -> Result<Vec<Vec<Coord>>, DecodeError> {
    let count = u64::decode(d)?;
    get_items(count, d, |d| {
        let path = get_path(d)?;
        if path.len() < least { refuse("a line or ring of too few positions") } else { Ok(path) }
    })
}

fn put_way<E: Encoder>(nodes: &[WayNode], e: &mut E) -> Encoded {
    let mut id = 0;
    put_list(nodes, e, |node, e| put_difference(&mut id, node.id, e))?;
    let missing: Vec<i64> = (0..).zip(nodes).filter(|(_, node)| node.at.is_none()).map(|(i, _)| i).collect();
    let mut at = 0;
    put_list(&missing, e, |&i, e| put_difference(&mut at, i, e))?;
    put_path(&nodes.iter().filter_map(|node| node.at).collect::<Vec<_>>(), e)?;
    put_said(nodes, e)
}

fn get_way<D: Decoder>(d: &mut D) -> Result<Vec<WayNode>, DecodeError> {
    let mut id = 0;
    let mut nodes = get_list(d, |d| Ok(WayNode::new(get_difference(&mut id, d)?)))?;
    let mut at = 0;
    let mut missing = get_list(d, |d| get_difference(&mut at, d))?.into_iter().peekable();
    let mut path = get_path(d)?.into_iter();
    for (i, node) in (0..).zip(&mut nodes) {
        if missing.next_if_eq(&i).is_none() {
            node.at = Some(path.next().map_or_else(|| refuse("nodes without a position"), Ok)?);
        }
    }
    if missing.next().is_some() || path.next().is_some() {
        return refuse("positions of no node");
    }
    get_said(&mut nodes, d)?;
    Ok(nodes)
}

/// Which versions the nodes are and which edits made them. Each edit once, in the order in which they come, since mostly one
/// made many.
fn put_said<E: Encoder>(nodes: &[WayNode], e: &mut E) -> Encoded {
    let mut numbers: BTreeMap<&Edit, i64> = BTreeMap::new();
    let mut edits: Vec<&Edit> = Vec::new();
    let mut said = Vec::with_capacity(nodes.len());
    let mut before: Option<(&Edit, i64)> = None;
    for node in nodes {
        let number = node.edit.as_deref().map_or(0, |edit| {
            let (_, number) = before.filter(|(last, _)| *last == edit).unwrap_or_else(|| {
                let number = *numbers.entry(edit).or_insert_with(|| {
                    edits.push(edit);
                    edits.len() as i64
                });
                (edit, number)
            });
            before = Some((edit, number));
            number
        });
        said.push((node.version, number));
    }
    if said.iter().all(|of_node| *of_node == (0, 0)) {
        said.clear();
    }
    put_list(&edits, e, |edit, e| edit.encode(e))?;
    let mut last = 0;
    put_list(&said, e, |(version, number), e| {
        version.encode(e)?;
        put_difference(&mut last, *number, e)
    })
}

fn get_said<D: Decoder>(nodes: &mut [WayNode], d: &mut D) -> Result<(), DecodeError> {
    let edits = get_list(d, |d| Ok(Arc::new(Edit::decode(d)?)))?;
    let mut last = 0;
    let said = get_list(d, |d| Ok((u32::decode(d)?, get_difference(&mut last, d)?)))?;
    if !said.is_empty() && said.len() != nodes.len() {
        return refuse("versions of no node");
    }
    if !said.is_empty() && said.iter().all(|of_node| *of_node == (0, 0)) {
        return refuse("versions that say nothing");
    }
    let mut used = 0;
    for (node, (version, number)) in nodes.iter_mut().zip(said) {
        node.version = version;
        if number != 0 {
            let place = number.checked_sub(1).and_then(|place| usize::try_from(place).ok());
            let edit =
                place.filter(|place| *place <= used).and_then(|place| Some((place, edits.get(place)?)));
            let Some((place, edit)) = edit else { return refuse("a node of an unknown edit") };
            used = used.max(place + 1);
            node.edit = Some(edit.clone());
        }
    }
    // Each once, in the order in which they come.
    if used != edits.len() || edits.iter().collect::<BTreeSet<_>>().len() != used {
        return refuse("edits of no node, or twice");
    }
    Ok(())
}

fn put_members<E: Encoder>(members: &[Member], e: &mut E) -> Encoded {
    let mut id = 0;
    put_list(members, e, |member, e| {
        member.kind.encode(e)?;
        put_difference(&mut id, member.id, e)?;
        member.role.encode(e)
    })
}

fn get_members<D: Decoder>(d: &mut D) -> Result<Vec<Member>, DecodeError> {
    let mut id = 0;
    get_list(d, |d| {
        let kind = ElementKind::decode(d)?;
        Ok(Member { kind, id: get_difference(&mut id, d)?, role: String::decode(d)? })
    })
}

impl Encode for Meta {
    fn encode<E: Encoder>(&self, e: &mut E) -> Encoded {
        self.version.encode(e)?;
        self.edit.encode(e)
    }
}

impl<C> Decode<C> for Meta {
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        Ok(Meta { version: u32::decode(d)?, edit: Edit::decode(d)? })
    }
}

impl Encode for Edit {
    fn encode<E: Encoder>(&self, e: &mut E) -> Encoded {
        (self.time, self.changeset, self.uid).encode(e)?;
        self.user.encode(e)
    }
}

impl<C> Decode<C> for Edit {
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        let (time, changeset, uid) = <(Option<Timestamp>, i64, i64)>::decode(d)?;
        Ok(Edit { time, changeset, uid, user: String::decode(d)? })
    }
}

fn put_element<E: Encoder>(element: &Element, e: &mut E) -> Encoded {
    put_list(&element.tags, e, |tag, e| tag.encode(e))?;
    element.meta.encode(e)?;
    match &element.shape {
        Shape::Node(at) => at.encode(e),
        Shape::Way(nodes) => put_way(nodes, e),
        Shape::Relation { members, extent } => {
            put_members(members, e)?;
            put_list(extent.boxes(), e, |b, e| b.encode(e))
        }
    }
}

fn get_element<D: Decoder>(kind: u8, d: &mut D) -> Result<Element, DecodeError> {
    let tags = get_list(d, |d| Ok((String::decode(d)?, String::decode(d)?)))?;
    let meta = Option::<Meta>::decode(d)?;
    let shape = match kind {
        NODE => Shape::Node(Coord::decode(d)?),
        WAY => Shape::Way(get_way(d)?),
        _ => {
            let members = get_members(d)?;
            let boxes = get_list(d, |d| GeoBox::decode(d))?;
            match extent::from_boxes(&boxes) {
                Some(extent) => Shape::Relation { members, extent },
                None => return refuse(BAD_EXTENT),
            }
        }
    };
    Ok(Element { shape, tags, meta })
}

fn put_part<E: Encoder>(part: &Part, e: &mut E) -> Encoded {
    match part {
        Part::Point(at) => (0u8, at).encode(e),
        Part::MultiPoint(path) => 1u8.encode(e).and_then(|()| put_path(path, e)),
        Part::LineString(path) => 2u8.encode(e).and_then(|()| put_path(path, e)),
        Part::MultiLineString(paths) => 3u8.encode(e).and_then(|()| put_paths(paths, e)),
        Part::Polygon(paths) => 4u8.encode(e).and_then(|()| put_paths(paths, e)),
        Part::MultiPolygon(list) => {
            5u8.encode(e).and_then(|()| put_list(list, e, |paths, e| put_paths(paths, e)))
        }
    }
}

fn get_part<D: Decoder>(d: &mut D) -> Result<Part, DecodeError> {
    Ok(match u8::decode(d)? {
        0 => Part::Point(Coord::decode(d)?),
        1 => Part::MultiPoint(get_path(d)?),
        2 => Part::LineString(get_path(d)?),
        3 => Part::MultiLineString(get_paths(MIN_LINE, d)?),
        4 => Part::Polygon(get_paths(MIN_RING, d)?),
        5 => Part::MultiPolygon(get_list(d, |d| get_paths(MIN_RING, d))?),
        _ => return refuse("a geometry of unknown type"),
    })
}

/// Added to the form of a free feature whose geometry is kept as it was written, too.
const WRITTEN: u8 = 4;
/// Added if it has other members.
const FOREIGN: u8 = 8;

fn put_free<E: Encoder>(free: &Free, e: &mut E) -> Encoded {
    let texts = [(&free.written, WRITTEN), (&free.foreign, FOREIGN)];
    let texts: Vec<(&String, u8)> = texts.into_iter().filter(|(text, _)| !text.is_empty()).collect();
    let more: u8 = texts.iter().map(|(_, form)| form).sum();
    match &free.geometry {
        Geometry::Single(part) => more.encode(e).and_then(|()| put_part(part, e))?,
        Geometry::Collection(parts) => {
            (1 + more).encode(e).and_then(|()| put_list(parts, e, |part, e| put_part(part, e)))?
        }
        Geometry::Null => (2 + more).encode(e)?,
    }
    free.properties.encode(e)?;
    texts.iter().try_for_each(|(text, _)| text.encode(e))
}

fn get_free<D: Decoder>(d: &mut D) -> Result<Free, DecodeError> {
    let form = u8::decode(d)?;
    let geometry = match form & !(WRITTEN | FOREIGN) {
        0 => Geometry::Single(get_part(d)?),
        1 => Geometry::Collection(get_list(d, |d| get_part(d))?),
        2 => Geometry::Null,
        _ => return refuse("a geometry of unknown form"),
    };
    let properties = String::decode(d)?;
    if !json::is_properties(&properties) {
        return refuse(BAD_PROPERTIES);
    }
    let mut text = |of| match form & of {
        0 => Ok(String::new()),
        _ => String::decode(d).and_then(|text| if text.is_empty() { refuse("no text") } else { Ok(text) }),
    };
    let (written, foreign) = (text(WRITTEN)?, text(FOREIGN)?);
    if !written.is_empty() && !geojson::says(&written, &geometry) {
        return refuse(BAD_WRITTEN);
    }
    if !foreign.is_empty() && !geojson::is_foreign(&foreign) {
        return refuse(BAD_FOREIGN);
    }
    Ok(Free { geometry, written, properties, foreign })
}

impl Encode for Body {
    fn encode<E: Encoder>(&self, e: &mut E) -> Encoded {
        VERSION.encode(e)?;
        match self {
            Body::Osm(element) => {
                let kind = match element.shape {
                    Shape::Node(_) => NODE,
                    Shape::Way(_) => WAY,
                    Shape::Relation { .. } => RELATION,
                };
                kind.encode(e)?;
                put_element(element, e)
            }
            Body::Free(free) => FREE.encode(e).and_then(|()| put_free(free, e)),
        }
    }
}

impl<C> Decode<C> for Body {
    fn decode<D: Decoder<Context = C>>(d: &mut D) -> Result<Self, DecodeError> {
        match <(u8, u8)>::decode(d)? {
            (VERSION, kind @ (NODE | WAY | RELATION)) => Ok(Body::Osm(get_element(kind, d)?)),
            (VERSION, FREE) => Ok(Body::Free(get_free(d)?)),
            (VERSION, _) => refuse("a feature of unknown kind"),
            _ => refuse("a feature of unknown format version"),
        }
    }
}
