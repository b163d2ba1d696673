//! Where a node's socket is: `DIR/node`. Whose folder it is says the lock alone; a socket may be left over.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

const NAME: &str = "node";
/// Bytes that the name of a socket may have on every Unix.
const MAX_NAME: usize = 100;

/// Listens in a folder that this process has locked: what lies there is nobody's any more.
pub fn listen(dir: &Path) -> io::Result<UnixListener> {
    remove(dir)?;
    let listener = with_name(dir, |name| UnixListener::bind(name))?;
    fs::set_permissions(dir.join(NAME), Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to who listens in the folder; none if nobody does.
pub fn connect(dir: &Path) -> io::Result<Option<UnixStream>> {
    match with_name(dir, |name| UnixStream::connect(name)) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory => Ok(None),
            _ => Err(error),
        },
    }
}

/// Takes the socket away.
pub fn remove(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join(NAME)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Does something with a name of the socket that is short enough: where folders lie deep, one by way of the open folder.
fn with_name<T>(dir: &Path, job: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = dir.join(NAME);
    if path.as_os_str().len() <= MAX_NAME {
        return job(&path);
    }
    let folder = File::open(dir)?;
    job(&PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(NAME))
}
