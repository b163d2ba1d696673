//! The small files of a folder, and who may read them. A folder may come from somebody else: what links in it lead to is not ours to write.

use crate::error::OpenError;
use std::fs::{self, File, FileType, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What belongs to a replica in its folder; all else there is somebody's own business.
const OURS: [&str; 19] = [
    "LOCK",
    "node",
    "replica",
    "witness",
    "callers",
    "peers",
    "refused",
    "omissions",
    "listen",
    "follows",
    "writers",
    "trust",
    "read-markers",
    "pins",
    "recovered",
    "reserve",
    "keys",
    "journal",
    "derived",
];
/// What nobody but the owner may do.
const OTHERS: u32 = 0o077;

/// Replaces a file as a whole: after a crash it is the old one or the new one. Its owner alone may read it. A link of that name, or of the
/// file's that is written first, is replaced, not followed.
pub(crate) fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // Exclusive: what somebody puts there meanwhile is not followed either.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// The text of a file; none if it is not there.
pub(crate) fn read_file(path: &Path) -> Result<Option<String>, OpenError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::File { path: path.to_owned(), source }),
    }
}

/// What a folder held before a database was made in it: one that cannot be made whole leaves nothing behind.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    dir: PathBuf,
    was_there: bool,
    held: Vec<&'static str>,
}

impl Before {
    pub fn of(dir: &Path) -> Before {
        let is_held = |name: &&str| fs::symlink_metadata(dir.join(name)).is_ok();
        let held = OURS.into_iter().filter(is_held).collect();
        Before { dir: dir.to_owned(), was_there: dir.exists(), held }
    }

    /// Takes away what has come since, of what is ours. Nobody else may be at it.
    pub fn restore(&self) {
        // What says that it is a database goes first.
        let first = ["replica"].into_iter().chain(OURS);
        for path in first.filter(|name| !self.held.contains(name)).map(|name| self.dir.join(name)) {
            let gone = match path.is_dir() {
                // An empty one can go also where nothing can be opened any more.
                true => fs::remove_dir(&path).or_else(|_| fs::remove_dir_all(&path)),
                false => fs::remove_file(&path),
            };
            match gone {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "a file of a database that could not be made stays");
                }
                _ => {}
            }
        }
        self.leave_no_folder();
    }

    /// Takes away the folder alone, if it has come since and is empty.
    pub fn leave_no_folder(&self) {
        if !self.was_there {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// To be called before anything in the folder is opened for writing: refuses links, and takes from others what they may do with it. A folder
/// that cannot be changed, such as one that is somebody else's to read, stays as it is.
pub(crate) fn secure(dir: &Path) -> Result<(), OpenError> {
    if let Ok(found) = fs::metadata(dir) {
        tighten(dir, &found);
    }
    for name in OURS {
        let path = dir.join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) => secure_all(&path, found.file_type(), || Ok(found))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => return Err(OpenError::File { path, source }),
        }
    }
    Ok(())
}

fn secure_all(
    path: &Path,
    kind: FileType,
    found: impl FnOnce() -> io::Result<Metadata>,
) -> Result<(), OpenError> {
    let failed = |source| OpenError::File { path: path.to_owned(), source };
    if kind.is_symlink() {
        return Err(OpenError::Link(path.to_owned()));
    }
    let was_open = tighten(path, &found().map_err(failed)?);
    if kind.is_dir() {
        secure_within(path, was_open)?;
    }
    Ok(())
}

/// What lies in a folder that was its owner's alone could be reached by nobody else, so only links are looked for there: a folder may have
/// thousands of keys.
fn secure_within(dir: &Path, was_open: bool) -> Result<(), OpenError> {
    let failed = |source| OpenError::File { path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(failed)?);
        if was_open || kind.is_dir() || kind.is_symlink() {
            secure_all(&path, kind, || entry.metadata())?;
        }
    }
    Ok(())
}

/// True if others could do something with it before.
fn tighten(path: &Path, found: &Metadata) -> bool {
    let mode = found.permissions().mode();
    if mode & OTHERS != 0 {
        // Where that is not allowed, it is not ours to decide.
        let _ = fs::set_permissions(path, Permissions::from_mode(mode & !OTHERS));
    }
    mode & OTHERS != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn links_are_replaced_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, dear) = (dir.path().join("peers"), dir.path().join("dear"));
        fs::write(&dear, "dear").unwrap();
        symlink(&dear, &file).unwrap();
        symlink(&dear, dir.path().join("peers.new")).unwrap();
        write_file(&file, "ours").unwrap();
        assert_eq!(read_file(&file).unwrap().as_deref(), Some("ours"));
        assert_eq!(
            (fs::read_to_string(&dear).unwrap(), file.is_symlink(), mode(&file)),
            ("dear".into(), false, 0o600)
        );
        assert_eq!(read_file(&dir.path().join("nothing")).unwrap(), None);
    }

    #[test]
    fn a_folder_with_links_is_refused_and_what_is_not_ours_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        fs::create_dir(&journal).unwrap();
        symlink("/etc/hostname", dir.path().join("notes")).unwrap();
        secure(dir.path()).unwrap();
        for (link, to) in [("journal/0000.seg", "/tmp/x"), ("derived", "/tmp"), ("peers", "/nowhere")] {
            let link = dir.path().join(link);
            symlink(to, &link).unwrap();
            let error = secure(dir.path()).unwrap_err();
            assert!(matches!(&error, OpenError::Link(path) if *path == link), "{error}");
            fs::remove_file(link).unwrap();
        }
    }

    #[test]
    fn what_others_might_do_is_taken_from_them() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, notes) = (dir.path().join("journal"), dir.path().join("notes"));
        fs::create_dir(&journal).unwrap();
        let segment = journal.join("0000.seg");
        for file in [&segment, &notes] {
            fs::write(file, "").unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
        }
        fs::set_permissions(&journal, Permissions::from_mode(0o755)).unwrap();
        secure(dir.path()).unwrap();
        assert_eq!((mode(&journal), mode(&segment), mode(&notes)), (0o700, 0o600, 0o644));
    }

    #[test]
    fn in_a_folder_that_nobody_else_can_enter_links_are_refused_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        fs::create_dir(&keys).unwrap();
        fs::set_permissions(&keys, Permissions::from_mode(0o700)).unwrap();
        fs::write(keys.join("key"), "").unwrap();
        secure(dir.path()).unwrap();
        symlink("/etc/hostname", keys.join("other")).unwrap();
        assert!(matches!(secure(dir.path()), Err(OpenError::Link(_))));
    }
}
