//! Blobs: bytes of any number under a name, streamed in and out, fetched by byte range.

mod list;
mod put;
mod reader;
mod view;

pub(crate) use put::put;
pub use reader::BlobReader;
pub(crate) use view::BlobView;

use crate::engine;
use crate::engine::payload::Content;
use crate::engine::uploads::{self, Abandoned};
use crate::error::{BlobError, PutBlobError, ReadError};
use crate::lines::fields;
use crate::network::{Answer, Asked, Handle, Neighbours, Told};
use crate::views::Parts;
use futures::future::BoxFuture;
use kappadb_core::{EntryId, RangeSet, Timestamp};
use kappadb_entry::{Detached, Entry, Header, Kind, Label, decode_block, raw, space};
use kappadb_view::ViewHandle;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use std::fmt;
use std::ops::{Bound, Deref, Range, RangeBounds};
use std::sync::Arc;
use tokio::io::AsyncRead;

/// Bytes of any number, each lot under the id of the entry that names it: photos, documents, tracks.
///
/// A blob lies in blocks of 64 KiB, each proved by its writer's tree by itself. So a part of it can be fetched and read, and
/// nothing here holds one whole in memory.
///
/// ```
/// use kappadb::{Database, Label};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let database = Database::builder(dir.path()).create().await?;
/// let track = vec![7; 300_000];
/// let label = Label { media_type: "application/gpx+xml".into(), name: "tour.gpx".into() };
/// let id = database.blobs().put(track.as_slice(), label).await?;
///
/// // What is not held here is asked for first; only the blocks that these bytes lie in travel.
/// assert!(database.blobs().fetch(id, 100_000..100_010).await?.is_complete());
/// let mut reader = database.blobs().read(id, 100_000..100_010).await?;
/// while let Some(bytes) = reader.next().await? {
///     assert_eq!(&bytes[..], &track[100_000..100_010]);
/// }
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Blobs {
    parts: Arc<BlobParts>,
}

/// What is known of a blob without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BlobInfo {
    /// Its name. The feed is its author.
    #[serde(flatten, serialize_with = "fields::written")]
    pub id: EntryId,
    /// Its length.
    pub bytes: u64,
    /// How many of its bytes are held here.
    pub held: u64,
    /// What its author says that it is.
    #[serde(flatten, serialize_with = "label")]
    pub label: Label,
    /// When its author says that it was written.
    #[serde(rename = "timestamp")]
    pub time: Timestamp,
}

fn label<S: Serializer>(label: &Label, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    map.serialize_entry("type", &label.media_type)?;
    map.serialize_entry("name", &label.name)?;
    map.end()
}

/// Bytes of a blob that lie in the entry that names it, at most: who asks which blobs there are is sent all of those.
const INLINE: usize = 1 << 10;
const BLOB: Kind = Kind { space: space::RAW, code: raw::BLOB };

/// True if this entry names a blob.
pub(crate) fn is_blob(entry: &Entry) -> bool {
    entry.header.kind == BLOB
}

/// What a handle of blobs is made of.
#[derive(Clone)]
pub(crate) struct BlobParts {
    pub blobs: ViewHandle<BlobView>,
    /// The last to go.
    pub handle: Handle,
}

impl fmt::Debug for BlobParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlobParts").field(&self.handle).finish()
    }
}

impl Deref for BlobParts {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Blobs {
    pub(crate) fn new(parts: &Parts) -> Self {
        let (blobs, handle) = (parts.built_ins.blobs.clone(), parts.handle.clone());
        Blobs { parts: Arc::new(BlobParts { blobs, handle }) }
    }

    /// Writes all that `reader` gives, up to [`MAX_DETACHED`](kappadb_core::limits::MAX_DETACHED) bytes, as one blob. Durable when it returns.
    ///
    /// Holds a few megabytes in memory however fast or slow the reader is, and keeps no other write waiting while the reader
    /// does. If it fails or is dropped before its end, there is no blob. Blocks that were written until then are named by nothing
    /// and sent to nobody who asks a view; [`Blobs::abandoned`] lists them, [`Database::compact`](crate::Database::compact) gives their disk back.
    pub async fn put(&self, reader: impl AsyncRead + Unpin, label: Label) -> Result<EntryId, PutBlobError> {
        put(&self.parts, reader, label).await
    }

    /// What is known here of a blob.
    ///
    /// # Errors
    /// If the entry that names it is not held, or is no blob.
    pub fn info(&self, id: EntryId) -> BoxFuture<'static, Result<BlobInfo, BlobError>> {
        let parts = self.parts.clone();
        Box::pin(async move { engine::run(&parts, move |parts| parts.blob_info(id)).await? })
    }

    /// Reads bytes of a blob from what is held here. What lies beyond its end is left out.
    ///
    /// # Errors
    /// If something of the range is missing, before any of it is given; see [`Blobs::fetch`].
    pub fn read(
        &self,
        id: EntryId,
        range: impl RangeBounds<u64>,
    ) -> BoxFuture<'static, Result<BlobReader, BlobError>> {
        let (range, parts) = (bytes_of(&range), self.parts.clone());
        Box::pin(async move {
            let held = parts.clone();
            let open = move |_: &BlobParts| {
                let entry = held.blob(id)?;
                BlobReader::open(held.network.engine().clone(), id, &entry, range)
            };
            engine::run(&parts, open).await?
        })
    }

    /// Asks the known peers for what is missing here of these bytes: the blocks that they lie in and, if need be, the entry that names the blob.
    /// Proved and durable when it returns, with what is known of the blob then; complete if nothing of the range is missing any more.
    pub fn fetch(
        &self,
        id: EntryId,
        range: impl RangeBounds<u64>,
    ) -> BoxFuture<'static, Result<Answer<BlobInfo>, BlobError>> {
        let (blobs, range) = (self.clone(), bytes_of(&range));
        Box::pin(async move {
            let asked = blobs.fetch_missing(id, &range).await?;
            let info = match blobs.info(id).await {
                Err(BlobError::NotHeld(_)) => None,
                info => Some(info?),
            };
            let mut answer = Answer::of(info);
            answer.tell(asked);
            Ok(answer)
        })
    }

    async fn fetch_missing(&self, id: EntryId, range: &Range<u64>) -> Result<Asked, BlobError> {
        if self.missing_of(id, range).await?.is_some_and(|missing| missing.is_empty()) {
            return Ok(Asked { complete: true, ..Asked::default() });
        }
        let mut neighbours = Neighbours::dial(&self.parts).await;
        neighbours.fetch_all(id.feed, [id.seq].into_iter().collect(), &mut |_, _| ()).await?;
        if let Some(missing) = self.missing_of(id, range).await? {
            let parts = self.parts.clone();
            let progress = &mut |done, total| parts.progress("fetching", done, total);
            neighbours.fetch_all(id.feed, missing, progress).await?;
        }
        let complete = self.missing_of(id, range).await?.is_some_and(|missing| missing.is_empty());
        Ok(Asked { complete, ..neighbours.finish().await? })
    }

    /// The blocks that are missing here for some bytes of a blob; none if the entry that names it is.
    async fn missing_of(&self, id: EntryId, range: &Range<u64>) -> Result<Option<RangeSet>, BlobError> {
        let range = range.clone();
        let missing = move |parts: &BlobParts| {
            let entry = match parts.blob(id) {
                Err(BlobError::NotHeld(_)) => return Ok(None),
                entry => entry?,
            };
            match Content::of(id, &entry) {
                Ok(Content::Detached(detached)) => Ok(Some(parts.missing_chunks(id, &detached, &range))),
                Ok(Content::Inline(_)) => Ok(Some(RangeSet::new())),
                Err(BlobError::Cleared { .. }) => Ok(Some([id.seq].into_iter().collect())),
                Err(error) => Err(error),
            }
        };
        self.run(missing).await?
    }

    /// What is left here of uploads that did not come to their end: the process was killed, the reader failed, the disk was full. Those
    /// of earlier openings of this folder; of this one they may still be under way. [`crate::Database::compact`] clears it. Looks through
    /// all that the own feeds hold.
    pub async fn abandoned(&self) -> Result<Vec<Abandoned>, ReadError> {
        self.run(|parts| uploads::abandoned(parts)).await?
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&BlobParts) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        engine::run(&self.parts, job).await
    }
}

fn bytes_of(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(&start) => start,
        Bound::Excluded(&before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.saturating_add(1),
        Bound::Excluded(&end) => end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl BlobParts {
    /// The entry of a blob.
    fn blob(&self, id: EntryId) -> Result<Entry, BlobError> {
        let block = self.feeds.block(&id).map_err(ReadError::from)?.ok_or(BlobError::NotHeld(id))?;
        match decode_block(&block) {
            Ok(entry) if entry.header.kind == BLOB => Ok(entry),
            _ => Err(BlobError::NotABlob(id)),
        }
    }

    fn blob_info(&self, id: EntryId) -> Result<BlobInfo, BlobError> {
        let entry = self.blob(id)?;
        let held = match entry.header.detached() {
            Some(detached) => self.held_bytes(id, &detached),
            None => entry.payload.map_or(0, |payload| payload.len() as u64),
        };
        let Header { time, .. } = entry.header;
        Ok(BlobInfo { id, bytes: entry.header.payload_bytes(), held, label: entry.header.label(), time })
    }

    fn held_bytes(&self, id: EntryId, detached: &Detached) -> u64 {
        let held = detached.numbers(&self.feeds.whole(&id.feed));
        let bytes = |numbers: &Range<u64>| {
            let last = detached.bytes_of(numbers.end.saturating_sub(1));
            last.end - detached.bytes_of(numbers.start).start
        };
        held.ranges().iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests;
