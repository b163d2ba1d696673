//! Keys and values.

mod asking;
mod error;
mod ground;
mod history;
mod items;
mod load;
mod part;
mod scan;
mod snapshot;
mod watch;
mod write;

pub use error::KvError;
pub use history::KvRevision;
pub use items::KvItems;
pub use load::{Content, Head, KvState, Value};
pub use scan::KvItem;
pub use snapshot::{BlockingKv, BlockingKvItems, KvSnapshot};
pub use watch::{KvChange, KvWatcher};
pub use write::KvOp;

use crate::engine;
use crate::error::{BlobError, ReadError};
use crate::network::ask::{self, KV};
use crate::network::{self, Answer, Begun, Handle, Read, Source, Told};
use crate::network::{Follow, Live};
use crate::views::Parts;
use crate::views::blobs::BlobReader;
use crate::views::watching::Watching;
use asking::ask_scan;
use futures::future::BoxFuture;
use ground::Ground;
use kappadb_core::EntryId;
use kappadb_core::limits::MAX_FEATURE_BODY;
use kappadb_query::Selector;
use kappadb_view::ViewHandle;
use kappadb_view_kv::{KeyRange, KvView, ScanOptions};
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use watch::Keys;

/// Bytes of a value, at most. What does not fit into a block lies in blocks of its own.
pub const MAX_VALUE: usize = MAX_FEATURE_BODY;

/// Keys and values: every key has the values that its writers gave it, in the order of the keys' bytes.
///
/// A write replaces all versions of its key that are held here. Writers who do not see each other's writes leave several
/// **heads**, a conflict: [`Kv::get`] shows the winner, the same on every replica that holds the same (the greatest time
/// that is due, or if none is, the greatest of all, then feed, then seq), [`Kv::heads`] shows all, and the next write here, such as [`Kv::merge`], replaces them.
///
/// A question is answered from what is held here, or once the peers were asked for what it needs ([`Read::from`]).
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
/// let apple = kv.get("fruit/apple").await?.one().expect("just put");
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
#[derive(Debug, Clone)]
pub struct Kv {
    parts: Arc<KvParts>,
}

/// What a handle of keys and values is made of.
#[derive(Clone)]
pub(crate) struct KvParts {
    pub kv: ViewHandle<KvView>,
    /// The last to go.
    pub handle: Handle,
}

impl fmt::Debug for KvParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KvParts").field(&self.handle).finish()
    }
}

impl Deref for KvParts {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Kv {
    pub(crate) fn new(parts: &Parts) -> Self {
        let (kv, handle) = (parts.built_ins.kv.clone(), parts.handle.clone());
        Kv { parts: Arc::new(KvParts { kv, handle }) }
    }

    /// The value of a key: that of its winner. None if the key is not known, or its winner is a delete.
    ///
    /// What is in memory is answered at once, without a way to another thread.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Read<Answer<Value>> {
        let (parts, key) = (self.parts.clone(), key.as_ref().to_vec());
        Read::begin(move |ways| {
            if ways.source == Source::Local
                && !ways.direct
                && let Some(answer) = parts.kv_at_hand(&key)
            {
                return Begun::Done(answer);
            }
            let ask = ask::keys(KV, [key.clone()], Selector::Keys);
            let look = move |parts: &Arc<KvParts>| Ground::now(parts.clone()).get(&key);
            Begun::Running(Box::pin(network::answer(parts, ways, ask, look)))
        })
    }

    /// The values of many keys, in their order: much quicker than [`Kv::get`] of one after the other.
    pub fn get_all<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Read<Answer<Option<Value>>> {
        let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        self.about(keys.clone(), move |kv| kv.get_all(&keys))
    }

    /// What is known of a key: which entry gives it its value, and which are its heads, without a look at what these say. Nothing if nothing is
    /// known of the key.
    pub fn state(&self, key: impl AsRef<[u8]>) -> Read<Answer<KvState>> {
        let key = key.as_ref().to_vec();
        self.about([key.clone()], move |kv| kv.key(&key))
    }

    /// The heads of a key with all that they say, the winner first. Several are a conflict. Nothing if nothing is known of the key.
    pub fn heads(&self, key: impl AsRef<[u8]>) -> Read<Answer<Head>> {
        let key = key.as_ref().to_vec();
        self.about([key.clone()], move |kv| kv.heads(&key))
    }

    /// Reads the value that the entry `id` gives its key, piece by piece, so that nothing holds it whole.
    ///
    /// # Errors
    /// [`BlobError::NotHeld`] if the entry is not held here or is no value, and as [`crate::Blobs::read`].
    pub fn read(&self, id: EntryId) -> BoxFuture<'static, Result<BlobReader, BlobError>> {
        let parts = self.parts.clone();
        Box::pin(async move {
            let held = parts.clone();
            let open = move |_: &KvParts| {
                let entry = held.kv_put(id)?.ok_or(BlobError::NotHeld(id))?;
                BlobReader::open(held.network.engine().clone(), id, &entry, 0..u64::MAX)
            };
            engine::run(&parts, open).await?
        })
    }

    /// The keys of a range that have a value, with their values. Deleted keys are left out, outside the limit. What one call returns is of one
    /// moment; paging with `after` neither skips nor repeats a key that stays, whatever is written meanwhile.
    ///
    /// Without a limit everything is read into memory: ask for pages of what may be large, or for [`Kv::items`]. Peers are asked for no more
    /// than they take to be within the limit, and what it takes to be sure of that.
    pub fn scan(&self, range: &KeyRange, options: &ScanOptions) -> Read<Answer<KvItem, Vec<u8>>> {
        let (range, options) = (range.clone(), options.clone());
        let ask = ask_scan(self.parts.clone(), range.clone(), options.clone());
        Read::new(&self.parts, ask, move |parts| Ground::now(parts.clone()).scan(&range, &options))
    }

    /// The keys of a range that have a value, with their values, as [`Kv::scan`] gives them, one after the other: for what may be too large for memory.
    pub fn items(&self, range: &KeyRange, options: &ScanOptions) -> Read<KvItems> {
        let (range, options) = (range.clone(), options.clone());
        let ask = ask_scan(self.parts.clone(), range.clone(), options.clone());
        Read::new(&self.parts, ask, move |parts| KvItems::new(Ground::now(parts.clone()), range, options))
    }

    /// Watches some keys. First each of them comes once as it is, in order, also if it has no value; then a key comes whenever
    /// its heads or its value change, be it written here or fetched, or because the time of a head has come.
    ///
    /// A watcher may be as slow as it likes: what changed meanwhile comes once, as it is then, marked as lagged.
    pub fn watch<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> KvWatcher {
        let keys: BTreeSet<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
        let wanted: HashSet<Vec<u8>> = keys.iter().cloned().collect();
        let watcher = self.parts.kv.watch_keys(move |key| wanted.contains(key));
        let live = Live::of(&self.parts, [Follow::matching(KV, Selector::keys(keys.iter().cloned()))]);
        KvWatcher { changes: Watching::new(Keys(None), watcher, Some(keys)).stream(self.parts.clone()), live }
    }

    /// Watches the keys that start with `prefix`, as [`Kv::watch`] does. First those come that have a value, in order. It
    /// remembers some bytes for each key that it told of.
    pub fn watch_prefix(&self, prefix: impl AsRef<[u8]>) -> KvWatcher {
        let live = Live::of(&self.parts, [Follow::matching(KV, Selector::Prefix(prefix.as_ref().to_vec()))]);
        let range = KeyRange::prefix(prefix);
        let wanted = range.clone();
        let watcher = self.parts.kv.watch_keys(move |key| wanted.contains(key));
        let watching = Watching::new(Keys(Some(range)), watcher, None);
        KvWatcher { changes: watching.stream(self.parts.clone()), live }
    }

    /// All versions of a key, deletes included, the latest first: none comes after one that it replaces. Nothing for a key that is not known.
    /// Peers are asked for every version, also those that others made redundant; of these, contents that are too large for a block are not
    /// fetched.
    pub fn history(&self, key: impl AsRef<[u8]>) -> Read<Answer<KvRevision>> {
        let key = key.as_ref().to_vec();
        Read::new(&self.parts, ask::keys(KV, [key.clone()], Selector::Versions), move |parts| {
            parts.kv_history(&key)
        })
    }

    /// A question about some keys, as they are now.
    fn about<T: Told + Send + 'static>(
        &self,
        keys: impl IntoIterator<Item = Vec<u8>>,
        look: impl FnOnce(&Ground) -> Result<T, ReadError> + Send + 'static,
    ) -> Read<T> {
        let look = move |parts: &Arc<KvParts>| look(&Ground::now(parts.clone()));
        Read::new(&self.parts, ask::keys(KV, keys, Selector::Keys), look)
    }
}
