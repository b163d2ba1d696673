//! Writing under keys.

use super::{Kv, KvError, MAX_VALUE};
use crate::database::Parts;
use crate::error::ReadError;
use crate::write::Draft;
use kappadb_core::EntryId;
use kappadb_entry::rules::{self, Links, Version};
use kappadb_view_kv::{CODE_DELETE, CODE_PUT, check_key, kind};
use std::collections::BTreeMap;

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvOp {
    /// Gives the key a value.
    Put {
        /// The key.
        key: Vec<u8>,
        /// At most [`MAX_VALUE`] bytes.
        value: Vec<u8>,
    },
    /// Takes its value away.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
}

impl KvOp {
    /// Gives the key a value.
    pub fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> KvOp {
        KvOp::Put { key: key.into(), value: value.into() }
    }

    /// Takes its value away.
    pub fn delete(key: impl Into<Vec<u8>>) -> KvOp {
        KvOp::Delete { key: key.into() }
    }

    /// What is changed.
    pub fn key(&self) -> &[u8] {
        match self {
            KvOp::Put { key, .. } | KvOp::Delete { key } => key,
        }
    }

    fn check(&self) -> Result<(), KvError> {
        check_key(self.key())?;
        match self {
            KvOp::Put { value, .. } if value.len() > MAX_VALUE => Err(KvError::TooLong(value.len())),
            _ => Ok(()),
        }
    }

    fn draft(self) -> Draft {
        let (code, key, payload) = match self {
            KvOp::Put { key, value } => (CODE_PUT, key, value),
            KvOp::Delete { key } => (CODE_DELETE, key, Vec::new()),
        };
        Draft { key: Some(key), payload, ..Draft::new(kind(code)) }
    }
}

impl Kv {
    /// Gives a key a value, in place of every version of it that is held here. Durable when it returns.
    ///
    /// # Errors
    /// [`KvError::Key`], [`KvError::TooLong`].
    pub async fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Result<EntryId, KvError> {
        self.write(KvOp::put(key, value), |_| Ok(())).await
    }

    /// Takes a key's value away, replacing every version of it that is held here. Durable when it returns; none if no head
    /// gives it a value: then nothing is written. A replica that does not hold everything asks first ([`Kv::ask_keys`]), or it
    /// finds nothing to delete.
    pub async fn delete(&self, key: impl Into<Vec<u8>>) -> Result<Option<EntryId>, KvError> {
        let op = KvOp::delete(key);
        self.run_writing(move |parts| {
            op.check()?;
            let _guard = parts.writing();
            let active = crate::write::active(&parts.kv, op.key())?;
            let gone = rules::heads(&active).iter().all(|head| head.kind.code == CODE_DELETE);
            if gone { Ok(None) } else { parts.kv_write(op, &active).map(Some) }
        })
        .await?
    }

    /// Ends a conflict: gives the key a value in place of all of its heads that are held here: a replica that does not hold
    /// everything asks first ([`Kv::ask_keys`]).
    ///
    /// # Errors
    /// [`KvError::NoConflict`] if it has one head, or none.
    pub async fn merge(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> Result<EntryId, KvError> {
        let conflict = |heads: &[EntryId]| if heads.len() < 2 { Err(KvError::NoConflict) } else { Ok(()) };
        self.write(KvOp::put(key, value), conflict).await
    }

    /// Gives a key a value if its heads are just these, in any order; none for a key of which nothing must be known.
    ///
    /// # Errors
    /// [`KvError::Changed`] with the heads that are held, if they are others.
    pub async fn put_if(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        expected: &[EntryId],
    ) -> Result<EntryId, KvError> {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        expected.dedup();
        let unchanged = move |found: &[EntryId]| match found == expected {
            true => Ok(()),
            false => Err(KvError::Changed { found: found.to_vec() }),
        };
        self.write(KvOp::put(key, value), unchanged).await
    }

    /// Makes all changes in one append to this writer's feed. After a crash all of them are there or none; of several changes
    /// of one key the last counts, and only it is written. Returns the entry of each change.
    ///
    /// It is atomic where it is written, and where the feed is held whole. A replica that asks for some keys gets the
    /// changes of those keys: it can tell that its answer is complete, not that other keys were changed with them.
    pub async fn batch(&self, ops: Vec<KvOp>) -> Result<Vec<EntryId>, KvError> {
        self.run_writing(move |parts| parts.kv_batch(ops)).await?
    }

    /// Gives a key a value that replaces exactly the versions `replaced` and nothing that these replaced: for importing
    /// histories whose writers' feeds say nothing about what they knew. No names at all is a blind write.
    ///
    /// # Errors
    /// [`KvError::NotHeld`] if one of `replaced` is no version of the key that is held here.
    pub async fn put_with_context(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        replaced: &[EntryId],
    ) -> Result<EntryId, KvError> {
        let (op, replaced) = (KvOp::put(key, value), replaced.to_vec());
        self.run_writing(move |parts| {
            op.check()?;
            let _guard = parts.writing();
            parts.kv.ready()?;
            let held = parts.kv.read(|index| index.history(op.key()))??;
            if let Some(missing) = replaced.iter().find(|id| !held.iter().any(|v| v.id == **id)) {
                return Err(KvError::NotHeld(*missing));
            }
            parts.kv_write_linked(op, rules::succeed_explicit(&held, &replaced))
        })
        .await?
    }

    /// One change, if the heads, ascending, pass.
    async fn write(
        &self,
        op: KvOp,
        passes: impl FnOnce(&[EntryId]) -> Result<(), KvError> + Send + 'static,
    ) -> Result<EntryId, KvError> {
        self.run_writing(move |parts| {
            op.check()?;
            let _guard = parts.writing();
            let active = crate::write::active(&parts.kv, op.key())?;
            let heads: Vec<EntryId> = rules::heads(&active).iter().map(|head| head.id).collect();
            passes(&heads)?;
            parts.kv_write(op, &active)
        })
        .await?
    }
}

impl Parts {
    fn kv_write(&self, op: KvOp, active: &[Version]) -> Result<EntryId, KvError> {
        let feed = self.writer()?;
        let block = self.block(op.draft(), active, &feed)?;
        let ids = self.append(feed, vec![block])?;
        Ok(ids.first().copied().ok_or(ReadError::Closed)?)
    }

    fn kv_write_linked(&self, op: KvOp, links: Links) -> Result<EntryId, KvError> {
        let feed = self.writer()?;
        let block = self.linked_block(op.draft(), links, &feed)?;
        let ids = self.append(feed, vec![block])?;
        Ok(ids.first().copied().ok_or(ReadError::Closed)?)
    }

    pub(super) fn kv_batch(&self, ops: Vec<KvOp>) -> Result<Vec<EntryId>, KvError> {
        ops.iter().try_for_each(KvOp::check)?;
        let keys: Vec<Vec<u8>> = ops.iter().map(|op| op.key().to_vec()).collect();
        let last: BTreeMap<Vec<u8>, KvOp> = keys.iter().cloned().zip(ops).collect();
        if last.is_empty() {
            return Ok(Vec::new());
        }
        let _guard = self.writing();
        let feed = self.writer()?;
        self.kv.ready()?;
        let mut blocks = Vec::with_capacity(last.len());
        for (key, op) in &last {
            let active = self.kv.read(|index| index.active(key))??;
            blocks.push(self.block(op.clone().draft(), &active, &feed)?);
        }
        let ids: BTreeMap<&Vec<u8>, EntryId> = last.keys().zip(self.append(feed, blocks)?).collect();
        Ok(keys.iter().filter_map(|key| ids.get(key).copied()).collect())
    }
}
