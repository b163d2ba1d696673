//! Secret keys of own feeds: one file each, `DIR/keys/<feed hex>`, 64 hex digits of seed, readable by its owner alone.

use crate::{DefineError, OpenError, SecretError};
use kappadb_core::{DatabaseId, FeedKey, SecretKey};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// The secret keys that lie here, by the feeds that their files are named after. Each is read when it is first wanted: a replica that imported
/// what a community wrote has thousands.
pub(crate) struct Keys {
    folder: PathBuf,
    keys: BTreeMap<FeedKey, OnceLock<SecretKey>>,
}

impl Keys {
    /// Those in `dir/keys`, which is made if missing. Files that are not named after a feed are not ours.
    pub fn load(dir: &Path) -> Result<Keys, OpenError> {
        let folder = folder(dir);
        let failed = |source| OpenError::File { file: folder.clone(), source };
        make_folder(&folder).map_err(failed)?;
        let mut keys = BTreeMap::new();
        for item in fs::read_dir(&folder).map_err(failed)? {
            let name = item.map_err(failed)?.file_name();
            let feed = name.to_str().and_then(|name| name.parse::<FeedKey>().ok());
            keys.extend(feed.map(|feed| (feed, OnceLock::new())));
        }
        Ok(Keys { folder, keys })
    }

    pub fn has(&self, feed: &FeedKey) -> bool {
        self.keys.contains_key(feed)
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whose they are.
    pub fn feeds(&self) -> impl Iterator<Item = &FeedKey> {
        self.keys.keys()
    }

    /// The secret key of a feed; none if it does not lie here.
    pub fn get(&self, feed: &FeedKey) -> Result<Option<&SecretKey>, SecretError> {
        let Some(known) = self.keys.get(feed) else { return Ok(None) };
        if known.get().is_none() {
            let secret = read(self.folder.join(feed.to_string()), feed)?;
            known.get_or_init(|| secret);
        }
        Ok(known.get())
    }

    pub fn insert(&mut self, feed: FeedKey, secret: SecretKey) {
        self.keys.insert(feed, OnceLock::from(secret));
    }
}

fn read(file: PathBuf, feed: &FeedKey) -> Result<SecretKey, SecretError> {
    let text = match fs::read_to_string(&file) {
        Ok(text) => Zeroizing::new(text),
        Err(source) => return Err(SecretError::File { file, source }),
    };
    // The one parser of 32 bytes in hex that core has.
    let seed = text.trim().parse::<DatabaseId>().map(|id| Zeroizing::new(id.0));
    let secret = seed.ok().map(|seed| SecretKey::from_seed(&seed)).filter(|secret| secret.public() == *feed);
    secret.ok_or(SecretError::Wrong(file))
}

/// Writes the key down durably, before anything is signed with it. A file of that name is never half written: without its key the folder
/// could not be opened any more.
pub(crate) fn save(dir: &Path, secret: &SecretKey) -> Result<(), DefineError> {
    let folder = folder(dir);
    let file = folder.join(secret.public().to_string());
    let unfinished = file.with_extension("new");
    let write = || -> io::Result<()> {
        let text = Zeroizing::new(DatabaseId(*secret.seed()).to_string() + "\n");
        let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        // Unlike a new name, a second one never takes the place of a file.
        fs::hard_link(&unfinished, &file)?;
        File::open(&folder)?.sync_all()
    };
    let written = write();
    drop(fs::remove_file(&unfinished));
    written.map_err(|source| DefineError::File { file, source })
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("keys")
}

/// Makes a folder that its owner alone may read, if it is not there.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_come_back_and_are_private() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Keys::load(dir.path()).unwrap().is_empty());
        let secret = SecretKey::from_seed(&[9; 32]);
        save(dir.path(), &secret).unwrap();
        assert!(save(dir.path(), &secret).is_err(), "never overwritten");
        fs::write(dir.path().join("keys/identity"), "another crate's").unwrap();
        let file = dir.path().join("keys").join(secret.public().to_string());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let keys = Keys::load(dir.path()).unwrap();
        assert!(keys.feeds().eq([&secret.public()]));
        assert_eq!(keys.get(&secret.public()).unwrap().map(SecretKey::seed), Some(secret.seed()));
        fs::write(&file, "00".repeat(32)).unwrap();
        let wrong = Keys::load(dir.path()).unwrap();
        assert!(matches!(wrong.get(&secret.public()), Err(SecretError::Wrong(_))));
        assert!(keys.get(&secret.public()).is_ok(), "it was read before");
    }
}
