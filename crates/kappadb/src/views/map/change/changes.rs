//! What a change of one thing means for others, and writing it (`design/map.md`).

use super::append::Appender;
use super::held::{Known, KnownNode, Lookup, bare};
use super::judge::{Verdict, nodes};
use super::plan::{LOOKED_UP, Plan, forced, is_in};
use crate::error::{ReadError, WriteError};
use kappadb_entry::{Places, rules};
use kappadb_geo::id::osm;
use kappadb_geo::{Body, Element, ElementKind, Feature, Item, Shape, WayNode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Changes in the course of being written.
pub(in crate::views::map) struct Changes<'a, 'b> {
    pub appender: &'b mut Appender<'a>,
    pub(in crate::views::map) held: Lookup<'a>,
    pub(in crate::views::map) force: bool,
    pub(in crate::views::map) plan: Plan,
    /// Somebody else has written to the map since items were judged.
    pub(in crate::views::map) disturbed: bool,
}

/// Where changes come from, which may say where other nodes are.
pub(in crate::views::map) trait Source {
    type Error: From<ReadError> + From<WriteError>;

    /// What it says of a node, and whether that is an edit of the version that it names.
    fn said(&mut self, node: i64) -> Result<Option<(WayNode, bool)>, Self::Error>;

    /// The same, if it counts whatever is held.
    fn decided(&self, _node: i64) -> Option<WayNode> {
        None
    }
}

/// Where a node is.
enum Place {
    Known(WayNode),
    /// It was deleted, by this version.
    Gone(u32),
    Unknown,
}

impl<'a, 'b> Changes<'a, 'b> {
    pub fn new(appender: &'b mut Appender<'a>, force: bool) -> Self {
        Changes {
            held: Lookup::new(appender.parts()),
            appender,
            force,
            plan: Plan::default(),
            disturbed: false,
        }
    }

    /// Takes note of what an item means for others, if it is news.
    pub fn judge(&mut self, item: &Item) -> Result<Verdict, WriteError> {
        self.plan.judge(&mut self.held, item, self.force)
    }

    /// Makes what was written so far durable and has it indexed, so that it is what is held.
    pub fn settle_written(&mut self) -> Result<(), WriteError> {
        self.disturbed |= self.appender.flush_and_index()?;
        self.held.refresh();
        Ok(())
    }

    /// Makes what was written so far durable, as [`Appender::keep_up`] does. What others wrote meanwhile is looked up anew.
    pub fn keep_up(&mut self, is_last: bool, durable: &mut dyn FnMut()) -> Result<(), WriteError> {
        let is_disturbed = self.appender.keep_up(is_last, durable)?;
        self.look_again(is_disturbed)
    }

    pub(in crate::views::map) fn look_again(&mut self, is_disturbed: bool) -> Result<(), WriteError> {
        if is_disturbed {
            self.disturbed = true;
            self.held.parts.map.ready().map_err(ReadError::from)?;
            self.held.refresh();
        }
        Ok(())
    }

    /// Takes note of an element that was written apart.
    pub fn moved(&mut self, id: String) -> Result<(), ReadError> {
        self.plan.move_one(&mut self.held, id)
    }

    /// A node that is elsewhere now, with the tags that it has.
    pub fn move_node(&mut self, node: &WayNode, known: &KnownNode) -> Result<(), WriteError> {
        let Changes { held, plan, appender, .. } = self;
        let id = osm(ElementKind::Node, node.id);
        let own = known.own.newest(held.parts.clock.now()).cloned();
        plan.outdate(known, node, own.is_some());
        if let Some(mut body) = own {
            if let Body::Osm(element) = &mut body {
                element.move_to(node);
            }
            let feature = Feature { id: id.clone(), body };
            appender.put(&feature, &known.own.active)?;
        }
        Ok(plan.move_one(held, id)?)
    }

    /// What a way that somebody edits by hand says of its nodes, and is news: where it has been moved. Of what is held in a later version, or is
    /// not said, that counts.
    pub fn settle(&mut self, nodes: &mut [WayNode]) -> Result<Vec<(WayNode, Arc<KnownNode>)>, ReadError> {
        self.held.prepare(nodes.iter().map(|node| osm(ElementKind::Node, node.id)))?;
        let mut moved = Vec::new();
        for node in nodes {
            let known = self.held.node(node.id)?;
            match known.place() {
                Some(held) if node.at.is_none() || held.version > node.version => *node = held,
                Some(held) if held.at != node.at => moved.push((node.clone(), known)),
                _ => {}
            }
        }
        Ok(moved)
    }

    /// Which edit an element is of which that is not said: that of what is held, from which it was made.
    pub fn keep_meta(&mut self, feature: &mut Feature) -> Result<(), ReadError> {
        if let Body::Osm(element @ Element { meta: None, .. }) = &mut feature.body
            && let known = self.held.known(&feature.id)?
            && let Some(Body::Osm(held)) = known.newest(self.held.parts.clock.now())
        {
            element.meta = held.meta.clone();
        }
        Ok(())
    }

    /// Nodes that ways lose, and that nothing else says.
    pub fn write_lost<S: Source>(&mut self, source: &mut S) -> Result<(), S::Error> {
        let Plan { lost, carried, deleted, .. } = &mut self.plan;
        let lost = std::mem::take(lost).into_iter();
        let lost: Vec<i64> =
            lost.filter(|number| !carried.contains(number) && !deleted.contains_key(number)).collect();
        for some in lost.chunks(LOOKED_UP) {
            self.held.prepare(some.iter().map(|number| osm(ElementKind::Node, *number)))?;
            for &number in some {
                let known = self.held.node(number)?;
                if known.speaks_for_itself() || self.plan.is_held_elsewhere(&known) {
                    continue;
                }
                if let Place::Known(node) = self.place(number, source)?
                    && let Some(feature) = bare(&node)
                {
                    self.appender.put(&feature, &known.own.active)?;
                    self.keep_up(false, &mut || ())?;
                }
            }
        }
        Ok(())
    }

    /// Where a way's nodes are, and how large a relation is.
    pub(in crate::views::map) fn fill_in<S: Source>(
        &mut self,
        feature: &mut Feature,
        source: &mut S,
    ) -> Result<(), S::Error> {
        let Body::Osm(Element { shape, .. }) = &mut feature.body else { return Ok(()) };
        match shape {
            Shape::Node(_) => {}
            Shape::Way(nodes) => {
                for node in nodes {
                    *node = match self.place(node.id, source)? {
                        Place::Known(known) => known,
                        Place::Gone(version) => WayNode { at: None, version, edit: None, ..*node },
                        Place::Unknown => continue,
                    };
                }
            }
            Shape::Relation { members, extent } => *extent = self.held.around(members, extent)?,
        }
        Ok(())
    }

    /// The statement of a node that counts, from the file and from what is held.
    fn place<S: Source>(&mut self, number: i64, source: &mut S) -> Result<Place, S::Error> {
        if let Some(decided) = source.decided(number) {
            return Ok(Place::Known(decided));
        }
        if let Some(version) = self.plan.deleted.get(&number) {
            return Ok(Place::Gone(*version));
        }
        let known = self.held.node(number)?;
        let (said, held) = (source.said(number)?, known.place());
        let taken = said.clone().filter(|(said, is_edit)| {
            forced(known.judge_place(said, *is_edit), self.force) == Verdict::Taken
        });
        Ok(match (taken, known.gone(), held, said) {
            (Some((node, _)), ..) => Place::Known(node),
            (None, Some(version), ..) => Place::Gone(version),
            (None, None, Some(node), _) | (None, None, None, Some((node, _))) => Place::Known(node),
            (None, None, None, None) => Place::Unknown,
        })
    }

    pub(in crate::views::map) fn store(&mut self, feature: Feature, known: &Known) -> Result<(), WriteError> {
        let places = Places::on_map(&feature.extent());
        let is_there = rules::heads(&known.active).iter().all(|head| head.places == places);
        let moves = known.active.is_empty() || !is_there;
        if self.appender.put(&feature, &known.active)? && moves {
            self.plan.move_one(&mut self.held, feature.id)?;
        }
        Ok(())
    }

    /// The ways that are not changed themselves, with the nodes that are.
    pub fn write_outdated<S: Source>(&mut self, source: &mut S) -> Result<(), S::Error> {
        let outdated = std::mem::take(&mut self.plan.outdated).into_iter();
        let outdated: Vec<String> = outdated.filter(|id| !is_in(&self.plan.changed, id)).collect();
        for some in outdated.chunks(LOOKED_UP) {
            self.held.prepare(some.iter().cloned())?;
            let mut ids = Vec::new();
            for id in some {
                ids.extend(self.newest(id)?.iter().flat_map(|(way, _)| node_ids(&way.body)));
            }
            self.held.prepare(ids)?;
            for id in some {
                let Some((mut way, known)) = self.newest(id)? else { continue };
                self.fill_in(&mut way, source)?;
                self.store(way, &known)?;
                self.keep_up(false, &mut || ())?;
            }
        }
        Ok(())
    }

    /// What is to be written anew of a feature, if there is something.
    fn newest(&mut self, id: &str) -> Result<Option<(Feature, Arc<Known>)>, ReadError> {
        let known = self.held.known(id)?;
        let body = known.newest(self.held.parts.clock.now()).cloned();
        Ok(body.map(|body| (Feature { id: id.to_owned(), body }, known)))
    }

    /// All relations above what has moved, each once.
    pub fn write_relations<S: Source>(&mut self, source: &mut S) -> Result<(), S::Error> {
        self.plan.look_up(&mut self.held)?;
        let mut queue: Vec<String> = std::mem::take(&mut self.plan.relations).into_iter().collect();
        let mut all: BTreeSet<String> = queue.iter().cloned().collect();
        while !queue.is_empty() {
            let above = self.held.relations_of(&queue)?.into_iter();
            queue = above.filter(|id| all.insert(id.clone())).collect();
        }
        for some in Vec::from_iter(all).chunks(LOOKED_UP) {
            self.held.prepare(some.iter().cloned())?;
            for id in some {
                let Some((mut relation, known)) = self.newest(id)? else { continue };
                self.fill_in(&mut relation, source)?;
                self.appender.put(&relation, &known.active)?;
                self.keep_up(false, &mut || ())?;
            }
        }
        Ok(self.settle_written()?)
    }
}

/// The nodes that a way is made of.
pub(in crate::views::map) fn node_ids(body: &Body) -> impl Iterator<Item = String> + '_ {
    nodes(body).unwrap_or_default().iter().map(|node| osm(ElementKind::Node, node.id))
}
