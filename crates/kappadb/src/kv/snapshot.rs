//! Keys and values without an executor, and as they were at one moment.

use super::ground::Ground;
use super::items::KvItems;
use super::scan::{KvItem, KvPage};
use super::{Head, Kv, Value};
use crate::error::ReadError;
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
/// let apple = reader.join().expect("no panic")?.expect("just put");
/// assert_eq!(apple.text(), Some("red"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BlockingKv {
    ground: Ground,
}

impl BlockingKv {
    /// [`Kv::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, ReadError> {
        let _inside = self.ground.parts.gate.enter()?;
        self.ground.get(key.as_ref())
    }

    /// [`Kv::get_all`].
    pub fn get_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>, ReadError> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        let _inside = self.ground.parts.gate.enter()?;
        self.ground.get_all(&keys)
    }

    /// True if the key has a value.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool, ReadError> {
        let _inside = self.ground.parts.gate.enter()?;
        self.ground.contains(key.as_ref())
    }

    /// [`Kv::heads`].
    pub fn heads(&self, key: impl AsRef<[u8]>) -> Result<Vec<Head>, ReadError> {
        let _inside = self.ground.parts.gate.enter()?;
        self.ground.heads(key.as_ref())
    }

    /// [`Kv::scan`].
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions) -> Result<KvPage, ReadError> {
        let _inside = self.ground.parts.gate.enter()?;
        self.ground.scan(range, options)
    }

    /// The keys of a range with their values as they are at this moment, one after the other: some thousand are in memory at a time. It ends with the
    /// first error.
    ///
    /// # Errors
    /// If what is written cannot be indexed.
    pub fn items(
        &self,
        range: &KeyRange,
        options: &ScanOptions,
    ) -> Result<impl Iterator<Item = Result<KvItem, ReadError>> + Send + use<>, ReadError> {
        let (parts, ground) = (self.ground.parts.clone(), self.snapshot()?.ground);
        let mut pieces = Pieces::new(ground, range.clone(), options.clone());
        let pieces = std::iter::from_fn(move || match parts.gate.enter() {
            Ok(_inside) => pieces.next().transpose(),
            Err(closed) => pieces.end().then_some(Err(closed)),
        });
        Ok(pieces.flat_map(|piece| match piece {
            Ok(items) => items.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        }))
    }

    /// [`Kv::snapshot`].
    pub fn snapshot(&self) -> Result<KvSnapshot, ReadError> {
        let _inside = self.ground.parts.gate.enter()?;
        Ok(KvSnapshot { ground: self.ground.freeze()? })
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
/// It holds nobody up. As long as it lives, what it rests on stays in memory and on the disk: keep it for seconds or minutes.
#[derive(Clone)]
pub struct KvSnapshot {
    ground: Ground,
}

impl KvSnapshot {
    /// [`Kv::get`].
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, ReadError> {
        let key = key.as_ref().to_vec();
        self.ground.ask(move |kv| kv.get(&key)).await
    }

    /// [`Kv::get_all`].
    pub async fn get_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>, ReadError> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        self.ground.ask(move |kv| kv.get_all(&keys)).await
    }

    /// [`Kv::heads`].
    pub async fn heads(&self, key: impl AsRef<[u8]>) -> Result<Vec<Head>, ReadError> {
        let key = key.as_ref().to_vec();
        self.ground.ask(move |kv| kv.heads(&key)).await
    }

    /// [`Kv::scan`].
    pub async fn scan(&self, range: &KeyRange, options: &ScanOptions) -> Result<KvPage, ReadError> {
        let (range, options) = (range.clone(), options.clone());
        self.ground.ask(move |kv| kv.scan(&range, &options)).await
    }

    /// [`Kv::items`].
    pub fn items(&self, range: &KeyRange, options: &ScanOptions) -> KvItems {
        KvItems::new(self.ground.clone(), range.clone(), options.clone())
    }

    /// The same on the calling thread.
    pub fn blocking(&self) -> BlockingKv {
        BlockingKv { ground: self.ground.clone() }
    }
}

impl Kv {
    /// Reads on the calling thread.
    pub fn blocking(&self) -> BlockingKv {
        BlockingKv { ground: Ground::now(self.parts.clone()) }
    }

    /// Keys and values as they are at this moment, for several questions. Made in microseconds, once what was written before is indexed.
    pub async fn snapshot(&self) -> Result<KvSnapshot, ReadError> {
        self.ask(|kv| Ok(KvSnapshot { ground: kv.freeze()? })).await
    }
}
