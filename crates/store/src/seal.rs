//! The seal: what the engine's files looked like after the last flush.
//!
//! The engine trusts its own files: a metadata log that was cut short is taken for a torn tail and rolls the store back to
//! rows that were overwritten since, which it then serves, or searches for without end. So each flush writes down which
//! files hold metadata, how long they are and what they hash to, and how long the data files are; opening starts with a
//! comparison, and a store without a fitting seal is rebuilt.
//!
//! Checksums of the engine's own do not say whose rows lie in a data file. So of these
//! - a store that was closed has those that were written when it was: a copy that keeps times is as good;
//! - one that was in use has the same files, for a crash takes none away. Files that were copied meanwhile are of no one moment: the
//!   engine finds other rows than it looks for there, and looks on without end.
//!
//! ```text
//! kappadb store seal 2
//! closed | in use <time at which the cookie, which is never written again, was changed>
//! <path> <bytes> <number of the file> <time of the last write> <xxh3-64 of these bytes, hex, or - if not hashed>
//! end <xxh3-64 of all lines before, hex>
//! ```
//! Times are nanoseconds since 1970.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

const TITLE: &str = "kappadb store seal 2";
const SLABS: &str = "slabs";
const METADATA: &str = "metadata";
const COOKIE: &str = "durability_cookie";
const CLOSED: &str = "closed";
const IN_USE: &str = "in use ";
const SECOND: i128 = 1_000_000_000;

/// What becomes of the files after they are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Files {
    /// The engine goes on with them.
    InUse,
    /// Nothing.
    Closed,
}

/// Why a store's files are not those that were left there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// There are files but no seal: the store was never flushed, or the seal was removed.
    #[error("it was never flushed whole")]
    Missing,
    /// The seal itself is damaged.
    #[error("its seal is damaged")]
    Damaged,
    /// A file is gone or shorter than it was.
    #[error("{0} is cut short or missing")]
    Short(String),
    /// A file's contents are not what they were.
    #[error("{0} has other contents")]
    Changed(String),
    /// A file has come that neither was there at the last flush nor follows from what was.
    #[error("{0} is not of the last flush")]
    Strange(String),
    /// Files were copied while the store was in use.
    #[error("it was copied while it was in use")]
    Copied,
    /// A file could not be read.
    #[error("{name}: {source}")]
    Io {
        /// Path within the engine's folder.
        name: String,
        /// The cause.
        source: io::Error,
    },
}

struct Line {
    name: String,
    bytes: u64,
    file: u64,
    written: i128,
    hash: Option<u64>,
}

struct Seal {
    /// When the cookie was changed, if the store was in use.
    in_use: Option<i128>,
    lines: Vec<Line>,
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * SECOND + i128::from(rest)
}

fn written(found: &Metadata) -> i128 {
    nanoseconds(found.mtime(), found.mtime_nsec())
}

/// Copying is a change.
fn changed(found: &Metadata) -> i128 {
    nanoseconds(found.ctime(), found.ctime_nsec())
}

fn failed(name: &str) -> impl FnOnce(io::Error) -> SealError + '_ {
    move |source| SealError::Io { name: name.to_owned(), source }
}

/// xxh3-64 of the first `bytes` of a file; `None` if it has fewer.
fn hash_front(path: &Path, bytes: u64) -> io::Result<Option<u64>> {
    let mut hash = Xxh3::new();
    let mut left = File::open(path)?.take(bytes);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match left.read(&mut buffer)? {
            0 => return Ok((left.limit() == 0).then(|| hash.digest())),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// Names of the files in a folder, `folder/name`, ascending.
fn names(engine: &Path, folder: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(engine.join(folder))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            names.push(format!("{folder}/{}", entry.file_name().to_string_lossy()));
        }
    }
    names.sort();
    Ok(names)
}

/// The line of a file, or `None` if it is gone: the engine removes logs in the background once they are merged.
fn line(engine: &Path, name: String, hashed: bool) -> io::Result<Option<Line>> {
    let path = engine.join(&name);
    let measure = || -> io::Result<Line> {
        let found = fs::metadata(&path)?;
        let hash = if hashed { hash_front(&path, found.len())? } else { None };
        Ok(Line { name, bytes: found.len(), file: found.ino(), written: written(&found), hash })
    };
    match measure() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        line => line.map(Some),
    }
}

/// Writes the seal of the files in `engine`. Only right after a flush, with no other flush under way.
pub(crate) fn write(engine: &Path, seal: &Path, files: Files) -> io::Result<()> {
    let state = match files {
        Files::Closed => CLOSED.to_owned(),
        Files::InUse => format!("{IN_USE}{}", changed(&fs::metadata(engine.join(COOKIE))?)),
    };
    let mut text = format!("{TITLE}\n{state}\n");
    let metadata = names(engine, METADATA)?.into_iter().filter(|name| !name.ends_with(".tmp"));
    let hashed = metadata.chain([COOKIE.to_owned()]).map(|name| (name, true));
    for (name, hashed) in hashed.chain(names(engine, SLABS)?.into_iter().map(|name| (name, false))) {
        if let Some(Line { name, bytes, file, written, hash }) = line(engine, name, hashed)? {
            let hash = hash.map_or("-".to_owned(), |hash| format!("{hash:016x}"));
            text.push_str(&format!("{name} {bytes} {file} {written} {hash}\n"));
        }
    }
    text.push_str(&format!("end {:016x}\n", xxh3_64(text.as_bytes())));
    // Replaced in one step; a power cut that tears it all the same costs a rebuild, not a wrong answer.
    let fresh = seal.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(fresh, seal)
}

fn parse(text: &str) -> Option<Seal> {
    let text = text.strip_suffix('\n')?;
    let body = text.get(..text.rfind('\n')? + 1)?;
    let end = text.get(body.len()..)?.strip_prefix("end ")?;
    if u64::from_str_radix(end, 16).ok()? != xxh3_64(body.as_bytes()) {
        return None;
    }
    let mut lines = body.strip_prefix(TITLE)?.strip_prefix('\n')?.lines();
    let in_use = match lines.next()? {
        CLOSED => None,
        state => Some(state.strip_prefix(IN_USE)?.parse().ok()?),
    };
    Some(Seal { in_use, lines: lines.map(parse_line).collect::<Option<_>>()? })
}

fn parse_line(line: &str) -> Option<Line> {
    let mut words = line.rsplitn(5, ' ');
    let hash = words.next()?;
    let hash = if hash == "-" { None } else { Some(u64::from_str_radix(hash, 16).ok()?) };
    let (written, file, bytes) = (words.next()?, words.next()?, words.next()?);
    Some(Line {
        name: words.next()?.to_owned(),
        bytes: bytes.parse().ok()?,
        file: file.parse().ok()?,
        written: written.parse().ok()?,
        hash,
    })
}

/// The number in the name of a log or snapshot, as the engine writes it.
fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.rsplit('_').next()?, 16).ok()
}

/// The highest number of a finished file of metadata of this kind, `log` or `snapshot`; none if there is none.
pub(crate) fn newest(engine: &Path, kind: &str) -> io::Result<Option<u64>> {
    let names = match names(engine, METADATA) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        names => names?,
    };
    let prefix = format!("{METADATA}/{kind}_");
    let of_kind = names.iter().filter(|name| name.starts_with(&prefix) && !name.ends_with(".tmp"));
    Ok(of_kind.filter_map(|name| number(name)).max())
}

/// Checks that the files in `engine` are those that were sealed, or what the engine makes of them by itself: logs grow, and
/// logs and snapshots go when a later snapshot has taken them in.
pub(crate) fn check(engine: &Path, seal: &Path) -> Result<(), SealError> {
    let text = match fs::read(seal) {
        Ok(text) => String::from_utf8(text).map_err(|_| SealError::Damaged)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(SealError::Missing),
        Err(e) => return Err(failed("seal")(e)),
    };
    let Seal { in_use, lines } = parse(&text).ok_or(SealError::Damaged)?;
    let cookie = fs::metadata(engine.join(COOKIE)).map_err(failed(COOKIE))?;
    if in_use.is_some_and(|since| since != changed(&cookie)) {
        return Err(SealError::Copied);
    }
    let newest = newest(engine, "snapshot").map_err(failed(METADATA))?;
    for line in &lines {
        check_line(engine, line, newest, in_use.is_some())?;
    }
    check_strangers(engine, &lines)
}

/// Metadata that is not of this store leads to slots that data files do not have: what a newer state leaves behind over which an older
/// one was copied. The engine itself adds an empty log when it is opened, and a snapshot in the place of what it takes in.
fn check_strangers(engine: &Path, lines: &[Line]) -> Result<(), SealError> {
    let listed: BTreeSet<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    let there = names(engine, METADATA).map_err(failed(METADATA))?;
    let left = there.iter().filter(|name| listed.contains(name.as_str())).filter_map(|name| number(name));
    let oldest = left.min();
    for name in there.iter().filter(|name| !listed.contains(name.as_str()) && !name.ends_with(".tmp")) {
        let is_strange = match name.contains("log_") {
            true => fs::metadata(engine.join(name)).map_err(failed(name))?.len() > 0,
            false => oldest.is_some_and(|oldest| number(name).is_some_and(|id| oldest <= id)),
        };
        if is_strange {
            return Err(SealError::Strange(name.clone()));
        }
    }
    Ok(())
}

fn check_line(
    engine: &Path,
    line: &Line,
    newest_snapshot: Option<u64>,
    in_use: bool,
) -> Result<(), SealError> {
    let path = engine.join(&line.name);
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let merged = line.name.starts_with(METADATA)
                && number(&line.name).is_some_and(|id| newest_snapshot.is_some_and(|newest| newest >= id));
            return if merged { Ok(()) } else { Err(SealError::Short(line.name.clone())) };
        }
        Err(e) => return Err(failed(&line.name)(e)),
    };
    if found.len() < line.bytes {
        return Err(SealError::Short(line.name.clone()));
    }
    if in_use && found.ino() != line.file {
        return Err(SealError::Copied);
    }
    let same = match line.hash {
        Some(hash) => {
            let grows = line.name.contains("log_");
            let front = hash_front(&path, line.bytes).map_err(failed(&line.name))?;
            (grows || found.len() == line.bytes) && front == Some(hash)
        }
        None => in_use || is_as_written(&found, line),
    };
    if same { Ok(()) } else { Err(SealError::Changed(line.name.clone())) }
}

/// Some archives keep whole seconds.
fn is_as_written(found: &Metadata, line: &Line) -> bool {
    let now = written(found);
    found.len() == line.bytes
        && (now == line.written || now == line.written - line.written.rem_euclid(SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn noise_is_no_seal(noise in "\\PC*") {
            prop_assert!(parse(&noise).is_none());
        }
    }
}
