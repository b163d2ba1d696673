//! Ids of elements that somebody made and OpenStreetMap has not seen, and of rows of GeoJSON (`design/map.md`, "Placeholders").

use crate::source::Source;
use kappadb_core::blake2b256;
use kappadb_geo::id::Rows;
use kappadb_geo::{ElementKind, Shape};
use std::io::{self, Read};

/// Numbers from 0 down to here, without it, are placeholders. Those that are given for them lie below, so that they are none themselves.
const LOWEST: i64 = -(1 << 62);
/// Bytes of a file that are hashed at a time.
const CHUNK: usize = 1 << 20;

/// What becomes of placeholders: ids of elements that are no greater than 0, which editors give to what is new, and whole numbers in GeoJSON, which are mostly
/// those of a table's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Ids {
    /// Each gets an id that no other file's has: the same file again has the same ones.
    #[default]
    New,
    /// They stay. Files that have the same placeholders are of the same elements.
    Keep,
    /// Each gets an id that is the same in all files of this name.
    Named(String),
}

/// Gives ids for placeholders.
pub(crate) struct Names {
    /// None if they stay.
    scope: Option<[u8; 32]>,
}

impl Names {
    pub fn new(ids: &Ids, source: &Source) -> io::Result<Names> {
        let scope = match ids {
            Ids::Keep => None,
            Ids::Named(name) => Some(blake2b256(&[b"name", name.as_bytes()]).0),
            Ids::New => Some(digest(source)?),
        };
        Ok(Names { scope })
    }

    /// An element's id, and whether it was a placeholder.
    pub fn id(&self, kind: ElementKind, number: i64) -> (i64, bool) {
        match self.scope {
            Some(scope) if number <= 0 && number > LOWEST => (given(&scope, kind, number), true),
            _ => (number, false),
        }
    }

    /// What row numbers are of in the collection of the file that has this number, from 0; none if they are ids.
    pub fn rows(&self, collection: u64) -> Option<Rows> {
        self.scope.map(|scope| Rows::of(&[&scope[..], &collection.to_le_bytes()].concat()))
    }

    /// The ids in what an element is made of.
    pub fn rename(&self, shape: &mut Shape) {
        let rename = |kind, id: &mut i64| *id = self.id(kind, *id).0;
        match shape {
            Shape::Node(_) => {}
            Shape::Way(nodes) => nodes.iter_mut().for_each(|node| rename(ElementKind::Node, &mut node.id)),
            Shape::Relation { members, .. } => {
                members.iter_mut().for_each(|member| rename(member.kind, &mut member.id));
            }
        }
    }
}

/// One of 2^62 numbers: of ten million ids two are the same once in a hundred thousand times.
fn given(scope: &[u8; 32], kind: ElementKind, number: i64) -> i64 {
    let hash = blake2b256(&[scope, kind.name().as_bytes(), &number.to_le_bytes()]).0;
    let bits = hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) >> 2);
    LOWEST - bits.cast_signed()
}

/// Of the file's content, however it is packed: piece by piece, each with the digest of those before.
fn digest(source: &Source) -> io::Result<[u8; 32]> {
    let mut content = source.content()?;
    let (mut digest, mut piece) = ([0; 32], Vec::new());
    loop {
        piece.clear();
        content.by_ref().take(CHUNK as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(digest);
        }
        digest = blake2b256(&[&digest, &piece]).0;
    }
}
