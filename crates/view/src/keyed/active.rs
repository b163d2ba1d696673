//! The row of a key: its active versions, and what is kept of them.

use super::MAX_KEPT;
use crate::ViewError;
use bytes::Bytes;
use kappadb_core::limits::MAX_HEADER;
use kappadb_core::{EntryId, codec};
use kappadb_entry::rules::{self, Version};

/// Active versions of a key that share a row, at most.
pub(super) const FEW: usize = 16;
/// Bytes of versions in a row, at most: so many headers, of which rows hold parts.
pub(super) const MAX_ROW: usize = FEW * MAX_HEADER;

const BAD: ViewError = ViewError::Inconsistent("a row of a key cannot be read");

/// The versions of a key that no other makes redundant, ascending by id, and the payloads that are kept beside them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Active {
    /// The versions.
    pub versions: Vec<Version>,
    /// Of each version, or of none.
    pub(super) payloads: Vec<Option<Bytes>>,
}

/// Of versions, ascending by id, of which nothing is kept.
impl From<Vec<Version>> for Active {
    fn from(versions: Vec<Version>) -> Active {
        Active { versions, payloads: Vec::new() }
    }
}

impl Active {
    /// The versions that no other replaces, ascending by id.
    pub fn heads(&self) -> Vec<&Version> {
        rules::heads(&self.versions)
    }

    /// The payload of a version, if it is kept here.
    pub fn payload(&self, id: &EntryId) -> Option<&Bytes> {
        let at = self.versions.binary_search_by_key(id, |version| version.id).ok()?;
        self.payloads.get(at)?.as_ref()
    }

    /// The same versions without the payloads that may not be kept. True if there were any.
    pub fn strip(&mut self, may_keep: impl Fn(&EntryId) -> bool) -> bool {
        let kept = self.versions.iter().zip(&mut self.payloads).filter(|(_, payload)| payload.is_some());
        let gone = kept.filter(|(version, _)| !may_keep(&version.id)).map(|(_, payload)| payload.take());
        gone.count() > 0
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = codec::encode(&self.versions);
        if self.payloads.iter().any(Option::is_some) {
            for payload in &self.payloads {
                let payload = payload.as_deref().filter(|payload| payload.len() <= MAX_KEPT);
                let len = payload.and_then(|payload| u16::try_from(payload.len() + 1).ok()).unwrap_or(0);
                row.extend_from_slice(&len.to_le_bytes());
                row.extend_from_slice(payload.unwrap_or_default());
            }
        }
        row
    }

    /// What [`Active::encode`] wrote. No versions at all: they are many, and lie elsewhere.
    pub(super) fn decode(row: &Bytes) -> Result<Active, ViewError> {
        let (versions, used) = codec::decode_prefix::<Vec<Version>, MAX_ROW>("active versions", row)?;
        let mut rest = row.slice(used..);
        let mut payloads = Vec::new();
        if !rest.is_empty() {
            payloads.reserve_exact(versions.len());
            for _ in &versions {
                payloads.push(take(&mut rest)?);
            }
        }
        if rest.is_empty() { Ok(Active { versions, payloads }) } else { Err(BAD) }
    }
}

fn take(rest: &mut Bytes) -> Result<Option<Bytes>, ViewError> {
    let len = rest.first_chunk().map(|len| usize::from(u16::from_le_bytes(*len))).ok_or(BAD)?;
    drop(rest.split_to(2));
    let Some(len) = len.checked_sub(1) else { return Ok(None) };
    if len > rest.len() { Err(BAD) } else { Ok(Some(rest.split_to(len))) }
}
