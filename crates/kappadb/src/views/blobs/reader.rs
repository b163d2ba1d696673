//! Bytes of a blob as they are asked for: a stream, and a reader.

use crate::engine::payload::{self, Content};
use crate::engine::{self, Engine};
use crate::error::BlobError;
use bytes::{Buf, Bytes};
use futures::Stream;
use kappadb_core::EntryId;
use kappadb_entry::{Detached, Entry};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::{fmt, io};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes of a blob, read as they are asked for: by [`BlobReader::next`], as a stream, or as an `AsyncRead`, whichever is wanted next.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let database = kappadb::Database::builder(dir.path()).create().await?;
/// let label = kappadb::Label { media_type: "text/plain".into(), name: "words.txt".into() };
/// let id = database.blobs().put(&b"a thousand words"[..], label).await?;
/// let mut words = String::new();
/// let mut reader = database.blobs().read(id, 2..).await?;
/// tokio::io::AsyncReadExt::read_to_string(&mut reader, &mut words).await?;
/// assert_eq!(words, "thousand words");
/// # Ok(()) }
/// ```
pub struct BlobReader {
    engine: Arc<Engine>,
    id: EntryId,
    /// What is still to be read. Only what was read goes from it, so a read that failed is done again.
    rest: Option<Rest>,
    ready: VecDeque<Bytes>,
    /// Under way; whoever stopped waiting for it finds it here. Nobody else ever holds the lock.
    reading: Mutex<Option<Reading>>,
}

type Rest = (Arc<Detached>, Range<u64>);
type Part = (VecDeque<Bytes>, Rest);
type Reading = Pin<Box<dyn Future<Output = Result<Part, BlobError>> + Send>>;

impl BlobReader {
    /// Reads bytes of an entry's payload, wherever it lies.
    pub(crate) fn open(
        engine: Arc<Engine>,
        id: EntryId,
        entry: &Entry,
        range: Range<u64>,
    ) -> Result<BlobReader, BlobError> {
        let content = Content::of(id, entry)?;
        let range = range.start.min(content.bytes())..range.end.min(content.bytes());
        let (mut ready, mut rest) = (VecDeque::new(), None);
        match content {
            Content::Inline(payload) => ready.push_back(part(&payload, 0, &range)),
            Content::Detached(detached) => {
                let missing = engine.missing_chunks(id, &detached, &range);
                if !missing.is_empty() {
                    return Err(engine.lacking(id, &detached, &missing));
                }
                rest = Some((Arc::new(detached), range)).filter(|(_, range)| !range.is_empty());
            }
        }
        ready.retain(|bytes| !bytes.is_empty());
        Ok(BlobReader { engine, id, rest, ready, reading: Mutex::default() })
    }

    /// The next bytes, at most 512 KiB; none at the end, and only there. If it is dropped before it is done, the next call gives
    /// what this one would have given.
    ///
    /// # Errors
    /// If a block was cleared, is not the part of the blob that it should be, or cannot be read; so does the next call, unless that
    /// has changed. What was given before is right.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        poll_fn(|context| {
            Poll::Ready(match ready!(self.poll_ready(context)) {
                Ok(()) => Ok(self.ready.pop_front()),
                Err(error) => Err(error),
            })
        })
        .await
    }

    /// Waits until bytes are ready, or there are no more.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BlobError>> {
        while self.ready.is_empty()
            && let Some((detached, range)) = self.rest.clone()
        {
            let (parts, id) = (self.engine.clone(), self.id);
            let reading = self.reading.get_mut().unwrap_or_else(PoisonError::into_inner);
            let future = reading.get_or_insert_with(|| Box::pin(read(parts, id, detached, range)));
            let read = ready!(future.as_mut().poll(context));
            *reading = None;
            let (read, rest) = read?;
            self.ready = read;
            self.rest = Some(rest).filter(|(_, range)| range.start < range.end);
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads as much as lies in a batch of blocks, from the beginning of `range`.
async fn read(
    engine: Arc<Engine>,
    id: EntryId,
    detached: Arc<Detached>,
    range: Range<u64>,
) -> Result<Part, BlobError> {
    engine::run(&engine, move |engine| {
        let covering = detached.covering(&range);
        let most = covering.start.saturating_add(payload::chunks_in_batch(&detached) as u64);
        let numbers = covering.start..covering.end.min(most);
        let end = detached.bytes_of(numbers.end.saturating_sub(1)).end;
        let chunks = engine.read_chunks(id, &detached, numbers.clone())?;
        let placed = numbers.map(|number| detached.bytes_of(number).start).zip(chunks);
        let read = placed.map(|(start, chunk)| part(&chunk, start, &range)).collect();
        Ok((read, (detached, end..range.end)))
    })
    .await?
}

impl Stream for BlobReader {
    type Item = Result<Bytes, BlobError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.poll_ready(context)) {
            Ok(()) => self.ready.pop_front().map(Ok),
            Err(error) => Some(Err(error)),
        })
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobReader").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Its errors are [`BlobError`]s within [`io::ErrorKind::Other`].
impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_ready(context)).map_err(io::Error::other)?;
        if let Some(bytes) = self.ready.front_mut() {
            let count = bytes.len().min(into.remaining());
            into.put_slice(bytes.get(..count).unwrap_or_default());
            bytes.advance(count);
            if bytes.is_empty() {
                self.ready.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What of `range` the bytes have that begin at `start`.
fn part(bytes: &Bytes, start: u64, range: &Range<u64>) -> Bytes {
    let within = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
    let (from, to) = (within(range.start), within(range.end));
    bytes.slice(from..to.max(from))
}
