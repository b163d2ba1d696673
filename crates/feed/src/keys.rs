//! Secret keys of own feeds: one file each, `DIR/keys/<feed hex>`, 64 hex digits of seed, readable by its owner alone.

use crate::{DefineError, OpenError};
use kappadb_core::{DatabaseId, FeedKey, SecretKey};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The secret keys that lie here.
pub(crate) type Keys = BTreeMap<FeedKey, SecretKey>;

/// Loads all of `dir/keys`, which is made if missing. Files that are not named after a feed are not ours.
pub(crate) fn load(dir: &Path) -> Result<Keys, OpenError> {
    let folder = folder(dir);
    let failed = |file: &Path, source| OpenError::File { file: file.to_owned(), source };
    make_folder(&folder).map_err(|source| failed(&folder, source))?;
    let mut keys = Keys::new();
    for item in fs::read_dir(&folder).map_err(|source| failed(&folder, source))? {
        let path = item.map_err(|source| failed(&folder, source))?.path();
        let Some(feed) = path.file_name().and_then(|name| name.to_str()?.parse::<FeedKey>().ok()) else {
            continue;
        };
        let text = fs::read_to_string(&path).map(Zeroizing::new).map_err(|source| failed(&path, source))?;
        // The one parser of 32 bytes in hex that core has.
        let seed = text.trim().parse::<DatabaseId>().map(|id| Zeroizing::new(id.0));
        let secret =
            seed.ok().map(|seed| SecretKey::from_seed(&seed)).filter(|secret| secret.public() == feed);
        keys.insert(feed, secret.ok_or(OpenError::WrongKey(path))?);
    }
    Ok(keys)
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
        assert!(load(dir.path()).unwrap().is_empty());
        let secret = SecretKey::from_seed(&[9; 32]);
        save(dir.path(), &secret).unwrap();
        assert!(save(dir.path(), &secret).is_err(), "never overwritten");
        fs::write(dir.path().join("keys/identity"), "another crate's").unwrap();
        let file = dir.path().join("keys").join(secret.public().to_string());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(load(dir.path()).unwrap().into_keys().eq([secret.public()]));
        fs::write(&file, "00".repeat(32)).unwrap();
        assert!(matches!(load(dir.path()), Err(OpenError::WrongKey(_))));
    }
}
