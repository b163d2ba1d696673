//! Files that commands write for people: replaced as a whole, once all is there.

use super::NewFile;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file beside the one at `path`, which is given its name when it is kept, so that no half of it is ever there. What is no plain file, such as a
/// pipe or a terminal, is written to as it is. A new file has what the user's umask leaves; one that was there keeps its permissions, and
/// a link goes on leading to it.
pub fn create(path: &Path) -> io::Result<NewFile> {
    let (path, found) = target(path)?;
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        return Ok(as_it_is(OpenOptions::new().write(true).open(&path)?));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o666));
    let beside = builder.tempfile_in(folder)?;
    let writer = Box::new(beside.reopen()?);
    let keep = move || {
        if let Some(found) = found {
            beside.as_file().set_permissions(found.permissions())?;
        }
        beside.as_file().sync_all()?;
        beside.persist(&path).map(drop).map_err(|error| error.error)
    };
    Ok(NewFile { writer, keep: Box::new(keep) })
}

/// What has its name already.
pub fn as_it_is(file: File) -> NewFile {
    NewFile { writer: Box::new(file), keep: Box::new(|| Ok(())) }
}

/// Which stream of the process a path such as `/dev/stdout` leads to: 1 or 2; none if it leads elsewhere.
pub fn stream(path: &Path) -> Option<u8> {
    let is = |number: &str| {
        let names = ["/dev/fd", "/proc/self/fd"].map(|folder| Path::new(folder).join(number));
        names.iter().any(|name| path == name || fs::read_link(path).is_ok_and(|leads| leads == *name))
    };
    [1, 2].into_iter().find(|number| is(&number.to_string()))
}

/// Where links lead, and what is there.
fn target(path: &Path) -> io::Result<(PathBuf, Option<fs::Metadata>)> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok((fs::canonicalize(path)?, Some(found))),
        Ok(found) => Ok((path.to_owned(), Some(found))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((path.to_owned(), None)),
        Err(error) => Err(error),
    }
}
