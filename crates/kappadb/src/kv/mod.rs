//! Keys and values.

mod ask;
mod error;
mod ground;
mod history;
mod items;
mod load;
mod scan;
mod snapshot;
mod watch;
mod write;

pub use error::KvError;
pub use history::KvRevision;
pub use items::KvItems;
pub use load::{Content, Head, Value};
pub use scan::{KvItem, KvPage};
pub use snapshot::{BlockingKv, KvSnapshot};
pub use watch::{KvChange, KvWatcher};
pub use write::KvOp;

use crate::blobs::BlobReader;
use crate::database::{self, Parts};
use crate::error::{BlobError, ReadError};
use ground::Ground;
use kappadb_core::EntryId;
use kappadb_core::limits::MAX_FEATURE_BODY;
use std::sync::Arc;

/// Bytes of a value, at most. What does not fit into a block lies in blocks of its own.
pub const MAX_VALUE: usize = MAX_FEATURE_BODY;

/// Keys and values: every key has the values that its writers gave it, in the order of the keys' bytes.
///
/// A write replaces all versions of its key that are held here. Writers who do not see each other's writes leave several
/// **heads**, a conflict: [`Kv::get`] shows the winner, the same on every replica that holds the same (the greatest time
/// that is due, or if none is, the greatest of all, then feed, then seq), [`Kv::heads`] shows all, and the next write here, such as [`Kv::merge`], replaces them.
///
/// All methods but `ask_*` answer from what is held here.
///
/// ```
/// use kappadb::{Database, KeyRange, ScanOptions};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let database = Database::builder(dir.path()).create().await?;
/// let kv = database.kv();
/// kv.put("fruit/apple", "green").await?;
/// let red = kv.put("fruit/apple", "red").await?;
/// kv.put("fruit/pear", "yellow").await?;
///
/// let apple = kv.get("fruit/apple").await?.expect("just put");
/// assert_eq!((apple.id, apple.text()), (red, Some("red")));
///
/// // Compare and set: only if the heads are still those that were seen.
/// kv.put_if("fruit/apple", "brown", &apple.heads).await?;
/// assert!(kv.put_if("fruit/apple", "blue", &apple.heads).await.is_err());
///
/// let last = ScanOptions { backwards: true, limit: Some(1), ..Default::default() };
/// let page = kv.scan(&KeyRange::prefix("fruit/"), &last).await?;
/// assert_eq!(page.items[0].key, b"fruit/pear");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Kv {
    parts: Arc<Parts>,
}

impl Kv {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Kv { parts }
    }

    /// The value of a key: that of its winner. None if the key is not known, or its winner is a delete.
    ///
    /// What is in memory is answered at once, without a way to another thread.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, ReadError> {
        if let Some(answer) = self.parts.kv_at_hand(key.as_ref()) {
            return answer;
        }
        let key = key.as_ref().to_vec();
        self.ask(move |kv| kv.get(&key)).await
    }

    /// The values of many keys, in their order: much quicker than [`Kv::get`] of one after the other.
    pub async fn get_all<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Value>>, ReadError> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        self.ask(move |kv| kv.get_all(&keys)).await
    }

    /// The entry that gives a key its value: [`Kv::get`] without reading anything of it.
    pub async fn winner(&self, key: impl AsRef<[u8]>) -> Result<Option<EntryId>, ReadError> {
        let key = key.as_ref().to_vec();
        self.ask(move |kv| Ok(kv.state(&key)?.shown().map(|winner| winner.id))).await
    }

    /// How many heads of a key are dated after this machine's clock ([`Value::ahead`]).
    pub async fn ahead(&self, key: impl AsRef<[u8]>) -> Result<usize, ReadError> {
        let key = key.as_ref().to_vec();
        self.ask(move |kv| Ok(kv.state(&key)?.ahead)).await
    }

    /// The heads of a key with all that they say, the winner first. Several are a conflict. Empty if nothing is known of the key.
    pub async fn heads(&self, key: impl AsRef<[u8]>) -> Result<Vec<Head>, ReadError> {
        let key = key.as_ref().to_vec();
        self.ask(move |kv| kv.heads(&key)).await
    }

    /// Reads the value that the entry `id` gives its key, piece by piece, so that nothing holds it whole.
    ///
    /// # Errors
    /// [`BlobError::NotHeld`] if the entry is not held here or is no value, and as [`crate::Blobs::read`].
    pub async fn read(&self, id: EntryId) -> Result<BlobReader, BlobError> {
        let parts = self.parts.clone();
        self.run(move |held| {
            let entry = held.kv_put(id)?.ok_or(BlobError::NotHeld(id))?;
            BlobReader::open(parts, id, &entry, 0..u64::MAX)
        })
        .await?
    }

    /// Asks what is there now.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Ground) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        Ground::now(self.parts.clone()).ask(question).await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Parts) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        database::run(&self.parts, job).await
    }
}
