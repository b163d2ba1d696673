//! A range of keys as a stream.

use super::Kv;
use super::ground::Ground;
use super::scan::KvItem;
use super::snapshot::Pieces;
use crate::database;
use crate::error::ReadError;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use kappadb_view_kv::{KeyRange, ScanOptions};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Keys with their values, one after the other, all of one moment: that at which the first is asked for. Some thousand are in memory at a time. It ends
/// with the first error; dropping it ends it and nothing else.
pub struct KvItems {
    items: Pin<Box<dyn Stream<Item = Result<KvItem, ReadError>> + Send>>,
}

impl KvItems {
    pub(super) fn new(ground: Ground, range: KeyRange, options: ScanOptions) -> KvItems {
        let parts = ground.parts.clone();
        let begin = async move {
            let pieces = database::run(&parts, move |_| {
                Ok::<_, ReadError>(Pieces::new(ground.freeze()?, range, options))
            });
            Ok::<_, ReadError>((parts.clone(), pieces.await??))
        };
        let pieces = stream::once(begin).map_ok(|(parts, pieces)| {
            stream::try_unfold((parts, pieces), |(parts, mut pieces)| async move {
                let step = database::run(&parts, move |_| {
                    let items = pieces.next()?;
                    Ok::<_, ReadError>((items, pieces))
                });
                let (items, pieces) = step.await??;
                Ok::<_, ReadError>(items.map(|items| (items, (parts, pieces))))
            })
        });
        let items =
            pieces.try_flatten().map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten();
        KvItems { items: Box::pin(items) }
    }

    /// The next item; none at the end. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<KvItem, ReadError>> {
        self.items.next().await
    }
}

impl Stream for KvItems {
    type Item = Result<KvItem, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.as_mut().poll_next(context)
    }
}

impl Kv {
    /// The keys of a range that have a value, with their values, as [`Kv::scan`] gives them, one after the other: for what may be too large for memory.
    pub fn items(&self, range: &KeyRange, options: &ScanOptions) -> KvItems {
        KvItems::new(Ground::now(self.parts.clone()), range.clone(), options.clone())
    }
}
