//! Elements of OpenStreetMap as features: what their properties say besides tags (`design/map.md`, "GeoJSON").

use super::{GeoJsonError, Read};
use crate::feature::{Edit, Element, Member, Meta, Shape, WayNode};
use crate::geometry::Part;
use crate::id::{ElementKind, osm, parse_osm};
use crate::{geojson::is_area, json, ring};
use kappadb_core::{Coord, Extent, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

const TYPE: &str = "@type";
const ID: &str = "@id";
const NODES: &str = "@nodes";
const UNPLACED: &str = "@unplaced";
const VERSIONS: &str = "@node_versions";
const EDITS: &str = "@edits";
const NODE_EDITS: &str = "@node_edits";
const REVERSED: &str = "@reversed";
const MEMBERS: &str = "@members";
const VERSION: &str = "@version";
const TIME: &str = "@time";
const CHANGESET: &str = "@changeset";
const UID: &str = "@uid";
const USER: &str = "@user";
/// What the name of a property begins with that is no tag. A tag's key that begins with it has it twice.
const MARK: char = '@';

/// An edit, without what the source did not say.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct EditText {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    #[serde(skip_serializing_if = "is_zero")]
    changeset: i64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
}

#[derive(Serialize, Deserialize)]
struct MemberText {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "ref")]
    id: i64,
    #[serde(default)]
    role: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Tags in their order, and all else that the element is but where it is.
pub(super) fn properties(id: &str, element: &Element) -> String {
    let mut out = Properties(Vec::new());
    for (key, value) in &element.tags {
        let key = if key.starts_with(MARK) { format!("{MARK}{key}") } else { key.clone() };
        out.put(&key, value);
    }
    if let Some((kind, number)) = parse_osm(id) {
        out.put(TYPE, kind.name());
        out.put(ID, number);
    }
    match &element.shape {
        Shape::Node(_) => {}
        Shape::Way(nodes) => out.way(element, nodes),
        Shape::Relation { members, .. } => {
            let text = |m: &Member| MemberText { kind: m.kind.name().into(), id: m.id, role: m.role.clone() };
            out.put(MEMBERS, members.iter().map(text).collect::<Vec<_>>());
        }
    }
    element.meta.iter().for_each(|meta| out.meta(meta));
    out.text()
}

/// Names and values, which are JSON.
struct Properties(Vec<(String, String)>);

impl Properties {
    fn put(&mut self, name: &str, value: impl Serialize) {
        self.0.push((name.to_owned(), json!(value).to_string()));
    }

    fn way(&mut self, element: &Element, nodes: &[WayNode]) {
        self.put(NODES, nodes.iter().map(|node| node.id).collect::<Vec<_>>());
        let unplaced: Vec<usize> =
            (0..).zip(nodes).filter(|(_, node)| node.at.is_none()).map(|(at, _)| at).collect();
        if !unplaced.is_empty() {
            self.put(UNPLACED, unplaced);
        }
        if nodes.iter().any(|node| node.version != 0) {
            self.put(VERSIONS, nodes.iter().map(|node| node.version).collect::<Vec<_>>());
        }
        self.edits(nodes);
        let line: Vec<Coord> = nodes.iter().filter_map(|node| node.at).collect();
        if is_area(element) && ring::twice_area(&line) < 0 {
            self.put(REVERSED, true);
        }
    }

    /// Each edit once, and for each node the number of its own, from 1.
    fn edits(&mut self, nodes: &[WayNode]) {
        let mut numbers: HashMap<&Edit, usize> = HashMap::new();
        let mut edits = Vec::new();
        let mut number = |edit| {
            *numbers.entry(edit).or_insert_with(|| {
                edits.push(EditText::of(edit));
                edits.len()
            })
        };
        let of_nodes: Vec<usize> =
            nodes.iter().map(|node| node.edit.as_deref().map_or(0, &mut number)).collect();
        if !edits.is_empty() {
            self.put(EDITS, edits);
            self.put(NODE_EDITS, of_nodes);
        }
    }

    fn meta(&mut self, Meta { version, edit: Edit { time, changeset, uid, user } }: &Meta) {
        if *version != 0 {
            self.put(VERSION, version);
        }
        if let Some(time) = time {
            self.put(TIME, time.0);
        }
        for (name, number) in [(CHANGESET, changeset), (UID, uid)] {
            if *number != 0 {
                self.put(name, number);
            }
        }
        if !user.is_empty() {
            self.put(USER, user);
        }
    }

    fn text(&self) -> String {
        json::object(&self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect::<Vec<_>>())
    }
}

impl EditText {
    fn of(edit: &Edit) -> EditText {
        let Edit { time, changeset, uid, user } = edit;
        EditText { time: time.map(|time| time.0), changeset: *changeset, uid: *uid, user: user.clone() }
    }

    fn into_edit(self) -> Edit {
        let EditText { time, changeset, uid, user } = self;
        Edit { time: time.map(Timestamp), changeset, uid, user }
    }
}

impl Default for EditText {
    fn default() -> Self {
        EditText::of(&Edit::default())
    }
}

/// A feature that may be an element.
pub(super) struct Source<'a> {
    pub bbox: &'a Value,
    /// Its geometry's parts.
    pub parts: Vec<Part>,
    pub said: Said<'a>,
}

/// What properties say, without `null`: programs write that for every column that a feature does not have.
pub(super) struct Said<'a>(Vec<(String, &'a str)>);

impl<'a> Said<'a> {
    pub fn of(properties: &'a str) -> Said<'a> {
        let mut members = json::members(properties);
        members.retain(|(_, value)| *value != "null");
        Said(members)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// A value; also one that a program without lists has made a text of.
    fn get<T: DeserializeOwned>(&self, name: &'static str, wanted: &'static str) -> Read<Option<T>> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let quoted = || serde_json::from_str(&serde_json::from_str::<String>(value).ok()?).ok();
        let read = serde_json::from_str(value).ok().or_else(quoted);
        read.map(Some).ok_or(GeoJsonError::Property { name, wanted })
    }

    /// Which element it is, if it is one: `@type` and `@id`, or `@type` and an id as of an element. By its id alone it is one
    /// if that is known to be meant.
    pub fn names(&self, id: Option<&str>, by_id: bool) -> Read<Option<(ElementKind, i64)>> {
        let own = id.and_then(parse_osm);
        let kind = match self.get::<String>(TYPE, KIND)? {
            None => return Ok(own.filter(|_| by_id)),
            Some(name) => kind_of(&name).ok_or(GeoJsonError::Property { name: TYPE, wanted: KIND })?,
        };
        let number = self.get::<i64>(ID, "a whole number")?;
        match (number, own) {
            (Some(number), Some(own)) if own != (kind, number) => {
                Err(GeoJsonError::TwoIds { id: osm(own.0, own.1), other: osm(kind, number) })
            }
            (Some(number), _) => Ok(Some((kind, number))),
            (None, own) => Ok(own.filter(|own| own.0 == kind)),
        }
    }

    fn tags(&self) -> Read<Vec<(String, String)>> {
        let mut tags = Vec::with_capacity(self.0.len());
        for (name, value) in &self.0 {
            let key = match name.strip_prefix(MARK) {
                None => name.as_str(),
                Some(key) if key.starts_with(MARK) => key,
                Some(_) => continue,
            };
            tags.push((key.to_owned(), tag(key, value)?));
        }
        Ok(tags)
    }

    fn meta(&self) -> Read<Option<Meta>> {
        let edit = Edit {
            time: self.get(TIME, "milliseconds since 1970")?.map(Timestamp),
            changeset: self.get(CHANGESET, "a whole number")?.unwrap_or(0),
            uid: self.get(UID, "a whole number")?.unwrap_or(0),
            user: self.get(USER, "a text")?.unwrap_or_default(),
        };
        let meta = Meta { version: self.get(VERSION, "a whole number")?.unwrap_or(0), edit };
        Ok(Some(meta).filter(|meta| *meta != Meta::default()))
    }

    /// The nodes of a way, but where they are.
    fn nodes(&self) -> Read<Vec<WayNode>> {
        let ids: Vec<i64> = self.get(NODES, NUMBERS)?.ok_or(GeoJsonError::Unsaid { what: NODES })?;
        let versions: Vec<u32> = self.get(VERSIONS, PER_NODE)?.unwrap_or_else(|| vec![0; ids.len()]);
        let edits: Vec<EditText> = self.get(EDITS, "a list of edits")?.unwrap_or_default();
        let edits: Vec<_> = edits.into_iter().map(|edit| Arc::new(edit.into_edit())).collect();
        let numbers: Vec<usize> = self.get(NODE_EDITS, PER_NODE)?.unwrap_or_else(|| vec![0; ids.len()]);
        if versions.len() != ids.len() {
            return Err(GeoJsonError::Property { name: VERSIONS, wanted: PER_NODE });
        }
        if numbers.len() != ids.len() || numbers.iter().any(|number| *number > edits.len()) {
            return Err(GeoJsonError::Property { name: NODE_EDITS, wanted: PER_NODE });
        }
        let edit = |number: usize| edits.get(number.checked_sub(1)?).cloned();
        let nodes = ids.into_iter().zip(versions).zip(numbers);
        Ok(nodes
            .map(|((id, version), number)| WayNode { id, at: None, version, edit: edit(number) })
            .collect())
    }
}

const KIND: &str = "\"node\", \"way\" or \"relation\"";
const NUMBERS: &str = "a list of the ids of nodes";
const PER_NODE: &str = "a list with one number for each node";

/// An element, from what says that it is one.
pub(super) fn read(kind: ElementKind, source: &Source<'_>) -> Read<Element> {
    let said = &source.said;
    let shape = match kind {
        ElementKind::Node => Shape::Node(match source.parts.as_slice() {
            [Part::Point(at)] => *at,
            [] => return Err(GeoJsonError::Coordinates { of: "node", wanted: "those of a Point" }),
            _ => return Err(GeoJsonError::Coordinates { of: "node", wanted: "those of a Point" }),
        }),
        ElementKind::Way => Shape::Way(way(source)?),
        ElementKind::Relation => Shape::Relation { members: members(said)?, extent: extent(source.bbox)? },
    };
    Ok(Element { shape, tags: said.tags()?, meta: said.meta()? })
}

fn way(source: &Source<'_>) -> Read<Vec<WayNode>> {
    let mut nodes = source.said.nodes()?;
    let unplaced: Vec<usize> = source.said.get(UNPLACED, "places in \"@nodes\"")?.unwrap_or_default();
    let positions = match source.parts.as_slice() {
        [] => Vec::new(),
        [Part::Point(only)] => vec![*only],
        [Part::LineString(line)] => line.clone(),
        [Part::Polygon(rings)] if rings.len() == 1 => {
            let mut line = rings.concat();
            // Whoever wrote it may have turned it.
            ring::wind(&mut line, true);
            if source.said.get(REVERSED, "true or false")?.unwrap_or(false) {
                line.reverse();
            }
            line
        }
        _ => return Err(GeoJsonError::Coordinates { of: "way", wanted: "those of one line or one ring" }),
    };
    let unplaced: BTreeSet<usize> = unplaced.into_iter().collect();
    let placed: Vec<usize> = (0..nodes.len()).filter(|at| !unplaced.contains(at)).collect();
    if placed.len() != positions.len() {
        return Err(GeoJsonError::Misfit { nodes: placed.len(), positions: positions.len() });
    }
    for (node, at) in placed.into_iter().zip(positions) {
        nodes.get_mut(node).into_iter().for_each(|node| node.at = Some(at));
    }
    Ok(nodes)
}

fn members(said: &Said<'_>) -> Read<Vec<Member>> {
    let wanted = "a list of objects with \"type\", \"ref\" and \"role\"";
    let texts: Vec<MemberText> = said.get(MEMBERS, wanted)?.ok_or(GeoJsonError::Unsaid { what: MEMBERS })?;
    let member = |MemberText { kind, id, role }| Some(Member { kind: kind_of(&kind)?, id, role });
    let members: Option<Vec<Member>> = texts.into_iter().map(member).collect();
    members.ok_or(GeoJsonError::Property { name: MEMBERS, wanted })
}

fn extent(bbox: &Value) -> Read<Extent> {
    if bbox.is_null() {
        return Ok(Extent::NOWHERE);
    }
    let wanted = GeoJsonError::Coordinates { of: "bbox", wanted: "four numbers: west, south, east, north" };
    let numbers: Option<Vec<f64>> =
        bbox.as_array().and_then(|numbers| numbers.iter().map(Value::as_f64).collect());
    match numbers.as_deref() {
        Some([west, south, east, north]) => Ok(Extent::from_degrees(*west, *south, *east, *north)?),
        _ => Err(wanted),
    }
}

fn kind_of(name: &str) -> Option<ElementKind> {
    [ElementKind::Node, ElementKind::Way, ElementKind::Relation].into_iter().find(|kind| kind.name() == name)
}

/// A tag's value. Programs make numbers of what looks like one.
fn tag(key: &str, value: &str) -> Read<String> {
    match serde_json::from_str(value) {
        Ok(Value::String(text)) => Ok(text),
        Ok(Value::Number(_) | Value::Bool(_)) => Ok(value.to_owned()),
        _ => Err(GeoJsonError::TagValue { key: key.to_owned() }),
    }
}
