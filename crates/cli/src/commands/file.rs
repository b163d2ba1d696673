//! Files that commands write for people: replaced as a whole, once all is there.

use crate::streams;
use anyhow::Context as _;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Writes beside the file at `path` and gives it the name at the end, so that no half of it is ever there. What is no plain file, such as a
/// pipe or a terminal, is written to as it is. A new file has what the user's umask leaves; one that was there keeps its permissions, and
/// a link goes on leading to it.
pub async fn replace<T>(
    path: &Path,
    write: impl AsyncFnOnce(File) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let failed = || format!("cannot write {}", path.display());
    if let Some(out) = streams::named(path).with_context(failed)? {
        return write(out).await;
    }
    let (path, found) = target(path).with_context(failed)?;
    if found.as_ref().is_some_and(|found| !found.is_file()) {
        let out = OpenOptions::new().write(true).open(&path).with_context(failed)?;
        return write(out).await;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.permissions(Permissions::from_mode(0o666));
    let beside = builder.tempfile_in(folder).with_context(failed)?;
    let done = write(beside.reopen().with_context(failed)?).await?;
    if let Some(found) = found {
        beside.as_file().set_permissions(found.permissions()).with_context(failed)?;
    }
    beside.as_file().sync_all().with_context(failed)?;
    beside.persist(&path).map_err(|error| error.error).with_context(failed)?;
    Ok(done)
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
