//! Where relations are, of which some are made of relations, perhaps of each other or of themselves.
//!
//! They are gone through twice. The first time, [`Gathering`] learns where each is by its own nodes and ways, and which
//! relations it refers to; the second time, [`Located`] says where all of it is.

use crate::osm::{Extents, Nodes, Rank, Ways};
use kappadb_core::Extent;
use kappadb_geo::{ElementKind, Member, join_extents};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// Relations within a relation that are looked at, at most. OpenStreetMap has none with a tenth of it, and a file made to
/// waste time has no more effect than that some of its relations are drawn too small.
const MAX_NESTED: usize = 4096;

/// What is known after nodes and ways.
pub(crate) struct Gathering {
    nodes: Nodes,
    ways: Ways,
    direct: Extents,
    /// The relations that others are made of, by the version that counts.
    nested: BTreeMap<i64, (Rank, Vec<i64>)>,
}

/// Where everything is.
pub(crate) struct Located {
    nodes: Nodes,
    ways: Ways,
    direct: Ways,
    nested: BTreeMap<i64, Vec<i64>>,
}

impl Gathering {
    pub fn new(dir: &Path, nodes: Nodes, ways: Ways) -> Self {
        Gathering { nodes, ways, direct: Extents::new(dir), nested: BTreeMap::new() }
    }

    /// Takes a relation; one that is gone has no members.
    pub fn push(
        &mut self,
        id: i64,
        rank: Rank,
        members: impl IntoIterator<Item = (ElementKind, i64)>,
    ) -> io::Result<()> {
        let (mut parts, mut relations) = (Vec::new(), Vec::new());
        for (kind, member) in members {
            match kind {
                ElementKind::Node => {
                    parts.extend(self.nodes.position(member)?.map(|at| Extent::of_path([at])))
                }
                ElementKind::Way => parts.extend(self.ways.extents(member)?),
                ElementKind::Relation => relations.push(member),
            }
        }
        self.direct.push(id, rank, &join_extents(&parts))?;
        let known = self.nested.get(&id).map(|(rank, _)| *rank);
        match (relations.is_empty(), known) {
            (true, None) => {}
            (_, Some(known)) if known.bytes() >= rank.bytes() => {}
            _ => drop(self.nested.insert(id, (rank, relations))),
        }
        Ok(())
    }

    pub fn finish(self) -> io::Result<Located> {
        let Gathering { nodes, ways, direct, nested } = self;
        let nested = nested.into_iter().map(|(id, (_, relations))| (id, relations)).collect();
        Ok(Located { nodes, ways, direct: direct.finish()?, nested })
    }
}

impl Located {
    /// Gives the nodes back.
    pub fn into_nodes(self) -> Nodes {
        self.nodes
    }

    /// Around the members that the file has, and what these are made of.
    pub fn around(&mut self, members: &[Member]) -> io::Result<Extent> {
        let (mut parts, mut relations) = (Vec::new(), Vec::new());
        for member in members {
            match member.kind {
                ElementKind::Node => {
                    parts.extend(self.nodes.position(member.id)?.map(|at| Extent::of_path([at])));
                }
                ElementKind::Way => parts.extend(self.ways.extents(member.id)?),
                ElementKind::Relation => relations.push(member.id),
            }
        }
        for relation in self.within(relations) {
            parts.extend(self.direct.extents(relation)?);
        }
        Ok(join_extents(&parts))
    }

    /// These relations, and those that they are made of, each once.
    fn within(&self, mut queue: Vec<i64>) -> BTreeSet<i64> {
        let mut seen = BTreeSet::new();
        while let Some(id) = queue.pop() {
            if seen.len() < MAX_NESTED && seen.insert(id) {
                queue.extend(self.nested.get(&id).into_iter().flatten().copied());
            }
        }
        seen
    }
}
