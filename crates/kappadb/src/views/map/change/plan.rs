//! What a change of the map leads to elsewhere: nodes to move or to leave, ways to bring up to date.

use super::held::{Known, KnownNode, Lookup};
use super::judge::{New, Verdict, nodes};
use crate::error::{ReadError, WriteError};
use kappadb_geo::id::parse_osm;
use kappadb_geo::{ElementKind, Item, Meta, WayNode};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Ids that are looked up at once: few goes, for each reads all over the log.
pub(in crate::views::map) const LOOKED_UP: usize = 4_096;

/// What changes mean for others.
#[derive(Default)]
pub(in crate::views::map) struct Plan {
    /// Ways that are changed, or deleted.
    pub changed: HashSet<i64>,
    /// Nodes of ways that are taken.
    pub carried: HashSet<i64>,
    /// Nodes that ways lose.
    pub lost: BTreeSet<i64>,
    /// Nodes that are deleted, and with which version.
    pub deleted: HashMap<i64, u32>,
    /// Ways that have an older statement of a node that is changed.
    pub outdated: BTreeSet<String>,
    /// What lies elsewhere now, or was not there, and of which it is not known yet who has it as a member.
    pub moved: Vec<String>,
    /// Relations of which a member has moved.
    pub relations: BTreeSet<String>,
}

impl Plan {
    pub fn judge(&mut self, held: &mut Lookup<'_>, item: &Item, force: bool) -> Result<Verdict, WriteError> {
        let (kind, number) = parse_osm(item.id()).map_or((None, 0), |(kind, number)| (Some(kind), number));
        if kind == Some(ElementKind::Node) {
            return self.judge_node(held, item, number, force);
        }
        let known = held.known(item.id())?;
        let verdict = forced(known.held.judge(&new(item), 0), force);
        if kind == Some(ElementKind::Way) && verdict == Verdict::Taken {
            self.take_way(number, item, &known);
        }
        Ok(verdict)
    }

    fn judge_node(
        &mut self,
        held: &mut Lookup<'_>,
        item: &Item,
        number: i64,
        force: bool,
    ) -> Result<Verdict, WriteError> {
        let known = held.node(number)?;
        let verdict = forced(known.own.held.judge(&new(item), known.carried_version()), force);
        match item {
            Item::Delete { .. } if verdict == Verdict::Older => {}
            Item::Delete { .. } => self.delete_node(&known, number, new(item).version),
            Item::Put { feature, .. } => match WayNode::of(number, &feature.body) {
                Some(node) if verdict == Verdict::Taken => self.outdate(&known, &node, true),
                Some(node) => self.mend(&known, &node, verdict),
                None => {}
            },
        }
        Ok(verdict)
    }

    /// A way that has it all the same no longer knows where it is.
    fn delete_node(&mut self, known: &KnownNode, number: i64, version: u32) {
        self.deleted.insert(number, version.max(known.known_version()));
        let placed = known.holders.iter().filter(|(_, said)| said.at.is_some());
        self.outdated.extend(placed.map(|(way, _)| way.clone()));
    }

    fn take_way(&mut self, number: i64, item: &Item, known: &Known) {
        self.changed.insert(number);
        let ids = |nodes: &[WayNode]| nodes.iter().map(|node| node.id).collect::<Vec<_>>();
        self.lost.extend(known.held.current().filter_map(nodes).flat_map(ids));
        if let Item::Put { feature, .. } = item {
            self.carried.extend(nodes(&feature.body).map(ids).unwrap_or_default());
        }
    }

    /// What is held says the same, but there may be a way that does not: whoever wrote it did not know.
    pub fn mend(&mut self, known: &KnownNode, node: &WayNode, verdict: Verdict) {
        if verdict == Verdict::Unchanged {
            self.outdate(known, node, true);
        }
    }

    /// Ways that say something else of a node are to be written anew. The version of one that is an entry of its own stands there.
    pub fn outdate(&mut self, known: &KnownNode, node: &WayNode, is_own: bool) {
        let differs = |said: &WayNode| if is_own { said.at != node.at } else { said != node };
        let others = known.holders.iter().filter(|(_, said)| differs(said));
        self.outdated.extend(others.map(|(way, _)| way.clone()));
    }

    /// True if a way that stands and that the file leaves alone has the node.
    pub fn is_held_elsewhere(&self, known: &KnownNode) -> bool {
        known.holders.iter().any(|(way, _)| !is_in(&self.changed, way))
    }

    pub fn move_one(&mut self, held: &mut Lookup<'_>, id: String) -> Result<(), ReadError> {
        self.moved.push(id);
        if self.moved.len() < LOOKED_UP { Ok(()) } else { self.look_up(held) }
    }

    /// Learns who has as a member what moved.
    pub fn look_up(&mut self, held: &mut Lookup<'_>) -> Result<(), ReadError> {
        let moved = std::mem::take(&mut self.moved);
        self.relations.extend(held.relations_of(&moved)?);
        Ok(())
    }
}

pub(in crate::views::map) fn forced(verdict: Verdict, force: bool) -> Verdict {
    if force && verdict == Verdict::Older { Verdict::Taken } else { verdict }
}

fn new(item: &Item) -> New<'_> {
    match item {
        Item::Put { feature, is_edit } => New::put(&feature.body, *is_edit),
        Item::Delete { meta, .. } => New::delete(meta.as_ref().map_or(0, |Meta { version, .. }| *version)),
    }
}

pub(in crate::views::map) fn is_in(ways: &HashSet<i64>, id: &str) -> bool {
    parse_osm(id).is_some_and(|(_, number)| ways.contains(&number))
}
