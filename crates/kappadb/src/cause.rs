//! What a program may want to do something about, of all that can go wrong.

use crate::error::{
    AskError, BlobError, CreateError, LogError, OpenError, PeerError, PutBlobError, ReadError, RecoverError,
    ServeError, WriteError, WriterError, is_not_held,
};
use crate::jobs::find::FindError;
#[cfg(feature = "chat")]
use crate::views::chat::ChatError;
use crate::views::kv::KvError;
#[cfg(feature = "import")]
use crate::views::map::import::ImportError;
#[cfg(feature = "map")]
use crate::views::map::{AttachError, ExportError};
use kappadb_net::{DialError, HandshakeError};
use kappadb_store::StoreError;
use kappadb_view::ViewError;
use rustix::io::Errno;
use std::error::Error;
use std::io;
use std::path::Path;

/// Why something failed, as far as a program can do something about it. The error itself says more, to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// [`Database::close`](crate::Database::close) was called, or the runtime is shutting down.
    Closed,
    /// The folder is open already, in another process or in this one: wait, or end that.
    InUse,
    /// There is no room on the disk: make some, and try again. Nothing that was promised is lost.
    DiskFull,
    /// The process has as many files open as the system allows it: close something, or have more allowed (`ulimit -n`), and try again.
    TooManyFiles,
    /// A view is still taking in what came before, is made anew, or stands still: ask again later.
    NotReady,
    /// It is known here but not held: ask a peer that has it.
    NotHeld,
    /// What was asked for is not known here: it is misspelt, or a peer may know it.
    Unknown,
    /// A peer does not answer: try later, or elsewhere.
    Unreachable,
    /// A peer does not take this database's key: it has another one, or serves another database.
    WrongKey,
}

impl Cause {
    /// The cause of any error of this library, also where it is the source of another one. None if there is nothing to be done
    /// but to tell people.
    ///
    /// ```
    /// use kappadb::{Cause, Database};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// let database = Database::builder(dir.path()).create().await?;
    /// let second = Database::builder(dir.path()).open().await.err().expect("it is open");
    /// assert_eq!(Cause::of(&second), Some(Cause::InUse));
    /// # Ok(()) }
    /// ```
    pub fn of(error: &(dyn Error + 'static)) -> Option<Cause> {
        let mut at = Some(error);
        while let Some(error) = at {
            if let Some(cause) = said_by(error) {
                return Some(cause);
            }
            at = stands_for(error).or_else(|| error.source());
        }
        None
    }
}

impl CreateError {
    /// Says so if it is for too many open files.
    pub(crate) fn in_short(self, dir: &Path) -> CreateError {
        match self {
            CreateError::Open(error) => CreateError::Open(error.in_short(dir)),
            error if Cause::of(&error) == Some(Cause::TooManyFiles) => {
                CreateError::Open(OpenError::TooManyFiles { dir: dir.to_owned(), source: error.into() })
            }
            error => error,
        }
    }
}

impl OpenError {
    /// Says so if it is for too many open files.
    pub(crate) fn in_short(self, dir: &Path) -> OpenError {
        match self {
            OpenError::TooManyFiles { .. } => self,
            error if Cause::of(&error) == Some(Cause::TooManyFiles) => {
                OpenError::TooManyFiles { dir: dir.to_owned(), source: error.into() }
            }
            error => error,
        }
    }
}

/// The cause that an error names itself.
fn said_by(error: &(dyn Error + 'static)) -> Option<Cause> {
    if is_not_held(error) {
        return Some(Cause::NotHeld);
    }
    if is_unknown(error) {
        return Some(Cause::Unknown);
    }
    let of_open = |error: &OpenError| match error {
        OpenError::InUse { .. } => Some(Cause::InUse),
        OpenError::TooManyFiles { .. } => Some(Cause::TooManyFiles),
        _ => None,
    };
    let of_read = |error: &ReadError| matches!(error, ReadError::Closed).then_some(Cause::Closed);
    let of_write = |error: &WriteError| matches!(error, WriteError::NoContent(_)).then_some(Cause::NotHeld);
    let of_io = |error: &io::Error| {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Some(Cause::DiskFull),
            _ => is_too_many_files(error).then_some(Cause::TooManyFiles),
        }
    };
    let of_views = OF_VIEWS.iter().find_map(|of_view| of_view(error));
    of_views
        .or_else(|| error.downcast_ref().and_then(of_open))
        .or_else(|| error.downcast_ref().and_then(of_read))
        .or_else(|| error.downcast_ref().and_then(of_write))
        .or_else(|| error.downcast_ref().and_then(of_io))
        .or_else(|| error.downcast_ref().and_then(of_store))
        .or_else(|| error.downcast_ref().and_then(of_view))
        .or_else(|| error.downcast_ref().and_then(of_ask))
        .or_else(|| error.downcast_ref().and_then(of_dial))
}

fn is_unknown(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|error| matches!(error, WriteError::NoFeature(_)))
        || error.downcast_ref().is_some_and(|error| matches!(error, WriterError::Unknown(_)))
        || error.downcast_ref().is_some_and(|error| matches!(error, FindError::Unknown(_)))
        || error.downcast_ref().is_some_and(|error| matches!(error, RecoverError::Unknown(_)))
}

/// The causes that errors of a view name themselves.
const OF_VIEWS: &[fn(&(dyn Error + 'static)) -> Option<Cause>] = &[
    |error| error.downcast_ref().and_then(of_kv),
    #[cfg(feature = "map")]
    |error| error.downcast_ref().and_then(of_attach),
    #[cfg(feature = "chat")]
    |error| error.downcast_ref().and_then(of_chat),
];

fn of_kv(error: &KvError) -> Option<Cause> {
    matches!(error, KvError::NotHeld(_)).then_some(Cause::NotHeld)
}

#[cfg(feature = "map")]
fn of_attach(error: &AttachError) -> Option<Cause> {
    match error {
        AttachError::NoContent(_) => Some(Cause::NotHeld),
        AttachError::NoFeature(_) => Some(Cause::Unknown),
        _ => None,
    }
}

#[cfg(feature = "chat")]
fn of_chat(error: &ChatError) -> Option<Cause> {
    use ChatError::{NoChannel, NotPinned, NotThere};
    matches!(error, NotThere(_) | NoChannel(_) | NotPinned(_)).then_some(Cause::Unknown)
}

/// True if the process, or the system, has as many files open as it may.
fn is_too_many_files(error: &io::Error) -> bool {
    let numbers = [Errno::MFILE.raw_os_error(), Errno::NFILE.raw_os_error()];
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

fn of_store(error: &StoreError) -> Option<Cause> {
    match error {
        StoreError::TooManyFiles { .. } => Some(Cause::TooManyFiles),
        StoreError::DiskFull { .. } => Some(Cause::DiskFull),
        StoreError::Locked { .. } => Some(Cause::InUse),
        StoreError::Closed => Some(Cause::Closed),
        _ => None,
    }
}

fn of_view(error: &ViewError) -> Option<Cause> {
    match error {
        ViewError::Late(_) | ViewError::Rebuilding(_) | ViewError::Stalled { .. } => Some(Cause::NotReady),
        ViewError::Closed => Some(Cause::Closed),
        _ => None,
    }
}

fn of_ask(error: &AskError) -> Option<Cause> {
    match error {
        AskError::Late(_) => Some(Cause::Unreachable),
        _ => None,
    }
}

fn of_dial(error: &DialError) -> Option<Cause> {
    match error {
        DialError::Unreachable { .. } | DialError::Timeout { .. } | DialError::NoAddress => {
            Some(Cause::Unreachable)
        }
        DialError::Handshake { source: HandshakeError::WrongKey, .. } => Some(Cause::WrongKey),
        _ => None,
    }
}

/// Looks into transparent errors: what they stand for is not among their sources.
macro_rules! stands_for {
    ($error:ident: $($(#[$with:meta])? $type:ident { $($variant:ident)* })*) => {$(
        $(#[$with])?
        match $error.downcast_ref() {
            $(Some($type::$variant(inner)) => return Some(inner),)*
            _ => {}
        }
    )*};
}

fn stands_for<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    stands_for! { error:
        CreateError { Peer Open Write }
        OpenError { Store Feeds View }
        WriteError { Append Define Read }
        WriterError { Write }
        ReadError { View Block Commit Check }
        BlobError { Read }
        PutBlobError { Write }
        #[cfg(feature = "map")]
        AttachError { Blob Write }
        #[cfg(feature = "import")]
        ImportError { File Write }
        ServeError { Read }
        PeerError { Read }
        AskError { Dial Session }
        #[cfg(feature = "map")]
        ExportError { Read }
        LogError { Clear Drop Write Compact Commit View Store Read }
        RecoverError { Write Read }
        FindError { Read }
        KvError { Write }
        #[cfg(feature = "chat")]
        ChatError { Writer Erase Write Read }
        ViewError { Store Read }
    }
    None
}
