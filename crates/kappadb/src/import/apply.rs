//! A file applied to what is held: resolved whole, then written (`design/map.md`).

use super::append::Appender;
use super::held::{Known, KnownNode, Lookup, bare};
use super::judge::{New, Verdict, nodes};
use super::{ImportReport, Steps};
use crate::error::{ImportError, WriteError};
use kappadb_entry::Places;
use kappadb_entry::rules;
use kappadb_geo::id::{osm, parse_osm};
use kappadb_geo::{Body, Element, ElementKind, Feature, Meta, Shape, WayNode};
use kappadb_import::{Import, Item};
use std::collections::{BTreeSet, HashSet};

/// Items in memory at once.
const CHUNK: usize = 1_000;

/// A file in the course of being applied.
pub(super) struct Apply<'a, 'b> {
    held: Lookup<'a>,
    appender: &'b mut Appender<'a>,
    report: &'b mut ImportReport,
    file: &'b mut Import,
    steps: &'b mut Steps<'a>,
    force: bool,
    /// What is to be done with each item, in their order.
    verdicts: Vec<Verdict>,
    plan: Plan,
}

/// What the items of the file mean for others.
#[derive(Default)]
struct Plan {
    /// Ways that the file changes, or deletes.
    changed: HashSet<i64>,
    /// Nodes of ways that are taken.
    carried: HashSet<i64>,
    /// Nodes that ways lose.
    lost: BTreeSet<i64>,
    /// Nodes that the file deletes.
    deleted: HashSet<i64>,
    /// Ways that have an older statement of a node that the file changes.
    outdated: BTreeSet<String>,
    /// What lies elsewhere now, or was not there, and of which it is not known yet who has it as a member.
    moved: Vec<String>,
    /// Relations of which a member has moved.
    relations: BTreeSet<String>,
}

impl<'a, 'b> Apply<'a, 'b> {
    pub fn new(
        appender: &'b mut Appender<'a>,
        report: &'b mut ImportReport,
        file: &'b mut Import,
        steps: &'b mut Steps<'a>,
        force: bool,
    ) -> Self {
        let held = Lookup::new(appender.parts());
        Apply { held, appender, report, file, steps, force, verdicts: Vec::new(), plan: Plan::default() }
    }

    pub fn run(mut self) -> Result<(), ImportError> {
        self.resolve()?;
        self.write_bare()?;
        self.write_lost()?;
        self.write_items(|item| !is_relation(item.id()))?;
        self.write_outdated()?;
        self.appender.flush_and_index()?;
        self.write_items(|item| is_relation(item.id()))?;
        self.appender.flush_and_index()?;
        self.write_relations()?;
        Ok(())
    }

    /// Judges every item.
    fn resolve(&mut self) -> Result<(), ImportError> {
        let Apply { held, file, verdicts, plan, force, steps, report, .. } = self;
        for item in file.items()? {
            let item = item?;
            let verdict = plan.judge(held, &item, *force)?;
            report.count(verdict);
            verdicts.push(verdict);
            steps.compared();
        }
        Ok(())
    }

    /// Nodes without tags. Those that are news become features if no way that stands has them; the ways that have them are
    /// outdated.
    fn write_bare(&mut self) -> Result<(), ImportError> {
        let Apply { held, file, plan, appender, report, force, .. } = self;
        file.each_bare(&mut |said| {
            let node = said.node;
            let known = held.node(node.id)?;
            let verdict = forced(known.judge_bare(&node, said.is_edit), *force);
            report.bare += 1;
            report.count(verdict);
            if verdict != Verdict::Taken {
                return Ok(());
            }
            let is_own = !known.own.held.versions.is_empty();
            plan.outdate(&known, &node, is_own);
            let is_carried = plan.carried.contains(&node.id) || plan.is_held_elsewhere(&known);
            if (is_own || !is_carried)
                && let Some(feature) = bare(&node)
            {
                appender.put(&feature, &known.own.active)?;
            }
            plan.move_one(held, osm(ElementKind::Node, node.id))
        })
    }

    /// Nodes that ways lose, and that nothing else says.
    fn write_lost(&mut self) -> Result<(), ImportError> {
        for number in std::mem::take(&mut self.plan.lost) {
            if self.plan.carried.contains(&number) || self.plan.deleted.contains(&number) {
                continue;
            }
            let known = self.held.node(number)?;
            if !known.own.held.versions.is_empty() || self.plan.is_held_elsewhere(&known) {
                continue;
            }
            if let Some(feature) = self.place(number)?.as_ref().and_then(bare) {
                self.appender.put(&feature, &known.own.active)?;
            }
        }
        Ok(())
    }

    /// What was taken, of these items.
    fn write_items(&mut self, wanted: fn(&Item) -> bool) -> Result<(), ImportError> {
        let mut next = 0;
        while next < self.verdicts.len() {
            let to = self.verdicts.len().min(next + CHUNK);
            let verdicts: Vec<Verdict> = self.verdicts.get(next..to).unwrap_or_default().to_vec();
            let items = self.file.items_from(next as u64)?.take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            for (item, verdict) in items.into_iter().zip(verdicts).filter(|(item, _)| wanted(item)) {
                if verdict == Verdict::Taken {
                    self.write(item)?;
                }
                self.steps.written(self.appender)?;
            }
            next = to;
        }
        Ok(())
    }

    fn write(&mut self, item: Item) -> Result<(), ImportError> {
        let known = self.held.known(item.id())?;
        match item {
            Item::Delete { id, meta } => {
                self.appender.delete(&id, meta.as_ref(), &known.active)?;
                self.plan.move_one(&mut self.held, id)
            }
            Item::Put { mut feature, .. } => {
                self.fill_in(&mut feature)?;
                self.store(feature, &known)
            }
        }
    }

    /// Where a way's nodes are, and how large a relation is.
    fn fill_in(&mut self, feature: &mut Feature) -> Result<(), ImportError> {
        let Body::Osm(Element { shape, .. }) = &mut feature.body else { return Ok(()) };
        match shape {
            Shape::Node(_) => {}
            Shape::Way(nodes) => {
                for node in nodes {
                    if let Some(known) = self.place(node.id)? {
                        *node = known;
                    }
                }
            }
            Shape::Relation { members, extent } => *extent = self.held.around(members, extent)?,
        }
        Ok(())
    }

    /// The statement of a node that counts, from the file and from what is held; none if nothing says where it is.
    fn place(&mut self, number: i64) -> Result<Option<WayNode>, ImportError> {
        let known = self.held.node(number)?;
        let held = known.place();
        let Some((said, is_edit)) = self.file.said(number)? else { return Ok(held) };
        let verdict = forced(known.judge_place(&said, is_edit), self.force);
        Ok(Some(said).filter(|_| verdict == Verdict::Taken || held.is_none()).or(held))
    }

    fn store(&mut self, feature: Feature, known: &Known) -> Result<(), ImportError> {
        let places = Places::on_map(&feature.extent());
        let is_there = rules::heads(&known.active).iter().all(|head| head.places == places);
        let moves = known.active.is_empty() || !is_there;
        if self.appender.put(&feature, &known.active)? && moves {
            self.plan.move_one(&mut self.held, feature.id)?;
        }
        Ok(())
    }

    /// The ways that the file does not have, with the nodes that it changes.
    fn write_outdated(&mut self) -> Result<(), ImportError> {
        for id in std::mem::take(&mut self.plan.outdated) {
            if is_in(&self.plan.changed, &id) {
                continue;
            }
            let known = self.held.known(&id)?;
            let Some(mut feature) = self.held.winner(&id)? else { continue };
            self.fill_in(&mut feature)?;
            self.store(feature, &known)?;
        }
        Ok(())
    }

    /// All relations above what has moved, each once.
    fn write_relations(&mut self) -> Result<(), ImportError> {
        self.plan.look_up(&mut self.held)?;
        let mut queue: Vec<String> = std::mem::take(&mut self.plan.relations).into_iter().collect();
        let mut all: BTreeSet<String> = queue.iter().cloned().collect();
        while !queue.is_empty() {
            let above = self.held.relations_of(queue)?;
            queue = above.filter(|id| all.insert(id.clone())).collect();
        }
        for id in all {
            let known = self.held.known(&id)?;
            let Some(mut feature) = self.held.winner(&id)? else { continue };
            self.fill_in(&mut feature)?;
            self.appender.put(&feature, &known.active)?;
        }
        Ok(self.appender.flush_and_index()?)
    }
}

impl Plan {
    fn judge(&mut self, held: &mut Lookup<'_>, item: &Item, force: bool) -> Result<Verdict, WriteError> {
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
            _ if verdict != Verdict::Taken => {}
            Item::Delete { .. } => drop(self.deleted.insert(number)),
            Item::Put { feature, .. } => {
                if let Some(node) = WayNode::of(number, &feature.body) {
                    self.outdate(&known, &node, true);
                }
            }
        }
        Ok(verdict)
    }

    fn take_way(&mut self, number: i64, item: &Item, known: &Known) {
        self.changed.insert(number);
        let ids = |nodes: &[WayNode]| nodes.iter().map(|node| node.id).collect::<Vec<_>>();
        self.lost.extend(known.held.current().filter_map(nodes).flat_map(ids));
        if let Item::Put { feature, .. } = item {
            self.carried.extend(nodes(&feature.body).map(ids).unwrap_or_default());
        }
    }

    /// Ways that say something else of a node are to be written anew. The version of one that is an entry of its own stands there.
    fn outdate(&mut self, known: &KnownNode, node: &WayNode, is_own: bool) {
        let differs = |said: &WayNode| if is_own { said.at != node.at } else { said != node };
        let others = known.holders.iter().filter(|(_, said)| differs(said));
        self.outdated.extend(others.map(|(way, _)| way.clone()));
    }

    /// True if a way that stands and that the file leaves alone has the node.
    fn is_held_elsewhere(&self, known: &KnownNode) -> bool {
        known.holders.iter().any(|(way, _)| !is_in(&self.changed, way))
    }

    fn move_one(&mut self, held: &mut Lookup<'_>, id: String) -> Result<(), ImportError> {
        self.moved.push(id);
        if self.moved.len() < CHUNK { Ok(()) } else { self.look_up(held) }
    }

    /// Learns who has as a member what moved.
    fn look_up(&mut self, held: &mut Lookup<'_>) -> Result<(), ImportError> {
        let moved = std::mem::take(&mut self.moved);
        self.relations.extend(held.relations_of(moved)?);
        Ok(())
    }
}

fn forced(verdict: Verdict, force: bool) -> Verdict {
    if force && verdict == Verdict::Older { Verdict::Taken } else { verdict }
}

fn new(item: &Item) -> New<'_> {
    match item {
        Item::Put { feature, is_edit } => New::put(&feature.body, *is_edit),
        Item::Delete { meta, .. } => New::delete(meta.as_ref().map_or(0, |Meta { version, .. }| *version)),
    }
}

fn is_relation(id: &str) -> bool {
    parse_osm(id).is_some_and(|(kind, _)| kind == ElementKind::Relation)
}

fn is_in(ways: &HashSet<i64>, id: &str) -> bool {
    parse_osm(id).is_some_and(|(_, number)| ways.contains(&number))
}
