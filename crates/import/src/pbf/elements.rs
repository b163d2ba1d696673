//! The passes over the elements.

use super::block::{Block, Kinds, Raw, RawShape};
use super::file::{Blob, PbfFile};
use crate::error::{Damage, ImportError, Location, Reason};
use crate::format::{HISTORY, ONE_TIME};
use crate::ids::Names;
use crate::import::{Counts, Progress};
use crate::nested::{Gathering, Located};
use crate::osm::{self, Extents, Nodes, Positions, Rank, Said, Versions, Ways};
use crate::source::Source;
use crate::spool::Spool;
use kappadb_core::Extent;
use kappadb_geo::{Body, Element, ElementKind, Feature, Shape, WayNode, id};
use std::io;

/// Reads a file's elements into the spool; how many there are.
pub(crate) fn read(
    source: Source,
    names: &Names,
    spool: &mut Spool,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Counts, Nodes), ImportError> {
    let file = PbfFile::new(source)?;
    let mut reader = Reader {
        names,
        file,
        spool,
        progress,
        counts: Counts::default(),
        versions: Versions::default(),
        blobs: Vec::new(),
    };
    let mut nodes = reader.nodes()?;
    let ways = reader.ways(&mut nodes)?;
    let mut located = reader.nesting(nodes, ways)?;
    reader.relations(&mut located)?;
    Ok((reader.counts, located.into_nodes()))
}

struct Reader<'a> {
    names: &'a Names,
    file: PbfFile,
    spool: &'a mut Spool,
    progress: &'a mut dyn FnMut(Progress),
    counts: Counts,
    versions: Versions,
    /// Where the data blobs are, and what they hold.
    blobs: Vec<(u64, Kinds)>,
}

/// What can go wrong with one element: the file is damaged, or the disk is full.
enum Trouble {
    Damage(Damage),
    /// It has all versions of its elements.
    History,
    Spool(io::Error),
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        Trouble::Damage(damage)
    }
}

impl From<io::Error> for Trouble {
    fn from(source: io::Error) -> Self {
        Trouble::Spool(source)
    }
}

impl Reader<'_> {
    fn explain(&self, offset: u64, trouble: Trouble) -> ImportError {
        match trouble {
            Trouble::Damage(damage) => self.file.damaged(offset, damage),
            Trouble::History => self.file.source.unsupported(HISTORY, ONE_TIME),
            Trouble::Spool(source) => self.unspooled(source),
        }
    }

    fn unspooled(&self, source: io::Error) -> ImportError {
        ImportError::Spool { dir: self.spool.dir().to_owned(), source }
    }

    /// First pass: every blob. Positions of all nodes; those with tags are features.
    fn nodes(&mut self) -> Result<Nodes, ImportError> {
        let mut positions = Positions::new(self.spool.dir()).map_err(|e| self.unspooled(e))?;
        let mut started = false;
        loop {
            let offset = self.file.offset();
            match self.file.next()? {
                None => break,
                Some(Blob::Header(header)) => {
                    self.file.check_header(offset, &header)?;
                    started = true;
                }
                Some(_) if !started => return Err(self.file.damaged(offset, Damage::NoHeader)),
                Some(Blob::Data(bytes)) => {
                    let kinds = self.nodes_of(offset, &bytes, &mut positions);
                    let kinds = kinds.map_err(|trouble| self.explain(offset, trouble))?;
                    self.blobs.push((offset, kinds));
                }
                Some(Blob::Other) => {}
            }
            self.report(self.file.offset());
        }
        if !started {
            return Err(self.file.source.truncated("its header"));
        }
        positions.finish().map_err(|e| self.unspooled(e))
    }

    fn nodes_of(&mut self, offset: u64, bytes: &[u8], positions: &mut Positions) -> Result<Kinds, Trouble> {
        let block = Block::parse(bytes)?;
        block.each(ElementKind::Node, &mut |raw| {
            let mut raw = raw;
            self.counts.nodes += 1;
            self.name(ElementKind::Node, &mut raw)?;
            let RawShape::Node(at) = raw.shape else { return Ok(()) };
            let meta = block.meta(&raw);
            let mut said = Said {
                id: raw.id,
                rank: self.rank(&raw),
                at: None,
                edit: meta.as_ref().map(|meta| &meta.edit),
                is_tagged: raw.has_tags(),
                is_edit: false,
                of_way: false,
            };
            if raw.is_deleted() {
                positions.push(&said)?;
                return self.delete(offset, ElementKind::Node, &block, &raw);
            }
            let Some(at) = at else { return self.skip(offset, ElementKind::Node, &raw, Reason::OffTheMap) };
            said.at = Some(at);
            positions.push(&said)?;
            if raw.has_tags() { self.add(offset, &block, &raw, Shape::Node(at)) } else { Ok(()) }
        })?;
        Ok(block.kinds()?)
    }

    /// Second pass: blobs with ways. Extents of all that are somewhere, which are features.
    fn ways(&mut self, nodes: &mut Nodes) -> Result<Ways, ImportError> {
        let mut extents = Extents::new(self.spool.dir());
        let length = self.file.source.length;
        self.each_blob(|kinds| kinds.ways, length, &mut |reader, offset, block| {
            block.each(ElementKind::Way, &mut |raw| reader.way(offset, block, raw, nodes, &mut extents))
        })?;
        extents.finish().map_err(|e| self.unspooled(e))
    }

    fn way(
        &mut self,
        offset: u64,
        block: &Block<'_>,
        mut raw: Raw,
        nodes: &mut Nodes,
        extents: &mut Extents,
    ) -> Result<(), Trouble> {
        self.counts.ways += 1;
        self.name(ElementKind::Way, &mut raw)?;
        let RawShape::Way(refs, own) = std::mem::take(&mut raw.shape) else { return Ok(()) };
        if raw.is_deleted() {
            extents.push(raw.id, self.rank(&raw), &Extent::NOWHERE)?;
            return self.delete(offset, ElementKind::Way, block, &raw);
        }
        let own = own.into_iter().chain(std::iter::repeat(None));
        let path =
            nodes.path(refs.into_iter().zip(own).map(|(id, at)| WayNode { at, ..WayNode::new(id) }))?;
        let extent = Extent::of_path(path.iter().filter_map(|node| node.at));
        extents.push(raw.id, self.rank(&raw), &extent)?;
        self.add(offset, block, &raw, Shape::Way(path))
    }

    /// Third pass: blobs with relations. Where each is without the relations that it is made of.
    fn nesting(&mut self, nodes: Nodes, ways: Ways) -> Result<Located, ImportError> {
        let length = self.file.source.length;
        let mut gathering = Gathering::new(self.spool.dir(), nodes, ways);
        let (mut sequence, names) = (0, self.names);
        self.each_blob(|kinds| kinds.relations, length + length / 2, &mut |_, _, block| {
            block.each(ElementKind::Relation, &mut |mut raw| {
                raw.rename(ElementKind::Relation, names);
                sequence += 1;
                let rank = Rank { version: raw.version(), sequence };
                let RawShape::Relation(members) = &raw.shape else { return Ok(()) };
                let members = if raw.is_deleted() { &[][..] } else { &members[..] };
                Ok(gathering.push(raw.id, rank, members.iter().map(|(kind, id, _)| (*kind, *id)))?)
            })
        })?;
        gathering.finish().map_err(|e| self.unspooled(e))
    }

    /// Fourth pass: the same blobs. Relations that are somewhere are features.
    fn relations(&mut self, located: &mut Located) -> Result<(), ImportError> {
        let length = self.file.source.length;
        self.each_blob(|kinds| kinds.relations, length + length / 2, &mut |reader, offset, block| {
            block.each(ElementKind::Relation, &mut |raw| reader.relation(offset, block, raw, located))
        })?;
        (self.progress)(Progress { bytes_done: length * 2, bytes_total: length * 2 });
        Ok(())
    }

    fn relation(
        &mut self,
        offset: u64,
        block: &Block<'_>,
        mut raw: Raw,
        located: &mut Located,
    ) -> Result<(), Trouble> {
        self.counts.relations += 1;
        self.name(ElementKind::Relation, &mut raw)?;
        let RawShape::Relation(members) = std::mem::take(&mut raw.shape) else { return Ok(()) };
        if raw.is_deleted() {
            return self.delete(offset, ElementKind::Relation, block, &raw);
        }
        let members = match block.members(&members) {
            Ok(members) => members,
            Err(damage) => return self.skip(offset, ElementKind::Relation, &raw, damage.into()),
        };
        let extent = located.around(&members)?;
        self.add(offset, block, &raw, Shape::Relation { members, extent })
    }

    /// Reads the wanted blobs again. `done` is how much of the progress came before this pass, which is a quarter of it; the two passes over relations, which are
    /// few, show as one.
    fn each_blob(
        &mut self,
        wanted: fn(&Kinds) -> bool,
        done: u64,
        visit: &mut dyn FnMut(&mut Self, u64, &Block<'_>) -> Result<(), Trouble>,
    ) -> Result<(), ImportError> {
        let blobs: Vec<u64> =
            self.blobs.iter().filter(|(_, kinds)| wanted(kinds)).map(|(at, _)| *at).collect();
        for offset in blobs {
            self.file.seek(offset)?;
            if let Some(Blob::Data(bytes)) = self.file.next()? {
                let visited =
                    Block::parse(&bytes).map_err(Trouble::from).and_then(|block| visit(self, offset, &block));
                visited.map_err(|trouble| self.explain(offset, trouble))?;
            }
            self.report(done + self.file.offset() / 2);
        }
        Ok(())
    }

    fn report(&mut self, bytes_done: u64) {
        (self.progress)(Progress { bytes_done, bytes_total: self.file.source.length * 2 });
    }

    fn add(&mut self, offset: u64, block: &Block<'_>, raw: &Raw, shape: Shape) -> Result<(), Trouble> {
        let kind = shape.kind();
        let tags = block.tags(raw).map_err(Reason::from).and_then(osm::tags);
        let tags = match tags {
            Ok(tags) => tags,
            Err(reason) => return self.skip(offset, kind, raw, reason),
        };
        let meta = block.meta(raw);
        let body = Body::Osm(Element { shape, tags, meta });
        let feature = Feature { id: id::osm(kind, raw.id), body };
        Ok(self.spool.add(&feature, false, self.rank(raw), Location::Blob(offset))?)
    }

    /// Takes note of an element's version, and gives ids for placeholders.
    fn name(&mut self, kind: ElementKind, raw: &mut Raw) -> Result<(), Trouble> {
        if self.versions.repeats(kind, raw.id, raw.version()) {
            return Err(Trouble::History);
        }
        self.spool.renamed += u64::from(raw.rename(kind, self.names));
        Ok(())
    }

    fn skip(&mut self, offset: u64, kind: ElementKind, raw: &Raw, reason: Reason) -> Result<(), Trouble> {
        self.spool.skip(Location::Blob(offset), Some(id::osm(kind, raw.id)), reason);
        Ok(())
    }

    fn delete(
        &mut self,
        offset: u64,
        kind: ElementKind,
        block: &Block<'_>,
        raw: &Raw,
    ) -> Result<(), Trouble> {
        let (rank, location) = (self.rank(raw), Location::Blob(offset));
        Ok(self.spool.delete(kind, raw.id, block.meta(raw).as_ref(), rank, location)?)
    }

    /// Elements of one kind come in the file's order.
    fn rank(&self, raw: &Raw) -> Rank {
        Rank { version: raw.version(), sequence: self.counts.features() }
    }
}
