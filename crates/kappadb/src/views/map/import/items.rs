//! What a file says, taken in many at a time: nodes without tags, and what is looked up of items before they are judged or written.

use super::ImportError;
use crate::engine::turns::Turn;
use crate::error::{ReadError, WriteError};
use crate::views::map::MapParts;
use crate::views::map::change::append::{Appender, wanted};
use crate::views::map::change::changes::{Changes, Source, node_ids};
use crate::views::map::change::held::bare;
use crate::views::map::change::judge::Verdict;
use crate::views::map::change::plan::forced;
use kappadb_entry::rules::Version;
use kappadb_geo::id::osm;
use kappadb_geo::{Bare, ElementKind, Item, Meta, WayNode};
use kappadb_import::Import;

impl Source for Import {
    type Error = ImportError;

    fn said(&mut self, node: i64) -> Result<Option<(WayNode, bool)>, ImportError> {
        Ok(Import::said(self, node)?)
    }
}

impl Changes<'_, '_> {
    /// Looks up what is held of these ids in one go, before they are judged or written one by one.
    pub fn prepare(&mut self, ids: impl IntoIterator<Item = String>) -> Result<(), ReadError> {
        self.held.prepare(ids)
    }

    /// The same for items that are to be written, with the nodes of ways.
    pub fn prepare_items<'i>(&mut self, items: impl IntoIterator<Item = &'i Item>) -> Result<(), ReadError> {
        let mut ids = Vec::new();
        for item in items {
            ids.push(item.id().to_owned());
            if let Item::Put { feature, .. } = item {
                ids.extend(node_ids(&feature.body));
            }
        }
        self.held.prepare(ids)
    }

    /// Lets others write if they wait, as [`Changes::keep_up`] does.
    pub fn let_in(&mut self) -> Result<(), WriteError> {
        let is_disturbed = self.appender.let_in()?;
        self.look_again(is_disturbed)
    }

    /// A node without tags. If it is news, it becomes a feature unless a way that stands has it; the ways that have it are outdated.
    pub fn write_bare(&mut self, said: &Bare) -> Result<Verdict, WriteError> {
        if said.of_way {
            return self.write_of_way(said);
        }
        let Changes { held, plan, appender, force, .. } = self;
        let node = &said.node;
        let known = held.node(node.id)?;
        let verdict = forced(known.judge_bare(node, said.is_edit), *force);
        if verdict != Verdict::Taken {
            plan.mend(&known, node, verdict);
            return Ok(verdict);
        }
        let is_own = !known.own.held.versions.is_empty();
        plan.outdate(&known, node, is_own);
        let is_carried = plan.carried.contains(&node.id) || plan.is_held_elsewhere(&known);
        if (is_own || !is_carried)
            && let Some(feature) = bare(node)
        {
            appender.put(&feature, &known.own.active)?;
        }
        plan.move_one(held, osm(ElementKind::Node, node.id))?;
        Ok(verdict)
    }

    /// Where a way of the file has a node that may have tags.
    fn write_of_way(&mut self, said: &Bare) -> Result<Verdict, WriteError> {
        let known = self.held.node(said.node.id)?;
        let verdict = forced(known.judge_place(&said.node, said.is_edit), self.force);
        if verdict == Verdict::Taken {
            self.move_node(&said.node, &known)?;
        }
        Ok(verdict)
    }

    /// Writes an item that was news. If others wrote meanwhile it may be that no more: what it is now.
    pub fn write<S: Source>(&mut self, item: Item, source: &mut S) -> Result<Verdict, S::Error> {
        if self.disturbed {
            let verdict = self.judge(&item)?;
            if verdict != Verdict::Taken {
                return Ok(verdict);
            }
        }
        let known = self.held.known(item.id())?;
        match item {
            Item::Delete { id, meta } => {
                self.appender.delete(&id, meta.as_ref(), &known.active)?;
                self.plan.move_one(&mut self.held, id)?;
            }
            Item::Put { mut feature, .. } => {
                self.keep_meta(&mut feature)?;
                self.fill_in(&mut feature, source)?;
                self.store(feature, &known)?;
            }
        }
        Ok(Verdict::Taken)
    }
}

impl<'a> Appender<'a> {
    /// Others have their turn between two appends.
    pub fn in_turns(parts: &'a MapParts, turn: Turn) -> Self {
        let mut appender = Appender::new(parts);
        appender.turn = Some(turn);
        appender
    }

    /// Takes a delete in the place of a feature's `active` versions.
    pub fn delete(&mut self, id: &str, meta: Option<&Meta>, active: &[Version]) -> Result<(), WriteError> {
        self.append(kappadb_geo::delete(id, meta)?, active)
    }

    /// Lets others have their turn if they wait, as [`Appender::flush`] does.
    pub fn let_in(&mut self) -> Result<bool, WriteError> {
        wanted()?;
        let is_awaited = self.turn.as_ref().is_some_and(Turn::is_awaited);
        if is_awaited { self.flush(&mut || ()) } else { Ok(false) }
    }
}
