//! Keys and values without an executor, and as they were at one moment.

use super::ground::Ground;
use super::items::KvItems;
use super::scan::KvItem;
use super::{Head, Kv, KvState, Value};
use crate::error::ReadError;
use crate::network::ask::{self, KV};
use crate::network::{Answer, Asked, Completeness, Read, Told};
use futures::future::BoxFuture;
use kappadb_query::Selector;
use kappadb_view_kv::{KeyRange, ScanOptions};

/// Keys of a piece of what is read along.
pub(super) const PIECE: usize = 1_024;

/// Reads keys and values on the calling thread, for who has no executor or a thread to spare: a read of what is in memory takes a microsecond or two.
/// What else it says is that of [`Kv`], or of the [`KvSnapshot`] that it was made of. Clones are handles to the same.
///
/// Every method may read files, and waits until what was written before is indexed: never call one on an async executor's thread.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let database = kappadb::Database::builder(dir.path()).create().await?;
/// database.kv().put("apple", "red").await?;
/// let kv = database.kv().blocking();
/// let reader = std::thread::spawn(move || kv.get("apple"));
/// let apple = reader.join().expect("no panic")?.one().expect("just put");
/// assert_eq!(apple.text(), Some("red"));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct BlockingKv {
    ground: Ground,
    /// Of what it was made of, if that is of a moment.
    base: Completeness,
}

impl BlockingKv {
    /// [`Kv::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Answer<Value>, ReadError> {
        let key = key.as_ref();
        self.answer(|| Selector::keys([key]), |ground| ground.get(key))
    }

    /// [`Kv::get_all`].
    pub fn get_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Answer<Option<Value>>, ReadError> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        self.answer(|| Selector::keys(keys.clone()), |ground| ground.get_all(&keys))
    }

    /// [`Kv::state`].
    pub fn state(&self, key: impl AsRef<[u8]>) -> Result<Answer<KvState>, ReadError> {
        let key = key.as_ref();
        self.answer(|| Selector::keys([key]), |ground| ground.key(key))
    }

    /// [`Kv::heads`].
    pub fn heads(&self, key: impl AsRef<[u8]>) -> Result<Answer<Head>, ReadError> {
        let key = key.as_ref();
        self.answer(|| Selector::keys([key]), |ground| ground.heads(key))
    }

    /// [`Kv::scan`].
    pub fn scan(
        &self,
        range: &KeyRange,
        options: &ScanOptions,
    ) -> Result<Answer<KvItem, Vec<u8>>, ReadError> {
        self.answer(|| range.selector(), |ground| ground.scan(range, options))
    }

    /// The keys of a range with their values as they are at this moment, one after the other: some thousand are in memory at a time. It ends with the
    /// first error.
    ///
    /// # Errors
    /// If what is written cannot be indexed.
    pub fn items(&self, range: &KeyRange, options: &ScanOptions) -> Result<BlockingKvItems, ReadError> {
        let _inside = self.ground.parts.gate.enter()?;
        let completeness = self.completeness(|| range.selector())?;
        let pieces = Pieces::new(self.ground.freeze()?, range.clone(), options.clone());
        Ok(BlockingKvItems { completeness, pieces, items: Vec::new().into_iter() })
    }

    /// [`Kv::snapshot`].
    pub fn snapshot(&self) -> Result<KvSnapshot, ReadError> {
        let _inside = self.ground.parts.gate.enter()?;
        let base = self.completeness(|| KeyRange::ALL.selector())?;
        Ok(KvSnapshot { ground: self.ground.freeze()?, base })
    }

    fn completeness(&self, selector: impl FnOnce() -> Selector) -> Result<Completeness, ReadError> {
        Ok(self.ground.here(selector)?.unwrap_or_else(|| self.base.clone()))
    }

    /// The answer to a question about what a selector matches.
    fn answer<T, C>(
        &self,
        selector: impl FnOnce() -> Selector,
        look: impl FnOnce(&Ground) -> Result<Answer<T, C>, ReadError>,
    ) -> Result<Answer<T, C>, ReadError> {
        let _inside = self.ground.parts.gate.enter()?;
        let completeness = self.completeness(selector)?;
        let mut answer = look(&self.ground)?;
        answer.completeness = answer.completeness.and(completeness);
        Ok(answer)
    }
}

/// Keys with their values, as [`KvItems`], on the calling thread.
#[must_use = "it says how complete it is"]
pub struct BlockingKvItems {
    /// As [`KvItems::completeness`].
    pub completeness: Completeness,
    pieces: Pieces,
    items: std::vec::IntoIter<KvItem>,
}

impl Iterator for BlockingKvItems {
    type Item = Result<KvItem, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(item) = self.items.next() {
            return Some(Ok(item));
        }
        let parts = self.pieces.ground.parts.clone();
        let piece = match parts.gate.enter() {
            Ok(_inside) => self.pieces.next(),
            Err(closed) => return self.pieces.end().then_some(Err(closed)),
        };
        match piece {
            Ok(items) => {
                self.items = items?.into_iter();
                self.items.next().map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }
}

/// A range that is read piece by piece.
pub(super) struct Pieces {
    ground: Ground,
    range: KeyRange,
    /// None at the end.
    left: Option<ScanOptions>,
}

impl Pieces {
    /// Of a ground that does not change.
    pub fn new(ground: Ground, range: KeyRange, options: ScanOptions) -> Pieces {
        Pieces { ground, range, left: Some(options) }
    }

    /// Ends it; true if it was not at its end.
    pub fn end(&mut self) -> bool {
        self.left.take().is_some()
    }

    /// The next items, of which there is one at least; none at the end, and after an error.
    pub fn next(&mut self) -> Result<Option<Vec<KvItem>>, ReadError> {
        while let Some(left) = self.left.take() {
            let limit = left.limit.map_or(PIECE, |limit| limit.min(PIECE));
            let page = self.ground.scan(&self.range, &ScanOptions { limit: Some(limit), ..left.clone() })?;
            let rest = left.limit.map(|left| left.saturating_sub(page.items.len()));
            let more = page.next.filter(|_| rest != Some(0));
            self.left = more.map(|next| ScanOptions { limit: rest, after: Some(next), ..left });
            if !page.items.is_empty() {
                return Ok(Some(page.items));
            }
        }
        Ok(None)
    }
}

/// Keys and values as they were at one moment, for several questions: whatever is written, fetched, merged or dropped meanwhile does not change
/// the answers, nor does the clock. Only a payload that is cleared is gone from here, too ([`Value::bytes`] is none then).
///
/// How complete an answer is: as long as nothing has come since, as complete as one of now. Later the snapshot knows only of itself as a whole
/// ([`KvSnapshot::completeness`]), and its answers are as complete as it is.
///
/// It holds nobody up. As long as it lives, what it rests on stays in memory and on the disk: keep it for seconds or minutes.
#[derive(Debug, Clone)]
pub struct KvSnapshot {
    ground: Ground,
    base: Completeness,
}

impl KvSnapshot {
    /// How much it has of all keys that there were.
    pub fn completeness(&self) -> Completeness {
        self.base.clone()
    }

    /// [`Kv::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> BoxFuture<'static, Result<Answer<Value>, ReadError>> {
        let key = key.as_ref().to_vec();
        self.look(move |kv| kv.get(&key))
    }

    /// [`Kv::get_all`].
    pub fn get_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> BoxFuture<'static, Result<Answer<Option<Value>>, ReadError>> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        self.look(move |kv| kv.get_all(keys))
    }

    /// [`Kv::heads`].
    pub fn heads(&self, key: impl AsRef<[u8]>) -> BoxFuture<'static, Result<Answer<Head>, ReadError>> {
        let key = key.as_ref().to_vec();
        self.look(move |kv| kv.heads(&key))
    }

    /// [`Kv::scan`].
    pub fn scan(
        &self,
        range: &KeyRange,
        options: &ScanOptions,
    ) -> BoxFuture<'static, Result<Answer<KvItem, Vec<u8>>, ReadError>> {
        let (range, options) = (range.clone(), options.clone());
        self.look(move |kv| kv.scan(&range, &options))
    }

    /// [`Kv::items`].
    pub fn items(
        &self,
        range: &KeyRange,
        options: &ScanOptions,
    ) -> BoxFuture<'static, Result<KvItems, ReadError>> {
        let (range, options) = (range.clone(), options.clone());
        self.look(move |kv| {
            let completeness = kv.completeness(|| range.selector())?;
            let mut items = KvItems::new(kv.ground.clone(), range, options)?;
            items.completeness = completeness;
            Ok(items)
        })
    }

    /// The same on the calling thread.
    pub fn blocking(&self) -> BlockingKv {
        BlockingKv { ground: self.ground.clone(), base: self.base.clone() }
    }

    /// Looks where it may block.
    fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&BlockingKv) -> Result<T, ReadError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ReadError>> {
        let kv = self.blocking();
        let parts = self.ground.parts.clone();
        Box::pin(async move { parts.pool.clone().run(move || look(&kv)).await? })
    }
}

impl Told for KvSnapshot {
    fn tell(&mut self, asked: Asked) {
        self.base = asked.completeness();
    }
}

impl Kv {
    /// Reads on the calling thread.
    pub fn blocking(&self) -> BlockingKv {
        BlockingKv { ground: Ground::now(self.parts.clone()), base: Completeness::Partial }
    }

    /// Keys and values as they are at this moment, for several questions. Made in microseconds, once what was written before is indexed. From
    /// peers it is made once they were asked for all keys.
    pub fn snapshot(&self) -> Read<KvSnapshot> {
        Read::new(&self.parts, ask::one(KV, KeyRange::ALL.selector()), |parts| {
            let ground = Ground::now(parts.clone()).freeze()?;
            Ok(KvSnapshot { ground, base: Completeness::Partial })
        })
    }
}
