//! Which version counts: the table in `design/map.md`.

use kappadb_core::EntryId;
use kappadb_geo::{Body, Element, Shape, WayNode};
use std::sync::Arc;

/// What is to be done with what a file says of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::views::map) enum Verdict {
    /// It is news.
    Taken,
    /// It is as it was.
    Unchanged,
    /// What is held is of a later version, or replaced this already.
    Older,
}

/// What is held of a feature, replaced and deleted versions included, as far as it can be read here.
#[derive(Debug, Default)]
pub(in crate::views::map) struct Held {
    pub versions: Vec<Past>,
}

/// A version that is held.
#[derive(Debug)]
pub(in crate::views::map) struct Past {
    pub entry: EntryId,
    /// Its OSM version; 0 if it has none, or cannot be read.
    pub version: u32,
    /// None if it deletes the feature, or cannot be read.
    pub body: Option<Arc<Body>>,
    pub deletes: bool,
    /// Nothing that is held replaces it.
    pub is_head: bool,
}

/// What a file says of a feature.
#[derive(Debug, Clone, Copy)]
pub(in crate::views::map) struct New<'a> {
    /// None if it is gone.
    pub body: Option<&'a Body>,
    /// Its OSM version; 0 if the file does not say.
    pub version: u32,
    /// It was made of the version that it names, which may be the one that is held.
    pub is_edit: bool,
}

impl<'a> New<'a> {
    pub fn put(body: &'a Body, is_edit: bool) -> Self {
        New { body: Some(body), version: body.version(), is_edit }
    }

    /// A delete names the version that it makes, or the one that it ends.
    pub fn delete(version: u32) -> Self {
        New { body: None, version, is_edit: true }
    }
}

impl Past {
    fn says(&self, new: &New<'_>) -> bool {
        match (self.body.as_deref(), new.body) {
            (Some(old), Some(new)) => same_content(old, new),
            (None, None) => self.deletes,
            _ => false,
        }
    }
}

impl Held {
    /// The greatest OSM version of all.
    pub fn version(&self) -> u32 {
        self.versions.iter().map(|past| past.version).max().unwrap_or(0)
    }

    /// True if something of it is there now.
    pub fn stands(&self) -> bool {
        self.heads().any(|past| !past.deletes)
    }

    /// What its current versions say.
    pub fn current(&self) -> impl Iterator<Item = &Body> {
        self.heads().filter_map(|past| past.body.as_deref())
    }

    fn heads(&self) -> impl Iterator<Item = &Past> {
        self.versions.iter().filter(|past| past.is_head)
    }

    /// What is to be done with `new`. `elsewhere` is the greatest version that others say of a node: ways carry them.
    pub fn judge(&self, new: &New<'_>, elsewhere: u32) -> Verdict {
        let known = self.version().max(elsewhere);
        let is_current = self.heads().next().is_some() && self.heads().all(|past| past.says(new));
        let is_lower = new.version != 0 && new.version < known;
        if is_current && new.version <= self.version() && !is_lower {
            return Verdict::Unchanged;
        }
        if self.versions.is_empty() {
            return if is_lower { Verdict::Older } else { Verdict::Taken };
        }
        if self.is_settled_by(new) {
            return Verdict::Taken;
        }
        let was_said = self
            .versions
            .iter()
            .any(|past| past.says(new) && (new.version == 0 || past.version == new.version));
        let is_news = match new.version {
            // A delete that names no version is of what is there.
            0 => new.body.is_none() || !was_said,
            version if version == known => match new.body {
                None => self.stands() || elsewhere == known,
                Some(body) => self.stands() && !was_said && (new.is_edit || self.is_part_of(body)),
            },
            version => version > known,
        };
        if is_news { Verdict::Taken } else { Verdict::Older }
    }

    /// True for what one of several current versions says, beside others that are of lower OSM versions or say the same: replicas that did not
    /// know of each other imported different days.
    fn is_settled_by(&self, new: &New<'_>) -> bool {
        let is_same = |past: &Past| past.version == new.version && past.says(new);
        let is_lower = |past: &Past| past.version != 0 && past.version < new.version;
        self.heads().count() > 1
            && self.heads().any(is_same)
            && self.heads().all(|past| is_same(past) || is_lower(past))
    }

    /// True if a way is held with a part of these nodes only: it was clipped.
    fn is_part_of(&self, whole: &Body) -> bool {
        let whole = nodes(whole).unwrap_or_default();
        let mut current = self.current().filter_map(nodes).peekable();
        let is_part = |part: &[WayNode]| {
            let mut rest = whole.iter();
            part.len() < whole.len() && part.iter().all(|node| rest.any(|other| other.id == node.id))
        };
        current.peek().is_some() && current.all(is_part)
    }
}

/// What is said of a node by a way that has it.
#[derive(Debug, Clone)]
pub(in crate::views::map) struct Carried {
    pub node: WayNode,
    /// By a current version.
    pub is_current: bool,
}

/// What is to be done with what a file says of a node without tags, of which nothing but what ways say is held.
pub(in crate::views::map) fn judge_carried(new: &WayNode, is_edit: bool, carried: &[Carried]) -> Verdict {
    let known = carried.iter().map(|said| said.node.version).max().unwrap_or(0);
    let of_version = |said: &&Carried| new.version == 0 || said.node.version == new.version;
    let mut places = carried.iter().filter(of_version).filter_map(|said| said.node.at).peekable();
    if new.version != 0 && new.version != known {
        return if new.version > known { Verdict::Taken } else { Verdict::Older };
    }
    let (is_placed, is_same) = (places.peek().is_some(), places.any(|at| Some(at) == new.at));
    // What only replaced versions say does not stand: their nodes were left behind by who did not know where they are.
    let stands = carried.iter().any(|said| said.is_current);
    match (is_same && stands, is_placed && stands && !is_edit && new.version != 0) {
        (true, _) => Verdict::Unchanged,
        (false, true) => Verdict::Older,
        (false, false) => Verdict::Taken,
    }
}

/// The nodes of a way.
pub(in crate::views::map) fn nodes(body: &Body) -> Option<&[WayNode]> {
    match body {
        Body::Osm(Element { shape: Shape::Way(nodes), .. }) => Some(nodes),
        _ => None,
    }
}

/// True if two versions say the same, apart from which edit they are, and from what others say: where a way's nodes are,
/// how large a relation is.
fn same_content(a: &Body, b: &Body) -> bool {
    let (Body::Osm(a), Body::Osm(b)) = (a, b) else { return a == b };
    let shapes = match (&a.shape, &b.shape) {
        (Shape::Way(a), Shape::Way(b)) => a.iter().map(|node| node.id).eq(b.iter().map(|node| node.id)),
        (Shape::Relation { members: a, .. }, Shape::Relation { members: b, .. }) => a == b,
        (a, b) => a == b,
    };
    let sorted = |element: &Element| {
        let mut tags = element.tags.clone();
        tags.sort_unstable();
        tags
    };
    shapes && (a.tags == b.tags || sorted(a) == sorted(b))
}
