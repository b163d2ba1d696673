//! Asking the known peers about keys. After that the own answer is that over the union of what they and this replica hold.

use super::Kv;
use crate::ask::{self, Asked, KV, Neighbours};
use crate::error::ReadError;
use kappadb_query::Selector;
use kappadb_view_kv::{KeyRange, ScanOptions};

impl Kv {
    /// Asks for the versions of some keys, however many: several are one question.
    pub async fn ask_keys<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Asked, ReadError> {
        let keys = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        let mut neighbours = Neighbours::dial(&self.parts).await;
        neighbours.ask_in_parts(KV, keys, Selector::Keys).await?;
        neighbours.finish().await
    }

    /// Asks for every version of some keys, also those that others made redundant.
    pub async fn ask_history<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Asked, ReadError> {
        let keys = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        let mut neighbours = Neighbours::dial(&self.parts).await;
        neighbours.ask_in_parts(KV, keys, Selector::Versions).await?;
        neighbours.finish().await
    }

    /// Asks for the keys that start with `prefix`.
    pub async fn ask_prefix(&self, prefix: impl Into<Vec<u8>>) -> Result<Asked, ReadError> {
        ask::ask(&self.parts, KV, Selector::Prefix(prefix.into())).await
    }

    /// Asks for the keys of a range.
    pub async fn ask_range(&self, range: &KeyRange) -> Result<Asked, ReadError> {
        ask::ask(&self.parts, KV, range.selector()).await
    }

    /// Asks for what [`Kv::scan`] with the same words needs: with a limit, no more than the peers take to be within it, and
    /// what it takes to be sure of that.
    pub async fn ask_scan(&self, range: &KeyRange, options: &ScanOptions) -> Result<Asked, ReadError> {
        let rest = options.after.as_ref().map(|after| range.beyond(after, options.backwards));
        let rest = rest.unwrap_or_else(|| range.clone());
        let limit = options.limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX));
        let mut neighbours = Neighbours::dial(&self.parts).await;
        match limit {
            _ if rest.is_empty() => {}
            None => drop(neighbours.ask(KV, rest.selector()).await?),
            Some(0) => {}
            // One more tells that there are more.
            Some(limit) => {
                self.ask_first(&mut neighbours, &rest, limit.saturating_add(1), options.backwards).await?;
            }
        }
        neighbours.finish().await
    }
}

impl Kv {
    /// Asks for the first keys of a range, and goes on until as many are there, or the range is at its end.
    async fn ask_first(
        &self,
        neighbours: &mut Neighbours,
        range: &KeyRange,
        limit: u32,
        backwards: bool,
    ) -> Result<(), ReadError> {
        let KeyRange { from, to } = range.clone();
        neighbours.look(KV, Selector::Scan { from, to, limit, backwards }).await?;
        loop {
            // Peers, and this replica, count by their own lights; so it is asked for all as far as the answer goes now, which
            // is next to nothing if they agree. What comes may move the answer's end.
            let covered = self.first(range, limit, backwards).await?;
            neighbours.ask(KV, covered.selector()).await?;
            if covered == *range || self.first(range, limit, backwards).await? == covered {
                return Ok(());
            }
        }
    }

    /// The part of a range that as many keys lie in; all of it if there are fewer.
    async fn first(&self, range: &KeyRange, limit: u32, backwards: bool) -> Result<KeyRange, ReadError> {
        let (wanted, limit) = (range.clone(), usize::try_from(limit).unwrap_or(usize::MAX));
        let options = ScanOptions { limit: Some(limit), backwards, after: None };
        let (rows, _) = self.ask(move |kv| kv.freeze()?.rows(&wanted, &options)).await?;
        let KeyRange { from, to } = range.clone();
        Ok(match rows.last() {
            Some(row) if rows.len() == limit && backwards => KeyRange { from: row.key.clone(), to },
            Some(row) if rows.len() == limit => KeyRange { from, to: Some([&row.key[..], &[0]].concat()) },
            _ => range.clone(),
        })
    }
}
