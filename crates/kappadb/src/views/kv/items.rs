//! A range of keys as a stream.

use super::ground::Ground;
use super::scan::KvItem;
use super::snapshot::Pieces;
use crate::engine;
use crate::error::ReadError;
use crate::network::{Asked, Completeness, Told};
use crate::views::boxed::Boxed;
use futures::{Stream, TryStreamExt, stream};
use kappadb_view_kv::{KeyRange, ScanOptions};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Keys with their values, one after the other, all of one moment. Some thousand are in memory at a time. It ends with the first error; dropping it
/// ends it and nothing else.
#[must_use = "it says how complete it is"]
#[derive(Debug)]
pub struct KvItems {
    /// How much of what there is it has. Of contents that could not be had those say so that lack them ([`Value::bytes`](crate::Value::bytes)).
    pub completeness: Completeness,
    /// What asking took, and who did not answer. Nothing if nobody was asked.
    pub asked: Asked,
    items: Boxed<Result<KvItem, ReadError>>,
}

impl KvItems {
    pub(super) fn new(ground: Ground, range: KeyRange, options: ScanOptions) -> Result<KvItems, ReadError> {
        let parts = ground.parts.clone();
        let pieces = Pieces::new(ground.freeze()?, range, options);
        let pieces = stream::try_unfold((parts, pieces), |(parts, mut pieces)| async move {
            let step = engine::run(&parts, move |_| {
                let items = pieces.next()?;
                Ok::<_, ReadError>((items, pieces))
            });
            let (items, pieces) = step.await??;
            Ok::<_, ReadError>(items.map(|items| (items, (parts, pieces))))
        });
        let items = pieces.map_ok(|items| stream::iter(items.into_iter().map(Ok))).try_flatten();
        let (completeness, asked) = (Completeness::default(), Asked::default());
        Ok(KvItems { completeness, asked, items: Boxed::new(items) })
    }

    /// The next item; none at the end. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<KvItem, ReadError>> {
        self.items.next().await
    }
}

impl Stream for KvItems {
    type Item = Result<KvItem, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll(context)
    }
}

impl Told for KvItems {
    fn tell(&mut self, asked: Asked) {
        self.completeness = asked.completeness();
        self.asked = asked;
    }
}
