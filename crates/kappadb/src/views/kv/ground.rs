//! Where questions about keys are answered from: what is there now, or what was at one moment. All of it blocks.

use super::load::{Content, Head, KvState, Value};
use super::scan::KvItem;
use crate::error::ReadError;
use crate::network::ask::KV;
use crate::network::{Answer, Completeness};
use crate::views::kv::KvParts;
use bytes::Bytes;
use kappadb_core::{EntryId, Timestamp};
use kappadb_entry::rules::Version;
use kappadb_query::Selector;
use kappadb_view_kv::{KeyRange, KeyState, KvReader, KvSnapshot, Row, ScanOptions};
use std::fmt;
use std::sync::Arc;

/// What is asked.
#[derive(Clone)]
pub(super) struct Ground {
    pub parts: Arc<KvParts>,
    at: Option<Arc<Moment>>,
}

struct Moment {
    keys: KvSnapshot,
    now: Timestamp,
    /// How often what is held had changed before.
    changes: u64,
}

impl fmt::Debug for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.at.as_ref().map(|at| at.now);
        f.debug_struct("Ground").field("parts", &self.parts).field("at", &now).finish()
    }
}

impl Ground {
    /// What is there now.
    pub fn now(parts: Arc<KvParts>) -> Ground {
        Ground { parts, at: None }
    }

    /// What was there at this moment, whatever comes later.
    pub fn freeze(&self) -> Result<Ground, ReadError> {
        let at = match &self.at {
            Some(at) => at.clone(),
            None => {
                // Counted first: all that had come by then is indexed, and in the snapshot.
                let changes = self.parts.feeds.changes();
                self.parts.kv.ready()?;
                let keys = self.parts.kv.read(|index| index.snapshot())?;
                Arc::new(Moment { keys, now: self.parts.clock.now(), changes })
            }
        };
        Ok(Ground { at: Some(at), ..self.clone() })
    }

    /// How much of what there is the answer to a question about keys has. To be asked before it is looked at.
    pub fn here(&self, selector: impl FnOnce() -> Selector) -> Result<Option<Completeness>, ReadError> {
        let parts = &self.parts;
        let here = parts.network.here(&parts.name, KV, selector, parts.clock.now(), false)?;
        // What came after the moment is not in what is looked at.
        let is_now = self.at.as_ref().is_none_or(|at| at.changes == parts.feeds.changes());
        Ok(is_now.then_some(here))
    }

    fn time(&self) -> Timestamp {
        self.at.as_ref().map_or_else(|| self.parts.clock.now(), |at| at.now)
    }

    /// Looks at the keys.
    fn look<R>(&self, look: impl FnOnce(KvReader<'_>) -> R) -> Result<R, ReadError> {
        match &self.at {
            Some(at) => Ok(look(at.keys.read())),
            None => {
                self.parts.kv.ready()?;
                Ok(self.parts.kv.read(|index| look(index.read()))?)
            }
        }
    }

    pub fn state(&self, key: &[u8]) -> Result<KeyState, ReadError> {
        let now = self.time();
        Ok(self.look(|keys| keys.state(key, now))??)
    }

    pub fn get(&self, key: &[u8]) -> Result<Answer<Value>, ReadError> {
        let value = self.parts.kv_value(&self.state(key)?)?;
        Ok(valued(value))
    }

    /// What is known of a key.
    pub fn key(&self, key: &[u8]) -> Result<Answer<KvState>, ReadError> {
        Ok(Answer::of(KvState::of(&self.state(key)?)))
    }

    pub fn heads(&self, key: &[u8]) -> Result<Answer<Head>, ReadError> {
        let heads = self.parts.kv_heads(&self.state(key)?, self.time())?;
        let lacking = heads.iter().filter(|head| head.content == Content::NotHeld).count();
        Ok(Answer::of(heads).lacking(lacking))
    }

    /// The values of some keys, in their order.
    pub fn get_all(&self, keys: &[Vec<u8>]) -> Result<Answer<Option<Value>>, ReadError> {
        let now = self.time();
        let states = self.look(|keys_held| {
            keys.iter().map(|key| keys_held.state(key, now)).collect::<Result<Vec<_>, _>>()
        })??;
        let values = self.parts.kv_values(&states)?;
        let lacking = values.iter().flatten().filter(|value| value.bytes.is_none()).count();
        Ok(Answer::of(values).lacking(lacking))
    }

    /// Some keys of a range, and where to go on.
    pub fn scan(
        &self,
        range: &KeyRange,
        options: &ScanOptions,
    ) -> Result<Answer<KvItem, Vec<u8>>, ReadError> {
        let frozen = self.freeze()?;
        let (rows, next) = frozen.rows(range, options)?;
        let (keys, states): (Vec<Vec<u8>>, Vec<KeyState>) =
            rows.into_iter().map(|row| (row.key, row.state)).unzip();
        let values = frozen.parts.kv_values(&states)?;
        let item = |(key, value): (Vec<u8>, Option<Value>)| Some(KvItem { key, value: value? });
        let items: Vec<KvItem> = keys.into_iter().zip(values).filter_map(item).collect();
        let lacking = items.iter().filter(|item| item.value.bytes.is_none()).count();
        Ok(Answer::page(items, next).lacking(lacking))
    }

    /// The keys of a page without their values.
    pub fn rows(
        &self,
        range: &KeyRange,
        options: &ScanOptions,
    ) -> Result<(Vec<Row>, Option<Vec<u8>>), ReadError> {
        let (now, mut rows, mut after) = (self.time(), Vec::new(), options.after.clone());
        loop {
            let limit = options.limit.map(|limit| limit.saturating_sub(rows.len()));
            let part = ScanOptions { limit, after: after.take(), ..*options };
            let page = self.look(|keys| keys.scan(range, &part, now))??;
            rows.extend(page.rows);
            if page.next.is_none() || options.limit.is_some_and(|limit| rows.len() >= limit) {
                return Ok((rows, page.next));
            }
            after = page.next;
        }
    }
}

/// The answer to what the value of a key is.
fn valued(value: Option<Value>) -> Answer<Value> {
    let lacking = value.as_ref().is_some_and(|value| value.bytes.is_none());
    Answer::of(value).lacking(lacking.into())
}

impl KvParts {
    /// The value of a key, as it is now, if that needs no waiting and no disk.
    pub(super) fn kv_at_hand(&self, key: &[u8]) -> Option<Result<Answer<Value>, ReadError>> {
        let _inside = self.gate.enter_at_once()?;
        let completeness = self.here_at_once(|| Selector::keys([key]))?;
        let now = self.clock.now();
        let state = self.kv.try_read(|index| index.read().state_at_hand(key, now))?;
        let state = match state {
            Ok(state) => state?,
            Err(error) => return Some(Err(error.into())),
        };
        let value = match state.shown() {
            Some(winner) => Some(Value::new(&state, winner, Content::Value(self.kv_payload(&state)?))),
            None => None,
        };
        Some(Ok(Answer { completeness, ..Answer::of(value) }))
    }

    /// What the winner says, if that lies in the view and was not cleared.
    fn kv_payload(&self, state: &KeyState) -> Option<Bytes> {
        let payload = state.payload.as_ref()?;
        let is_whole = self.feeds.is_whole(&state.winner.as_ref()?.id);
        // A slice would keep in memory all that it was read with.
        is_whole.then(|| Bytes::copy_from_slice(payload))
    }

    /// The value that a key has.
    pub(super) fn kv_value(&self, state: &KeyState) -> Result<Option<Value>, ReadError> {
        let Some(winner) = state.shown() else { return Ok(None) };
        let content = match self.kv_payload(state) {
            Some(bytes) => Content::Value(bytes),
            None => self.kv_content(winner, None)?,
        };
        Ok(Some(Value::new(state, winner, content)))
    }

    /// The values that keys have. What does not lie in the view is read from the log, what lies together there together.
    fn kv_values(&self, states: &[KeyState]) -> Result<Vec<Option<Value>>, ReadError> {
        let there = |state: &&KeyState| state.payload.is_some();
        let ids = states.iter().filter(there).filter_map(|state| Some(state.winner.as_ref()?.id));
        let mut whole = self.feeds.are_whole(ids).into_iter();
        let payload = |state: &KeyState| {
            let payload = state.payload.as_ref().filter(|_| whole.next().unwrap_or(false));
            payload.map(|payload| Bytes::copy_from_slice(payload))
        };
        let payloads: Vec<Option<Bytes>> = states.iter().map(payload).collect();
        let lacks = |(state, payload): (&'_ KeyState, &Option<Bytes>)| match payload {
            None => state.shown().cloned(),
            Some(_) => None,
        };
        let lacking: Vec<Version> = states.iter().zip(&payloads).filter_map(lacks).collect();
        let mut contents = self.kv_contents(&lacking.iter().collect::<Vec<_>>())?.into_iter();
        let value = |(state, payload): (&KeyState, Option<Bytes>)| {
            let winner = state.shown()?;
            let content = payload.map(Content::Value).or_else(|| contents.next())?;
            Some(Value::new(state, winner, content))
        };
        Ok(states.iter().zip(payloads).map(value).collect())
    }

    fn kv_heads(&self, state: &KeyState, now: Timestamp) -> Result<Vec<Head>, ReadError> {
        let winner = state.winner.as_ref().map(|winner| winner.id);
        let head = |version: &Version| {
            let Version { id, time, .. } = *version;
            let content = self.kv_content(version, None)?;
            Ok(Head { id, author: id.feed, time, content, winner: winner == Some(id), ahead: time > now })
        };
        let mut heads = state.heads.iter().map(head).collect::<Result<Vec<_>, ReadError>>()?;
        heads.sort_by_key(|head| (!head.winner, head.id));
        Ok(heads)
    }

    /// Has values go from the view whose entries were cleared of them, or are not held any more. To be called by a compaction, once there is room.
    pub(crate) fn forget_cleared_values(&self) -> Result<(), ReadError> {
        if !self.feeds.has_cleared() || !self.kv.runs() {
            return Ok(());
        }
        let feeds = self.feeds.clone();
        let is_whole = move |id: &EntryId| feeds.is_whole(id);
        let keys = self.kv.read(|index| index.snapshot())?;
        if keys.keeps_any(&is_whole)? {
            self.kv.read(|index| index.strip(is_whole))?;
            self.kv.rest()?;
        }
        Ok(())
    }
}
