//! Looking up what is held: of a feature, and of where a node is.

use super::judge::{Carried, Held, New, Past, Verdict, judge_carried, nodes};
use crate::database::Parts;
use crate::error::ReadError;
use kappadb_core::{EntryId, Extent, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::{Body, CODE_DELETE, ElementKind, Feature, Member, WayNode, decode_delete, join_extents};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Ways that are kept in memory, because nodes of one way come near each other. All are forgotten when there are more.
const REMEMBERED: usize = 8_192;
/// Relations within a relation that are looked at, at most, as in a file.
const MAX_NESTED: usize = 4_096;

/// What is held, as it is indexed.
pub(super) struct Lookup<'a> {
    pub parts: &'a Parts,
    ways: HashMap<EntryId, Option<Arc<Feature>>>,
}

/// A feature as it is held, with what a new version of it must name.
pub(super) struct Known {
    pub held: Held,
    pub active: Vec<Version>,
}

/// A node as it is held.
pub(super) struct KnownNode {
    number: i64,
    /// Its own entries.
    pub own: Known,
    /// What ways say.
    pub carried: Vec<Carried>,
    /// The ways of which a current version has it, with what that says.
    pub holders: Vec<(String, WayNode)>,
}

impl<'a> Lookup<'a> {
    pub fn new(parts: &'a Parts) -> Self {
        Lookup { parts, ways: HashMap::new() }
    }

    pub fn known(&self, id: &str) -> Result<Known, ReadError> {
        let (active, all) = self.parts.map.read(|index| {
            let active = index.active(id.as_bytes())?;
            // Mostly there is one version, or none.
            let all = if active.is_empty() { Vec::new() } else { index.history(id.as_bytes())? };
            Ok::<_, kappadb_view::ViewError>((active, all))
        })??;
        let heads: BTreeSet<EntryId> = rules::heads(&active).iter().map(|head| head.id).collect();
        let past = |version: &Version| {
            let deletes = version.kind.code == CODE_DELETE;
            let (number, body) = self.said(id, version, deletes)?;
            let is_head = heads.contains(&version.id);
            Ok::<_, ReadError>(Past { entry: version.id, version: number, body, deletes, is_head })
        };
        let versions = all.iter().map(past).collect::<Result<_, _>>()?;
        Ok(Known { held: Held { versions }, active })
    }

    /// Which OSM version an entry is, and what it says.
    fn said(&self, id: &str, version: &Version, deletes: bool) -> Result<(u32, Option<Body>), ReadError> {
        if deletes {
            let payload = self.parts.entry(version.id)?.and_then(|entry| entry.payload);
            let meta = payload.and_then(|payload| decode_delete(&payload).ok()?);
            return Ok((meta.map_or(0, |meta| meta.version), None));
        }
        let edition = self.parts.load_edition(id, version.id)?;
        let body = edition.and_then(|(_, edition)| edition.feature).map(|feature| feature.body);
        Ok((body.as_ref().map_or(0, Body::version), body))
    }

    pub fn node(&mut self, number: i64) -> Result<KnownNode, ReadError> {
        let id = osm(ElementKind::Node, number);
        let own = self.known(&id)?;
        let referring = self.parts.map.read(|index| index.referring(id.as_bytes()))??;
        let (mut carried, mut holders) = (Vec::new(), Vec::new());
        for (key, entry) in referring {
            let Ok(key) = String::from_utf8(key) else { continue };
            if !key.starts_with(ElementKind::Way.letter()) {
                continue;
            }
            let Some(way) = self.way(&key, entry)? else { continue };
            let said = nodes(&way.body).and_then(|nodes| nodes.iter().find(|node| node.id == number));
            let Some(node) = said.cloned() else { continue };
            let active = self.parts.map.read(|index| index.active(key.as_bytes()))??;
            let is_current = rules::heads(&active).iter().any(|head| head.id == entry);
            if is_current {
                holders.push((key, node.clone()));
            }
            carried.push(Carried { node, is_current });
        }
        Ok(KnownNode { number, own, carried, holders })
    }

    /// A version of a way.
    fn way(&mut self, key: &str, entry: EntryId) -> Result<Option<Arc<Feature>>, ReadError> {
        if let Some(way) = self.ways.get(&entry) {
            return Ok(way.clone());
        }
        let way = self.parts.load_edition(key, entry)?.and_then(|(_, edition)| edition.feature).map(Arc::new);
        if self.ways.len() == REMEMBERED {
            self.ways.clear();
        }
        self.ways.insert(entry, way.clone());
        Ok(way)
    }

    /// Around the nodes and ways that can be reached through `members`; with `before` if something of it is not known here.
    pub fn around(&mut self, members: &[Member], before: &Extent) -> Result<Extent, ReadError> {
        let (mut parts, mut seen, mut unknown) = (Vec::new(), BTreeSet::new(), false);
        let mut queue: Vec<String> = members.iter().map(|member| osm(member.kind, member.id)).collect();
        let most = queue.len().saturating_add(MAX_NESTED);
        while let Some(id) = queue.pop() {
            if seen.len() == most || !seen.insert(id.clone()) {
                continue;
            }
            let now = self.parts.clock.now();
            let winner = self.parts.map.read(|index| index.winner(id.as_bytes(), now))??;
            match (parse_osm(&id), winner) {
                (_, Some(winner)) if winner.kind.code == CODE_DELETE => {}
                (Some((ElementKind::Relation, _)), Some(winner)) => {
                    queue.extend(self.parts.refs_of(&[winner.id])?);
                }
                (_, Some(winner)) => {
                    parts.extend(winner.places.extents.iter().map(|b| Extent::from(*b)));
                }
                (Some((ElementKind::Node, number)), None) => {
                    let at = self.node(number)?.place().and_then(|node| node.at);
                    unknown |= at.is_none();
                    parts.extend(at.map(|at| Extent::of_path([at])));
                }
                _ => unknown = true,
            }
        }
        if unknown {
            parts.push(before.clone());
        }
        Ok(join_extents(&parts))
    }

    /// The relations that have one of these as members.
    pub fn relations_of(&self, ids: Vec<String>) -> Result<impl Iterator<Item = String> + use<>, ReadError> {
        let hits = self.parts.referrers(ids)?.into_iter().map(|hit| hit.id);
        Ok(hits.filter(|id| id.starts_with(ElementKind::Relation.letter())))
    }
}

impl Known {
    /// What is to be written anew of a feature if something that it is made of changes: of its current versions the one with the greatest OSM
    /// version. None if that deletes it or cannot be read.
    pub fn newest(&self, now: Timestamp) -> Option<&Body> {
        let heads = rules::heads(&self.active);
        let winner = rules::winner(&heads, now).map(|winner| winner.id);
        let heads = self.held.versions.iter().filter(|past| past.is_head);
        heads.max_by_key(|past| (past.version, Some(past.entry) == winner))?.body.as_ref()
    }
}

impl KnownNode {
    /// The greatest OSM version that ways say.
    pub fn carried_version(&self) -> u32 {
        self.carried.iter().map(|said| said.node.version).max().unwrap_or(0)
    }

    /// What is to be done with a node without tags.
    pub fn judge_bare(&self, node: &WayNode, is_edit: bool) -> Verdict {
        if self.own.held.versions.is_empty() {
            return judge_carried(node, is_edit, &self.carried);
        }
        match bare(node) {
            Some(Feature { body, .. }) => {
                self.own.held.judge(&New::put(&body, is_edit), self.carried_version())
            }
            None => Verdict::Older,
        }
    }

    /// Whether what a file says of where it is counts: of a node with tags, too, whose tags are judged apart.
    pub fn judge_place(&self, node: &WayNode, is_edit: bool) -> Verdict {
        let own = self.own.held.versions.iter().filter_map(|past| self.own_statement(past));
        let own = own.map(|(node, is_current)| Carried { node, is_current });
        judge_carried(node, is_edit, &self.carried.iter().cloned().chain(own).collect::<Vec<_>>())
    }

    fn own_statement(&self, past: &Past) -> Option<(WayNode, bool)> {
        Some((WayNode::of(self.number, past.body.as_ref()?)?, past.is_head))
    }

    /// The statement that counts, of those with a position.
    pub fn place(&self) -> Option<WayNode> {
        let own = self.own.held.versions.iter().filter_map(|past| self.own_statement(past));
        let own = own.map(|(node, is_current)| (node.version, is_current, true, node));
        let carried = self.carried.iter().filter(|said| said.node.at.is_some());
        let carried = carried.map(|said| (said.node.version, said.is_current, false, said.node.clone()));
        // The last of equal ones: entries come in the order of their ids.
        carried
            .chain(own)
            .max_by_key(|(version, current, own, _)| (*version, *current, *own))
            .map(|said| said.3)
    }
}

/// A node without tags as a feature; none if it is not known where it is.
pub(super) fn bare(node: &WayNode) -> Option<Feature> {
    Some(Feature { id: osm(ElementKind::Node, node.id), body: Body::Osm(node.to_element()?) })
}
