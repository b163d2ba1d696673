//! Looking up what is held: of a feature, and of where a node is. Read in the order in which it lies, for many at a time.

use super::judge::{Carried, Held, New, Past, Verdict, judge_carried, nodes};
use super::said::{Entries, Said};
use crate::error::ReadError;
use crate::views::map::MapParts;
use kappadb_core::{EntryId, Extent, Timestamp};
use kappadb_entry::rules::{self, Version};
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::{Body, CODE_DELETE, ElementKind, Feature, Member, WayNode, join_extents};
use kappadb_view::ViewError;
use kappadb_view_geo::MapIndex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Ids that are looked up while the index stands still.
const AT_ONCE: usize = 256;
/// Features that are remembered, about. All are forgotten before there are more.
const REMEMBERED: usize = 40_000;
/// Relations within a relation that are looked at, at most, as in a file.
const MAX_NESTED: usize = 4_096;

/// What is held, as it is indexed.
pub(in crate::views::map) struct Lookup<'a> {
    pub parts: &'a MapParts,
    entries: Entries<'a>,
    known: HashMap<String, Arc<Known>>,
    nodes: HashMap<i64, Arc<KnownNode>>,
    /// The current versions of ways that have nodes which were looked up.
    heads: HashMap<String, BTreeSet<EntryId>>,
}

/// A feature as it is held, with what a new version of it must name.
pub(in crate::views::map) struct Known {
    pub held: Held,
    pub active: Vec<Version>,
}

/// A node as it is held.
pub(in crate::views::map) struct KnownNode {
    number: i64,
    /// Its own entries.
    pub own: Arc<Known>,
    /// What ways say.
    pub carried: Vec<Carried>,
    /// The ways of which a current version has it, with what that says.
    pub holders: Vec<(String, WayNode)>,
}

/// What the index says of a feature.
struct Indexed {
    id: String,
    active: Vec<Version>,
    all: Vec<Version>,
    /// Ways that have it, if it is a node: with the entries that say so.
    ways: Vec<(String, EntryId)>,
}

impl Indexed {
    fn read(index: &MapIndex, id: &str) -> Result<Indexed, ViewError> {
        let active = index.active(id.as_bytes())?;
        // What replaces nothing makes nothing redundant: then there are no others.
        let are_all = active.iter().all(|version| version.context.is_empty());
        let all = if are_all { active.clone() } else { index.history(id.as_bytes())? };
        let ways = match parse_osm(id) {
            Some((ElementKind::Node, _)) => referring(index, id, ElementKind::Way)?,
            _ => Vec::new(),
        };
        Ok(Indexed { id: id.to_owned(), active, all, ways })
    }
}

/// The elements of a kind that have another, with the entries that say so.
fn referring(index: &MapIndex, id: &str, kind: ElementKind) -> Result<Vec<(String, EntryId)>, ViewError> {
    let referring = index.referring(id.as_bytes())?.into_iter();
    let named = referring.filter_map(|(key, entry)| Some((String::from_utf8(key).ok()?, entry)));
    Ok(named.filter(|(key, _)| key.starts_with(kind.letter())).collect())
}

impl<'a> Lookup<'a> {
    pub fn new(parts: &'a MapParts) -> Self {
        let (entries, known, nodes) = (Entries::new(parts), HashMap::new(), HashMap::new());
        Lookup { parts, entries, known, nodes, heads: HashMap::new() }
    }

    /// What is held is other than it was: it is looked up anew.
    pub fn refresh(&mut self) {
        self.known.clear();
        self.nodes.clear();
        self.heads.clear();
    }

    /// Looks up what is not remembered of these, all in one go: nodes with all that ways say of them.
    pub fn prepare(&mut self, ids: impl IntoIterator<Item = String>) -> Result<(), ReadError> {
        let mut ids: Vec<String> = ids.into_iter().collect();
        if ids.iter().all(|id| self.is_prepared(id)) {
            return Ok(());
        }
        // One that nobody foresaw must not cost all that was looked up with it in mind.
        if ids.len() > 1 && self.known.len() + ids.len() > REMEMBERED {
            self.refresh();
        }
        ids.retain(|id| !self.is_prepared(id));
        ids.sort_unstable();
        ids.dedup();
        let mut indexed = Vec::with_capacity(ids.len());
        for some in ids.chunks(AT_ONCE) {
            indexed.extend(self.look(|index| some.iter().map(|id| Indexed::read(index, id)).collect())?);
        }
        let ways = indexed.iter().flat_map(|of_one| &of_one.ways).map(|(way, _)| way.clone());
        self.prepare_heads(ways.collect())?;
        let own = indexed.iter().flat_map(|of_one| of_one.all.iter().map(|v| (v.id, of_one.id.clone())));
        let carrying = indexed.iter().flat_map(|of_one| &of_one.ways).map(|(way, id)| (*id, way.clone()));
        self.entries.read(own.chain(carrying).collect())?;
        indexed.into_iter().for_each(|of_one| self.remember(of_one));
        Ok(())
    }

    fn is_prepared(&self, id: &str) -> bool {
        match parse_osm(id) {
            Some((ElementKind::Node, number)) => self.nodes.contains_key(&number),
            _ => self.known.contains_key(id),
        }
    }

    fn look<T>(
        &self,
        look: impl FnOnce(&MapIndex) -> Result<Vec<T>, ViewError>,
    ) -> Result<Vec<T>, ReadError> {
        Ok(self.parts.map.read(look)??)
    }

    fn prepare_heads(&mut self, ways: BTreeSet<String>) -> Result<(), ReadError> {
        let ways: Vec<String> = ways.into_iter().filter(|way| !self.heads.contains_key(way)).collect();
        for some in ways.chunks(AT_ONCE) {
            let heads = |index: &MapIndex, way: &String| Ok(ids_of(&index.heads(way.as_bytes())?));
            let found = self.look(|index| some.iter().map(|way| heads(index, way)).collect())?;
            self.heads.extend(some.iter().cloned().zip(found));
        }
        Ok(())
    }

    fn remember(&mut self, indexed: Indexed) {
        let Indexed { id, active, all, ways } = indexed;
        let heads: BTreeSet<EntryId> = rules::heads(&active).iter().map(|head| head.id).collect();
        let past = |version: &Version| {
            let Said { version: number, body } = self.entries.get(&version.id);
            let deletes = version.kind.code == CODE_DELETE;
            Past { entry: version.id, version: number, body, deletes, is_head: heads.contains(&version.id) }
        };
        let versions = all.iter().map(past).collect();
        let known = Arc::new(Known { held: Held { versions }, active });
        if let Some((ElementKind::Node, number)) = parse_osm(&id) {
            let node = self.known_node(number, known.clone(), ways);
            self.nodes.insert(number, Arc::new(node));
        }
        self.known.insert(id, known);
    }

    fn known_node(&self, number: i64, own: Arc<Known>, ways: Vec<(String, EntryId)>) -> KnownNode {
        let (mut carried, mut holders) = (Vec::new(), Vec::new());
        for (way, entry) in ways {
            let Some(body) = self.entries.get(&entry).body else { continue };
            let said = nodes(&body).and_then(|nodes| nodes.iter().find(|node| node.id == number));
            let Some(node) = said.cloned() else { continue };
            let is_current = self.heads.get(&way).is_some_and(|heads| heads.contains(&entry));
            if is_current {
                holders.push((way, node.clone()));
            }
            carried.push(Carried { node, is_current });
        }
        KnownNode { number, own, carried, holders }
    }

    pub fn known(&mut self, id: &str) -> Result<Arc<Known>, ReadError> {
        if !self.known.contains_key(id) {
            self.prepare([id.to_owned()])?;
        }
        self.known.get(id).cloned().ok_or_else(not_there)
    }

    pub fn node(&mut self, number: i64) -> Result<Arc<KnownNode>, ReadError> {
        if !self.nodes.contains_key(&number) {
            self.prepare([osm(ElementKind::Node, number)])?;
        }
        self.nodes.get(&number).cloned().ok_or_else(not_there)
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

    /// The relations of which a current version has one of these as a member.
    pub fn relations_of(&self, ids: &[String]) -> Result<BTreeSet<String>, ReadError> {
        let mut found = BTreeSet::new();
        for some in ids.chunks(AT_ONCE) {
            found.extend(self.look(|index| {
                let found = some.iter().map(|id| relations_of(index, id));
                Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            })?);
        }
        Ok(found)
    }
}

fn relations_of(index: &MapIndex, member: &str) -> Result<Vec<String>, ViewError> {
    let mut found = Vec::new();
    for (relation, entry) in referring(index, member, ElementKind::Relation)? {
        if index.heads(relation.as_bytes())?.iter().any(|head| head.id == entry) {
            found.push(relation);
        }
    }
    Ok(found)
}

fn not_there() -> ReadError {
    ViewError::Inconsistent("what was looked up is not there").into()
}

fn ids_of(versions: &[Version]) -> BTreeSet<EntryId> {
    versions.iter().map(|version| version.id).collect()
}

impl Known {
    /// What is to be written anew of a feature if something that it is made of changes: of its current versions the one with the greatest OSM
    /// version. None if that deletes it or cannot be read.
    pub fn newest(&self, now: Timestamp) -> Option<&Body> {
        let heads = rules::heads(&self.active);
        let winner = rules::winner(&heads, now).map(|winner| winner.id);
        let heads = self.held.versions.iter().filter(|past| past.is_head);
        heads.max_by_key(|past| (past.version, Some(past.entry) == winner))?.body.as_deref()
    }
}

impl KnownNode {
    /// The greatest OSM version that ways say.
    pub fn carried_version(&self) -> u32 {
        self.carried.iter().map(|said| said.node.version).max().unwrap_or(0)
    }

    /// The greatest OSM version of all that is said.
    pub fn known_version(&self) -> u32 {
        self.carried_version().max(self.own.held.version())
    }

    /// True if an entry of its own says where it is, or that it is gone by a version that no way knows a later one of.
    pub fn speaks_for_itself(&self) -> bool {
        let own = &self.own.held;
        own.stands() || (!own.versions.is_empty() && own.version() >= self.carried_version())
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
        match self.gone() {
            Some(_) if node.version == 0 => return self.judge_bare(node, is_edit),
            Some(version) if node.version <= version => return Verdict::Older,
            _ => {}
        }
        let own = self.own.held.versions.iter().filter_map(|past| self.own_statement(past));
        let own = own.map(|(node, is_current)| Carried { node, is_current });
        judge_carried(node, is_edit, &self.carried.iter().cloned().chain(own).collect::<Vec<_>>())
    }

    fn own_statement(&self, past: &Past) -> Option<(WayNode, bool)> {
        Some((WayNode::of(self.number, past.body.as_deref()?)?, past.is_head))
    }

    /// The version of the delete that counts: none that ways say is greater.
    pub fn gone(&self) -> Option<u32> {
        let Held { versions } = &self.own.held;
        let deletes = versions.iter().filter(|past| past.is_head && past.deletes);
        let version = deletes.map(|past| past.version).max()?;
        (!self.own.held.stands() && version >= self.carried_version()).then_some(version)
    }

    /// The statement that counts; none if nothing says where it is, or it is gone.
    pub fn place(&self) -> Option<WayNode> {
        if self.gone().is_some() {
            return None;
        }
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
pub(in crate::views::map) fn bare(node: &WayNode) -> Option<Feature> {
    Some(Feature { id: osm(ElementKind::Node, node.id), body: Body::Osm(node.to_element()?) })
}
