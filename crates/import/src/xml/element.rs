//! One node, way or relation, from its tags.

use super::attributes::{Attributes, Trouble, bad_value, parse};
use super::reader::Place;
use crate::error::{Reason, XmlDamage};
use crate::osm::{self, Versions};
use kappadb_core::{Coord, Extent, Timestamp};
use kappadb_geo::{Element, ElementKind, Member, Meta, Shape, WayNode, id};
use std::borrow::Cow;

/// An element as far as it was read.
pub(super) struct Parsed {
    pub kind: ElementKind,
    /// Where its tag is.
    pub place: Place,
    id: Option<i64>,
    at: Position,
    nodes: Vec<WayNode>,
    members: Vec<Member>,
    tags: Vec<(String, String)>,
    meta: Meta,
    mark: Mark,
    /// Something of its version and edit could not be read.
    pub is_unclear: bool,
    /// The first thing that is wrong with it.
    trouble: Option<Reason>,
}

/// What a whole element says.
pub(super) enum Whole {
    /// Positions of nodes may be missing, and a relation is nowhere yet.
    Here {
        id: i64,
        element: Element,
        is_edit: bool,
    },
    Gone {
        kind: ElementKind,
        id: i64,
        meta: Option<Meta>,
    },
}

/// What stands around an element, or in an attribute, of what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// It is as it says.
    None,
    /// Somebody made this of the version that it names.
    Edit,
    Gone,
}

/// `lat` and `lon`, as far as they were read.
#[derive(Default, Clone, Copy)]
struct Position {
    lat: Option<f64>,
    lon: Option<f64>,
}

impl Position {
    /// Takes an attribute if it is one of these.
    fn take(&mut self, name: &str, value: &str) -> Result<(), Reason> {
        match name {
            "lat" => self.lat = Some(parse("lat", value)?),
            "lon" => self.lon = Some(parse("lon", value)?),
            _ => {}
        }
        Ok(())
    }

    /// None if it has neither.
    fn coord(self) -> Result<Option<Coord>, Reason> {
        match (self.lon, self.lat) {
            (None, None) => Ok(None),
            (None, _) => Err(Reason::Missing { attribute: "lon" }),
            (_, None) => Err(Reason::Missing { attribute: "lat" }),
            (Some(lon), Some(lat)) => Coord::from_degrees(lon, lat).map(Some).map_err(|_| Reason::OffTheMap),
        }
    }

    /// Where a node is.
    fn of_node(self) -> Result<Coord, Reason> {
        self.coord()?.ok_or(Reason::Missing { attribute: "position" })
    }
}

/// Which element a tag opens, if it does.
pub(super) fn kind_of(name: &str) -> Option<ElementKind> {
    match name {
        "node" => Some(ElementKind::Node),
        "way" => Some(ElementKind::Way),
        "relation" => Some(ElementKind::Relation),
        _ => None,
    }
}

impl Parsed {
    /// From the tag that opens it.
    pub fn new(
        kind: ElementKind,
        place: Place,
        mark: Mark,
        tag: &Attributes<'_>,
    ) -> Result<Parsed, XmlDamage> {
        let mut new = Parsed {
            kind,
            place,
            id: None,
            at: Position::default(),
            nodes: Vec::new(),
            members: Vec::new(),
            tags: Vec::new(),
            meta: Meta::default(),
            mark,
            is_unclear: false,
            trouble: None,
        };
        let read = tag.each(|name, value| new.attribute(name, value));
        new.note(read)?;
        Ok(new)
    }

    /// Keeps the first bad value.
    fn note(&mut self, read: Result<(), Trouble>) -> Result<(), XmlDamage> {
        match read {
            Err(Trouble::Damage(damage)) => return Err(damage),
            Err(Trouble::Value(reason)) => drop(self.trouble.get_or_insert(reason)),
            Ok(()) => {}
        }
        Ok(())
    }

    fn attribute(&mut self, name: &str, value: Cow<'_, str>) -> Result<(), Reason> {
        match name {
            "id" => self.id = Some(parse("id", &value)?),
            "visible" if value == "false" => self.mark = Mark::Gone,
            // As JOSM keeps what it has not yet uploaded.
            "action" if value == "delete" => self.mark = Mark::Gone,
            "action" if value == "modify" && self.mark == Mark::None => self.mark = Mark::Edit,
            "version" => self.meta.version = self.number(&value).try_into().unwrap_or_default(),
            "timestamp" => self.meta.edit.time = self.time(&value),
            "changeset" => self.meta.edit.changeset = self.number(&value),
            "uid" => self.meta.edit.uid = self.number(&value),
            "user" => self.meta.edit.user = value.into_owned(),
            name => self.at.take(name, &value)?,
        }
        Ok(())
    }

    /// A version or the number of a changeset or author; 0 if it is not known, for which some programs write -1 or nothing. What cannot be
    /// read costs no more than itself.
    fn number(&mut self, value: &str) -> i64 {
        let known = value.parse::<i64>();
        self.is_unclear |= !value.is_empty() && known.is_err();
        known.unwrap_or_default().max(0)
    }

    /// In UTC if it names no zone.
    fn time(&mut self, value: &str) -> Option<Timestamp> {
        // A number alone would be milliseconds.
        let text = value.trim();
        let dated = text.contains('T').then_some(text);
        let time = dated.and_then(|text| text.parse().or_else(|_| format!("{text}Z").parse()).ok());
        self.is_unclear |= !text.is_empty() && time.is_none();
        time
    }

    /// Takes what is in it.
    pub fn part(&mut self, tag: &Attributes<'_>) -> Result<Known, XmlDamage> {
        let read = match (tag.name(), self.kind) {
            ("tag", _) => self.tag(tag),
            ("nd", ElementKind::Way) => self.node(tag),
            ("member", ElementKind::Relation) => self.member(tag),
            ("nd" | "member", _) => return Ok(Known::Misplaced),
            _ => return Ok(Known::No),
        };
        self.note(read).map(|()| Known::Yes)
    }

    fn tag(&mut self, tag: &Attributes<'_>) -> Result<(), Trouble> {
        let (mut key, mut text) = (None, None);
        tag.each(|name, value| {
            match name {
                "k" => key = Some(value.into_owned()),
                "v" => text = Some(value.into_owned()),
                _ => {}
            }
            Ok(())
        })?;
        let key = key.ok_or(Reason::Missing { attribute: "k of a tag" })?;
        self.tags.push((key, text.ok_or(Reason::Missing { attribute: "v of a tag" })?));
        Ok(())
    }

    fn node(&mut self, tag: &Attributes<'_>) -> Result<(), Trouble> {
        let (mut id, mut at) = (None, Position::default());
        tag.each(|name, value| {
            match name {
                "ref" => id = Some(parse("ref of a node", &value)?),
                name => at.take(name, &value)?,
            }
            Ok(())
        })?;
        let id = id.ok_or(Reason::Missing { attribute: "ref of a node" })?;
        self.nodes.push(WayNode { at: at.coord()?, ..WayNode::new(id) });
        Ok(())
    }

    fn member(&mut self, tag: &Attributes<'_>) -> Result<(), Trouble> {
        let (mut id, mut kind, mut role) = (None, None, String::new());
        tag.each(|name, value| {
            match name {
                "ref" => id = Some(parse("ref of a member", &value)?),
                "type" => {
                    kind = Some(kind_of(&value).ok_or_else(|| bad_value("type of a member", &value))?);
                }
                "role" => role = value.into_owned(),
                _ => {}
            }
            Ok(())
        })?;
        let kind = kind.ok_or(Reason::Missing { attribute: "type of a member" })?;
        let id = id.ok_or(Reason::Missing { attribute: "ref of a member" })?;
        self.members.push(Member { kind, id, role });
        Ok(())
    }

    /// What it is, now that all of it was read.
    pub fn finish(self) -> Result<Whole, Reason> {
        let id = match (self.id, self.trouble) {
            (Some(id), None) => id,
            (_, Some(reason)) => return Err(reason),
            (None, None) => return Err(Reason::Missing { attribute: "id" }),
        };
        let meta = Some(self.meta).filter(|meta| *meta != Meta::default());
        if self.mark == Mark::Gone {
            return Ok(Whole::Gone { kind: self.kind, id, meta });
        }
        let shape = match self.kind {
            ElementKind::Node => Shape::Node(self.at.of_node()?),
            ElementKind::Way => Shape::Way(self.nodes),
            ElementKind::Relation => Shape::Relation { members: self.members, extent: Extent::NOWHERE },
        };
        let element = Element { shape, tags: osm::tags(self.tags)?, meta };
        Ok(Whole::Here { id, element, is_edit: self.mark == Mark::Edit })
    }

    /// Its feature's id.
    pub fn feature_id(&self) -> Option<String> {
        self.id.map(|number| id::osm(self.kind, number))
    }

    /// True if it is the element before in another version.
    pub fn repeats(&self, versions: &mut Versions) -> bool {
        self.id.is_some_and(|id| versions.repeats(self.kind, id, self.version()))
    }

    /// 0 if it is not known.
    pub fn version(&self) -> u32 {
        self.meta.version
    }

    /// What to call it in an error.
    pub fn name(&self) -> String {
        let kind = self.kind.name();
        self.id.map_or_else(|| kind.to_owned(), |id| format!("{kind} {id}"))
    }
}

/// What a tag in an element is.
pub(super) enum Known {
    Yes,
    /// To be ignored.
    No,
    /// Known, but not there.
    Misplaced,
}
