//! Asking for keys. After that the own answer is that over the union of what peers and this replica hold.

use super::ground::Ground;
use crate::engine;
use crate::error::ReadError;
use crate::network::Neighbours;
use crate::network::ask::KV;
use crate::views::kv::KvParts;
use futures::future::BoxFuture;
use kappadb_query::Selector;
use kappadb_view_kv::{KeyRange, ScanOptions};
use std::sync::Arc;

/// Asks for what a scan needs: with a limit, no more than the peers take to be within it, and what it takes to be sure of that.
pub(super) fn ask_scan(
    parts: Arc<KvParts>,
    range: KeyRange,
    options: ScanOptions,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> BoxFuture<'a, Result<(), ReadError>> + Send + 'static {
    let ScanOptions { limit, backwards, after } = options;
    let rest = after.map(|after| range.beyond(&after, backwards)).unwrap_or(range);
    move |neighbours| {
        Box::pin(async move {
            match limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)) {
                _ if rest.is_empty() => Ok(()),
                None => neighbours.ask(KV, rest.selector()).await.map(drop),
                Some(0) => Ok(()),
                // One more tells that there are more.
                Some(limit) => ask_first(&parts, neighbours, &rest, limit.saturating_add(1), backwards).await,
            }
        })
    }
}

/// Asks for the first keys of a range, and goes on until as many are there, or the range is at its end.
async fn ask_first(
    parts: &Arc<KvParts>,
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
        let covered = first(parts, range, limit, backwards).await?;
        neighbours.ask(KV, covered.selector()).await?;
        if covered == *range || first(parts, range, limit, backwards).await? == covered {
            return Ok(());
        }
    }
}

/// The part of a range that as many keys lie in; all of it if there are fewer.
async fn first(
    parts: &Arc<KvParts>,
    range: &KeyRange,
    limit: u32,
    backwards: bool,
) -> Result<KeyRange, ReadError> {
    let (wanted, limit) = (range.clone(), usize::try_from(limit).unwrap_or(usize::MAX));
    let options = ScanOptions { limit: Some(limit), backwards, after: None };
    let ground = Ground::now(parts.clone());
    let rows = move |_: &_| Ok::<_, ReadError>(ground.freeze()?.rows(&wanted, &options)?.0);
    let rows = engine::run(parts, rows).await??;
    let KeyRange { from, to } = range.clone();
    Ok(match rows.last() {
        Some(row) if rows.len() == limit && backwards => KeyRange { from: row.key.clone(), to },
        Some(row) if rows.len() == limit => KeyRange { from, to: Some([&row.key[..], &[0]].concat()) },
        _ => range.clone(),
    })
}
