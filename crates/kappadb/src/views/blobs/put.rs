//! Writing a blob, whoever writes it.

use super::{BLOB, INLINE};
use crate::engine::OnEngine;
use crate::engine::payload::{self, APPENDED, CHUNK};
use crate::error::{PutBlobError, ReadError, WriteError};
use crate::network::OnHandle;
use crate::write::Write;
use bytes::Bytes;
use kappadb_core::limits::{MAX_CHUNK_RUNS, MAX_DETACHED};
use kappadb_core::{EntryId, FeedKey, RangeSet};
use kappadb_entry::{Detached, EntryError, Header, Label, encode_block};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Writes all that `reader` gives as one blob: [`Blobs::put`](super::Blobs::put).
pub(crate) async fn put<P: OnHandle + OnEngine>(
    parts: &Arc<P>,
    mut reader: impl AsyncRead + Unpin,
    label: Label,
) -> Result<EntryId, PutBlobError> {
    let mut header = Header::new(BLOB, parts.engine().clock.now());
    header.set_label(&label);
    // What is wrong with the label is said before the reader is read.
    encode_block(&header, &[]).map_err(WriteError::from)?;
    let first = fill(&mut reader).await?;
    let feed = Write::shared(parts, |parts, _| parts.handle().writer()).await?;
    let payload = if first.len() > INLINE {
        header.set_detached(&put_chunks(parts, feed, first, reader).await?);
        Vec::new()
    } else {
        first
    };
    header.time = parts.engine().clock.now();
    let block = encode_block(&header, &payload).map_err(WriteError::from)?;
    Ok(push(parts, feed, vec![block]).await?.ok_or(ReadError::Closed)?)
}

/// Appends blocks that look at nothing. Returns the first.
fn push<P: OnHandle + OnEngine>(
    parts: &Arc<P>,
    feed: FeedKey,
    blocks: Vec<Bytes>,
) -> Write<Option<EntryId>, WriteError> {
    Write::shared(parts, move |parts, batch| {
        let ids = blocks.into_iter().map(|block| batch.push(parts.engine(), feed, block));
        Ok(ids.collect::<Vec<_>>().first().copied())
    })
}

/// Writes `batch` and all that `reader` gives after it.
async fn put_chunks<P: OnHandle + OnEngine>(
    parts: &Arc<P>,
    feed: FeedKey,
    mut batch: Vec<u8>,
    mut reader: impl AsyncRead + Unpin,
) -> Result<Detached, PutBlobError> {
    let (mut bytes, mut chunks) = (0, RangeSet::new());
    while !batch.is_empty() {
        bytes += batch.len() as u64;
        let blocks = payload::chunk_blocks(parts.engine().clock.now(), &batch)?;
        let count = blocks.len() as u64;
        let first = push(parts, feed, blocks).await?.ok_or(ReadError::Closed)?.seq;
        chunks.insert(first..first + count);
        if bytes > MAX_DETACHED {
            return Err(PutBlobError::TooLarge);
        }
        if chunks.ranges().len() > MAX_CHUNK_RUNS {
            break;
        }
        batch = fill(&mut reader).await?;
    }
    let detached = Detached::new(bytes, CHUNK, chunks).map_err(EntryError::from);
    Ok(detached.map_err(WriteError::from)?)
}

/// The next lot of bytes; less than a full one only at the end.
async fn fill(reader: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, PutBlobError> {
    let mut batch = Vec::new();
    reader.take(APPENDED as u64).read_to_end(&mut batch).await.map_err(PutBlobError::Input)?;
    Ok(batch)
}
