//! Writing under keys.

use super::{Content, Kv, KvError, MAX_VALUE, Value};
use crate::engine::batch::Batch;
use crate::views::kv::KvParts;
use crate::write::{Draft, Write};
use kappadb_core::EntryId;
use kappadb_entry::rules::{self, Version};
use kappadb_entry::space;
use kappadb_view_kv::{CODE_DELETE, CODE_PUT, KeyState, check_key, kind};
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
    pub fn put(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Write<EntryId, KvError> {
        self.change(KvOp::put(key, value), |_| Ok(()))
    }

    /// Takes a key's value away, replacing every version of it that is held here. Durable when it returns; none if no head
    /// gives it a value: then nothing is written. A replica that does not hold everything asks first ([`Kv::state`] from
    /// [`Source::Peers`](crate::Source::Peers)), or it finds nothing to delete.
    pub fn delete(&self, key: impl Into<Vec<u8>>) -> Write<Option<EntryId>, KvError> {
        let op = KvOp::delete(key);
        Write::shared(&self.parts, move |parts, batch| {
            let active = parts.kv_active(batch, &op)?;
            let gone = rules::heads(&active).iter().all(|head| head.kind.code == CODE_DELETE);
            let write = || Ok::<_, KvError>(batch.put(parts, op.draft(), &active)?);
            if gone { Ok(None) } else { write().map(Some) }
        })
    }

    /// Ends a conflict: gives the key a value in place of all of its heads that are held here: a replica that does not hold
    /// everything asks first, as for [`Kv::delete`].
    ///
    /// # Errors
    /// [`KvError::NoConflict`] if it has one head, or none.
    pub fn merge(&self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Write<EntryId, KvError> {
        let conflict = |heads: &[EntryId]| if heads.len() < 2 { Err(KvError::NoConflict) } else { Ok(()) };
        self.change(KvOp::put(key, value), conflict)
    }

    /// Gives a key a value if its heads are just these, in any order; none for a key of which nothing must be known.
    ///
    /// # Errors
    /// [`KvError::Changed`] with the heads that are held, if they are others.
    pub fn put_if(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        expected: &[EntryId],
    ) -> Write<EntryId, KvError> {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        expected.dedup();
        let unchanged = move |found: &[EntryId]| match found == expected {
            true => Ok(()),
            false => Err(KvError::Changed { found: found.to_vec() }),
        };
        self.change(KvOp::put(key, value), unchanged)
    }

    /// Gives a key what `change` makes of its value: that of its winner, none if it has none. If it makes none of it the key is deleted, if
    /// there is anything to delete. Nobody else writes here in between, so of forty that count up at once all count. Returns what was
    /// written, if anything; durable then.
    ///
    /// `change` is called on the thread that does all writes: it must not wait for another write.
    ///
    /// # Errors
    /// As [`Kv::put`].
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let database = kappadb::Database::builder(dir.path()).create().await?;
    /// let kv = database.kv();
    /// let count = |value: Option<kappadb::Value>| {
    ///     let count = value.and_then(|value| value.text()?.parse().ok()).unwrap_or(0);
    ///     Some((count + 1).to_string().into_bytes())
    /// };
    /// kv.update("visits", count).await?;
    /// kv.update("visits", count).await?;
    /// assert_eq!(kv.get("visits").await?.one().and_then(|value| value.text().map(str::to_owned)).as_deref(), Some("2"));
    /// # Ok(()) }
    /// ```
    pub fn update(
        &self,
        key: impl Into<Vec<u8>>,
        change: impl FnOnce(Option<Value>) -> Option<Vec<u8>> + Send + 'static,
    ) -> Write<Option<EntryId>, KvError> {
        let key = KvOp::delete(key);
        Write::shared(&self.parts, move |parts, batch| {
            let active = parts.kv_active(batch, &key)?;
            let before = parts.kv_value_of(batch, &active)?;
            let had = before.is_some();
            let op = match change(before) {
                Some(value) => KvOp::put(key.key(), value),
                None if had => key,
                None => return Ok(None),
            };
            op.check()?;
            Ok(Some(batch.put(parts, op.draft(), &active)?))
        })
    }

    /// Makes all changes in one append to this writer's feed. After a crash all of them are there or none; of several changes
    /// of one key the last counts, and only it is written. Returns the entry of each change.
    ///
    /// It is atomic where it is written, and where the feed is held whole. A replica that asks for some keys gets the
    /// changes of those keys: it can tell that its answer is complete, not that other keys were changed with them.
    pub fn batch(&self, ops: Vec<KvOp>) -> Write<Vec<EntryId>, KvError> {
        Write::shared(&self.parts, move |parts, batch| {
            ops.iter().try_for_each(KvOp::check)?;
            let keys: Vec<Vec<u8>> = ops.iter().map(|op| op.key().to_vec()).collect();
            let last: BTreeMap<Vec<u8>, KvOp> = keys.iter().cloned().zip(ops).collect();
            let mut ids = BTreeMap::new();
            for (key, op) in last {
                let active = parts.kv_active(batch, &op)?;
                ids.insert(key, batch.put(parts, op.draft(), &active)?);
            }
            Ok(keys.iter().filter_map(|key| ids.get(key).copied()).collect())
        })
    }

    /// Gives a key a value that replaces exactly the versions `replaced` and nothing that these replaced: for importing
    /// histories whose writers' feeds say nothing about what they knew. No names at all is a blind write.
    ///
    /// # Errors
    /// [`KvError::NotHeld`] if one of `replaced` is no version of the key that is held here.
    pub fn put_with_context(
        &self,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
        replaced: &[EntryId],
    ) -> Write<EntryId, KvError> {
        let (op, replaced) = (KvOp::put(key, value), replaced.to_vec());
        Write::apart(&self.parts, move |parts, batch| {
            op.check()?;
            parts.kv.ready()?;
            let held = parts.kv.read(|index| index.read().history(op.key()))??;
            if let Some(missing) = replaced.iter().find(|id| !held.iter().any(|v| v.id == **id)) {
                return Err(KvError::NotHeld(*missing));
            }
            Ok(batch.put_linked(parts, op.draft(), rules::succeed_explicit(&held, &replaced))?)
        })
    }

    /// One change, if the heads, ascending, pass.
    fn change(
        &self,
        op: KvOp,
        passes: impl FnOnce(&[EntryId]) -> Result<(), KvError> + Send + 'static,
    ) -> Write<EntryId, KvError> {
        Write::shared(&self.parts, move |parts, batch| {
            let active = parts.kv_active(batch, &op)?;
            let heads: Vec<EntryId> = rules::heads(&active).iter().map(|head| head.id).collect();
            passes(&heads)?;
            Ok(batch.put(parts, op.draft(), &active)?)
        })
    }
}

impl KvParts {
    /// The active versions of the key of a change that can be made.
    fn kv_active(&self, batch: &mut Batch, op: &KvOp) -> Result<Vec<Version>, KvError> {
        op.check()?;
        Ok(batch.active(&self.kv, space::KV, op.key())?)
    }

    /// The value that these versions of a key give it.
    fn kv_value_of(&self, batch: &Batch, active: &[Version]) -> Result<Option<Value>, KvError> {
        let state = KeyState::of(&active.to_vec().into(), self.clock.now());
        let Some(winner) = state.shown() else { return Ok(None) };
        let content = match batch.payload(&winner.id) {
            Some(payload) => Content::Value(payload),
            None => self.kv_content(winner, None)?,
        };
        Ok(Some(Value::new(&state, winner, content)))
    }
}
