//! The content of a data blob: a table of texts, and groups of elements.

use super::wire::{Fields, Value, sums};
use crate::error::Damage;
use crate::ids::Names;
use kappadb_core::{Coord, Timestamp};
use kappadb_geo::{Edit, ElementKind, Member, Meta};

type Read<T> = Result<T, Damage>;

/// A block, taken apart as far as its groups.
pub(super) struct Block<'a> {
    texts: Vec<&'a [u8]>,
    groups: Vec<&'a [u8]>,
    /// Nanodegrees in a unit of coordinates.
    granularity: i64,
    /// Milliseconds in a unit of time.
    date_granularity: i64,
    lon_offset: i64,
    lat_offset: i64,
}

/// An element as it is written: texts by their place in the block's table.
#[derive(Debug, Default)]
pub(super) struct Raw {
    pub id: i64,
    tags: Vec<(u64, u64)>,
    info: Option<Info>,
    pub shape: RawShape,
}

#[derive(Debug)]
pub(super) enum RawShape {
    /// None if it is not on the map.
    Node(Option<Coord>),
    /// Ids, and positions if the file has them with the ways.
    Way(Vec<i64>, Vec<Option<Coord>>),
    /// Kind, id, role.
    Relation(Vec<(ElementKind, i64, u64)>),
}

impl Default for RawShape {
    fn default() -> Self {
        RawShape::Node(None)
    }
}

#[derive(Debug, Clone, Default)]
struct Info {
    version: i64,
    time: i64,
    changeset: i64,
    uid: i64,
    user: i64,
    deleted: bool,
}

/// Which kinds of elements a block has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kinds {
    pub ways: bool,
    pub relations: bool,
}

impl Raw {
    /// Gives ids for placeholders; true if its own was one.
    pub fn rename(&mut self, kind: ElementKind, names: &Names) -> bool {
        let rename = |kind, id: &mut i64| *id = names.id(kind, *id).0;
        match &mut self.shape {
            RawShape::Node(_) => {}
            RawShape::Way(nodes, _) => nodes.iter_mut().for_each(|id| rename(ElementKind::Node, id)),
            RawShape::Relation(members) => members.iter_mut().for_each(|(kind, id, _)| rename(*kind, id)),
        }
        let (id, is_new) = names.id(kind, self.id);
        self.id = id;
        is_new
    }

    pub fn has_tags(&self) -> bool {
        !self.tags.is_empty()
    }

    pub fn is_deleted(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.deleted)
    }

    /// 0 if it is not known.
    pub fn version(&self) -> u32 {
        self.info.as_ref().and_then(|info| u32::try_from(info.version).ok()).unwrap_or(0)
    }
}

impl<'a> Block<'a> {
    pub fn parse(bytes: &'a [u8]) -> Read<Block<'a>> {
        let (texts, groups) = (Vec::new(), Vec::new());
        let mut block =
            Block { texts, groups, granularity: 100, date_granularity: 1000, lon_offset: 0, lat_offset: 0 };
        for field in Fields(bytes) {
            match field? {
                (1, value) => block.texts = texts_of(value.bytes(1)?)?,
                (2, value) => block.groups.push(value.bytes(2)?),
                (17, value) => block.granularity = value.int(17)?,
                (18, value) => block.date_granularity = value.int(18)?,
                (19, value) => block.lat_offset = value.int(19)?,
                (20, value) => block.lon_offset = value.int(20)?,
                _ => {}
            }
        }
        Ok(block)
    }

    pub fn kinds(&self) -> Read<Kinds> {
        let mut kinds = Kinds::default();
        for field in self.groups.iter().flat_map(|group| Fields(group)) {
            match field?.0 {
                3 => kinds.ways = true,
                4 => kinds.relations = true,
                _ => {}
            }
        }
        Ok(kinds)
    }

    /// All elements of one kind.
    pub fn each<E: From<Damage>>(
        &self,
        kind: ElementKind,
        visit: &mut dyn FnMut(Raw) -> Result<(), E>,
    ) -> Result<(), E> {
        for field in self.groups.iter().flat_map(|group| Fields(group)) {
            match (kind, field?) {
                (ElementKind::Node, (1, value)) => visit(self.node(value.bytes(1)?)?)?,
                (ElementKind::Node, (2, value)) => self.dense(value.bytes(2)?, visit)?,
                (ElementKind::Way, (3, value)) => visit(self.way(value.bytes(3)?)?)?,
                (ElementKind::Relation, (4, value)) => visit(relation(value.bytes(4)?)?)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn text(&self, index: u64) -> Read<String> {
        let bytes = usize::try_from(index).ok().and_then(|i| self.texts.get(i));
        let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.map(str::to_owned).ok_or(Damage::Text { index })
    }

    pub fn tags(&self, raw: &Raw) -> Read<Vec<(String, String)>> {
        let tag = |(key, value): &(u64, u64)| Ok((self.text(*key)?, self.text(*value)?));
        raw.tags.iter().map(tag).collect()
    }

    pub fn members(&self, members: &[(ElementKind, i64, u64)]) -> Read<Vec<Member>> {
        let member = |&(kind, id, role): &_| Ok(Member { kind, id, role: self.text(role)? });
        members.iter().map(member).collect()
    }

    /// Its version and edit, as far as they can be read; none if there is nothing of them. Some programs write -1 for what they do not know.
    pub fn meta(&self, raw: &Raw) -> Option<Meta> {
        let info = raw.info.as_ref()?;
        let time = info.time.checked_mul(self.date_granularity).filter(|time| *time != 0).map(Timestamp);
        let named = u64::try_from(info.user).ok().filter(|user| *user != 0);
        let user = named.and_then(|user| self.text(user).ok()).unwrap_or_default();
        let edit = Edit { time, changeset: info.changeset.max(0), uid: info.uid.max(0), user };
        Some(Meta { version: raw.version(), edit }).filter(|meta| *meta != Meta::default())
    }

    /// None if it is not on the map. Rounded to whole 1e-7 degrees, which all that is from OpenStreetMap are.
    fn coord(&self, lon: i64, lat: i64) -> Option<Coord> {
        let units = |offset: i64, value: i64| {
            let nano = value.checked_mul(self.granularity)?.checked_add(offset)?;
            Some(nano.checked_add(50)?.div_euclid(100))
        };
        Coord::from_units(units(self.lon_offset, lon)?, units(self.lat_offset, lat)?)
    }

    fn node(&self, bytes: &[u8]) -> Read<Raw> {
        let mut raw = Raw::default();
        let (mut common, mut lon, mut lat) = (Common::default(), 0, 0);
        for field in Fields(bytes) {
            match field? {
                // A node's own id is zigzag, a way's and a relation's are not.
                (1, value) => raw.id = value.zigzag(1)?,
                (8, value) => lat = value.zigzag(8)?,
                (9, value) => lon = value.zigzag(9)?,
                (field, value) => common.take(field, value)?,
            }
        }
        raw.shape = RawShape::Node(self.coord(lon, lat));
        common.finish(raw)
    }

    fn dense<E: From<Damage>>(
        &self,
        bytes: &[u8],
        visit: &mut dyn FnMut(Raw) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut ids, mut lats, mut lons, mut tags) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut info = DenseInfo::default();
        for field in Fields(bytes) {
            match field? {
                (1, value) => value.numbers(1, &mut ids)?,
                (5, value) => info = DenseInfo::parse(value.bytes(5)?)?,
                (8, value) => value.numbers(8, &mut lats)?,
                (9, value) => value.numbers(9, &mut lons)?,
                (10, value) => value.numbers(10, &mut tags)?,
                _ => {}
            }
        }
        if ids.len() != lats.len() || ids.len() != lons.len() {
            return Err(Damage::Lists { of: "nodes" }.into());
        }
        let mut tags = tags.into_iter();
        let positions = sums(&lons)?.into_iter().zip(sums(&lats)?);
        for (i, (id, (lon, lat))) in sums(&ids)?.into_iter().zip(positions).enumerate() {
            let (tags, info) = (dense_tags(&mut tags)?, info.get(i)?);
            visit(Raw { id, tags, info, shape: RawShape::Node(self.coord(lon, lat)) })?;
        }
        Ok(())
    }

    fn way(&self, bytes: &[u8]) -> Read<Raw> {
        let mut raw = Raw::default();
        let (mut common, mut refs, mut lats, mut lons) =
            (Common::default(), Vec::new(), Vec::new(), Vec::new());
        for field in Fields(bytes) {
            match field? {
                (1, value) => raw.id = value.int(1)?,
                (8, value) => value.numbers(8, &mut refs)?,
                (9, value) => value.numbers(9, &mut lats)?,
                (10, value) => value.numbers(10, &mut lons)?,
                (field, value) => common.take(field, value)?,
            }
        }
        if lats.len() != lons.len() {
            return Err(Damage::Lists { of: "a way's positions" });
        }
        let positions = sums(&lons)?.into_iter().zip(sums(&lats)?);
        raw.shape = RawShape::Way(sums(&refs)?, positions.map(|(lon, lat)| self.coord(lon, lat)).collect());
        common.finish(raw)
    }
}

fn relation(bytes: &[u8]) -> Read<Raw> {
    let mut raw = Raw::default();
    let (mut common, mut roles, mut ids, mut kinds) = (Common::default(), Vec::new(), Vec::new(), Vec::new());
    for field in Fields(bytes) {
        match field? {
            (1, value) => raw.id = value.int(1)?,
            (8, value) => value.numbers(8, &mut roles)?,
            (9, value) => value.numbers(9, &mut ids)?,
            (10, value) => value.numbers(10, &mut kinds)?,
            (field, value) => common.take(field, value)?,
        }
    }
    if ids.len() != roles.len() || ids.len() != kinds.len() {
        return Err(Damage::Lists { of: "members" });
    }
    let members = sums(&ids)?.into_iter().zip(kinds.into_iter().zip(roles));
    let members = members.map(|(id, (kind, role))| Ok((kind_of(kind)?, id, role))).collect::<Read<_>>()?;
    raw.shape = RawShape::Relation(members);
    common.finish(raw)
}

fn kind_of(number: u64) -> Read<ElementKind> {
    match number {
        0 => Ok(ElementKind::Node),
        1 => Ok(ElementKind::Way),
        2 => Ok(ElementKind::Relation),
        other => Err(Damage::MemberType(other)),
    }
}

fn texts_of(table: &[u8]) -> Read<Vec<&[u8]>> {
    Fields(table).map(|field| field.and_then(|(field, value)| value.bytes(field))).collect()
}

/// The fields that elements have in common.
#[derive(Default)]
struct Common {
    keys: Vec<u64>,
    values: Vec<u64>,
    info: Option<Info>,
}

impl Common {
    fn take(&mut self, field: u64, value: Value<'_>) -> Read<()> {
        match field {
            2 => value.numbers(2, &mut self.keys),
            3 => value.numbers(3, &mut self.values),
            4 => {
                self.info = Some(Info::parse(value.bytes(4)?)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(self, raw: Raw) -> Read<Raw> {
        if self.keys.len() != self.values.len() {
            return Err(Damage::Lists { of: "tags" });
        }
        Ok(Raw { tags: self.keys.into_iter().zip(self.values).collect(), info: self.info, ..raw })
    }
}

impl Info {
    fn parse(bytes: &[u8]) -> Read<Info> {
        let mut info = Info::default();
        for field in Fields(bytes) {
            match field? {
                (1, value) => info.version = value.int(1)?,
                (2, value) => info.time = value.int(2)?,
                (3, value) => info.changeset = value.int(3)?,
                (4, value) => info.uid = value.int(4)?,
                (5, value) => info.user = value.int(5)?,
                (6, value) => info.deleted = value.number(6)? == 0,
                _ => {}
            }
        }
        Ok(info)
    }
}

/// One list for each part of the info of dense nodes; each may be missing.
#[derive(Default)]
struct DenseInfo {
    versions: Vec<u64>,
    times: Vec<i64>,
    changesets: Vec<i64>,
    uids: Vec<i64>,
    users: Vec<i64>,
    visible: Vec<u64>,
    present: bool,
}

impl DenseInfo {
    fn parse(bytes: &[u8]) -> Read<DenseInfo> {
        let mut lists: [Vec<u64>; 6] = Default::default();
        for field in Fields(bytes) {
            let (field, value) = field?;
            let list = usize::try_from(field).ok().and_then(|field| lists.get_mut(field.wrapping_sub(1)));
            list.map_or(Ok(()), |list| value.numbers(field, list))?;
        }
        let [versions, times, changesets, uids, users, visible] = lists;
        let (times, changesets, uids, users) =
            (sums(&times)?, sums(&changesets)?, sums(&uids)?, sums(&users)?);
        Ok(DenseInfo { versions, times, changesets, uids, users, visible, present: true })
    }

    fn get(&self, i: usize) -> Read<Option<Info>> {
        fn at<T: Copy + Default>(list: &[T], i: usize) -> Read<T> {
            let short = Damage::Lists { of: "infos" };
            if list.is_empty() { Ok(T::default()) } else { list.get(i).copied().ok_or(short) }
        }
        if !self.present {
            return Ok(None);
        }
        Ok(Some(Info {
            version: at(&self.versions, i)?.cast_signed(),
            time: at(&self.times, i)?,
            changeset: at(&self.changesets, i)?,
            uid: at(&self.uids, i)?,
            user: at(&self.users, i)?,
            deleted: !self.visible.is_empty() && at(&self.visible, i)? == 0,
        }))
    }
}

/// Keys and values of one node, up to the 0 that ends them. There are none at all if no node has tags.
fn dense_tags(list: &mut std::vec::IntoIter<u64>) -> Read<Vec<(u64, u64)>> {
    let mut tags = Vec::new();
    while let Some(key) = list.next().filter(|key| *key != 0) {
        tags.push((key, list.next().ok_or(Damage::Lists { of: "tags" })?));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let block = Block::parse(&bytes);
            let texts = vec![&b"a"[..], &b"\xff"[..]];
            let noise = Block { texts, groups: vec![&bytes], ..Block::parse(&[]).unwrap() };
            for block in block.iter().chain([&noise]) {
                let _ = block.kinds();
                for kind in [ElementKind::Node, ElementKind::Way, ElementKind::Relation] {
                    let _ = block.each::<Damage>(kind, &mut |raw| {
                        let _ = (block.tags(&raw), block.meta(&raw));
                        Ok(())
                    });
                }
            }
            let _ = (relation(&bytes), noise.node(&bytes), noise.way(&bytes));
            let _ = noise.dense::<Damage>(&bytes, &mut |_| Ok(()));
        }
    }
}
