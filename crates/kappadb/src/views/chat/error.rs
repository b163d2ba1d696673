use crate::error::{ReadError, WriteError, WriterError};
use crate::folder::markers::NotKept;
use kappadb_core::{EntryId, FeedKey};
use kappadb_view::ViewError;
use std::io;

/// Why something in chat could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// A name or a text that breaks a limit, or is empty where it must not be.
    #[error(transparent)]
    Model(#[from] kappadb_chat::SayError),
    /// A nickname that people would take for that of another feed.
    #[error("{nick:?} looks like {other:?}, which feed {feed} is called; choose another nickname")]
    Alike {
        /// The nickname.
        nick: String,
        /// That of the other.
        other: String,
        /// The other.
        feed: FeedKey,
    },
    /// A private message that cannot be sealed.
    #[error(transparent)]
    Private(#[from] kappadb_chat::PrivateError),
    /// Nothing that can be deleted is held under this name.
    #[error("there is no message {0} here to delete")]
    NotThere(EntryId),
    /// A private message has none: whoever holds a blob can read it.
    #[error("a private message has no attachments: whoever holds a blob can read it")]
    PrivateBlobs,
    /// What a message is to have attached is something else.
    #[error("{0} is no blob")]
    NoBlob(EntryId),
    /// Nobody posted to a channel or joined it, as far as is known here.
    #[error("there is no channel {0:?} here")]
    NoChannel(String),
    /// A name that stands for nobody here.
    #[error("{0:?} is pinned to no feed here")]
    NotPinned(String),
    /// Only authors can delete what they wrote.
    #[error("{0} was written by another; only its author can delete it")]
    NotYours(EntryId),
    /// A file of this replica's own state could not be written.
    #[error("cannot write down whom to trust, or what was read")]
    State(#[source] io::Error),
    /// An import could not be read on. What came before is there.
    #[error("cannot read what is to be imported")]
    Import(#[source] io::Error),
    /// An import came to no end. Run again it goes on: what is here is not posted again.
    #[error("of the import the first {lines} lines are here: {source}")]
    BrokenOff {
        /// So many lines from the first on are durable, or were left out.
        lines: u64,
        /// Why.
        source: Box<ChatError>,
    },
    /// An author of an import could not be made a writer.
    #[error(transparent)]
    Writer(#[from] WriterError),
    /// What was deleted is deleted, and its payload could not be cleared yet.
    #[error(transparent)]
    Erase(#[from] kappadb_feed::ClearError),
    /// The log, or what the write rests on.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What is held could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<ViewError> for ChatError {
    fn from(error: ViewError) -> Self {
        ReadError::from(error).into()
    }
}

impl From<NotKept> for ChatError {
    fn from(NotKept(error): NotKept) -> Self {
        ChatError::State(error)
    }
}
