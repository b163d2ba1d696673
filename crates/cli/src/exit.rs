//! Exit codes, and which error has which.

use kappadb::{
    AttachError, Cause, ChatError, FindError, KvError, PutBlobError, RecoverError, WriteError, WriterError,
};
use std::error::Error;
use std::process::ExitCode;

/// How a command ended. The numbers are a promise (`design/cli.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All that was wanted was done.
    Done = 0,
    /// It failed, or in part; or `verify` found something wrong.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is an answer, and it may lack something.
    Incomplete = 3,
    /// What was asked for is not known here, or what it says is not held.
    NotFound = 4,
    /// The folder is open already.
    InUse = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// What was asked for is not here. A sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

impl Exit {
    /// The code for an error.
    pub fn of(error: &anyhow::Error) -> Exit {
        let found = || error.chain().find_map(of_cause).unwrap_or(Exit::Failed);
        match Cause::of(error.as_ref()) {
            Some(Cause::InUse) => Exit::InUse,
            Some(Cause::NotHeld) => Exit::NotFound,
            _ => found(),
        }
    }

    /// Done if `all` is well, else failed.
    pub fn done_if(all: bool) -> Exit {
        if all { Exit::Done } else { Exit::Failed }
    }
}

/// None for errors that say nothing of it themselves; their causes may.
fn of_cause(cause: &(dyn Error + 'static)) -> Option<Exit> {
    if cause.is::<NotFound>() {
        return Some(Exit::NotFound);
    }
    // Transparent errors are not in the chain beside what they stand for, so each is looked into.
    let found = None
        .or_else(|| cause.downcast_ref().map(of_write))
        .or_else(|| cause.downcast_ref().map(of_writer))
        .or_else(|| cause.downcast_ref().map(of_find))
        .or_else(|| cause.downcast_ref().map(of_kv))
        .or_else(|| cause.downcast_ref().map(of_chat))
        .or_else(|| cause.downcast_ref().map(of_recover))
        .or_else(|| cause.downcast_ref().map(of_attach));
    found.filter(|exit| *exit != Exit::Failed)
}

fn of_write(error: &WriteError) -> Exit {
    match error {
        WriteError::NoFeature(_) | WriteError::NoContent(_) => Exit::NotFound,
        _ => Exit::Failed,
    }
}

fn of_writer(error: &WriterError) -> Exit {
    match error {
        WriterError::Unknown(_) => Exit::NotFound,
        WriterError::Write(error) => of_write(error),
        _ => Exit::Failed,
    }
}

fn of_find(error: &FindError) -> Exit {
    match error {
        FindError::Unknown(_) => Exit::NotFound,
        _ => Exit::Failed,
    }
}

fn of_kv(error: &KvError) -> Exit {
    match error {
        KvError::Write(error) => of_write(error),
        _ => Exit::Failed,
    }
}

fn of_chat(error: &ChatError) -> Exit {
    match error {
        ChatError::NotThere(_) | ChatError::NoChannel(_) | ChatError::NotPinned(_) => Exit::NotFound,
        ChatError::Writer(error) => of_writer(error),
        ChatError::Write(error) => of_write(error),
        _ => Exit::Failed,
    }
}

fn of_recover(error: &RecoverError) -> Exit {
    match error {
        RecoverError::Unknown(_) => Exit::NotFound,
        RecoverError::Write(error) => of_write(error),
        _ => Exit::Failed,
    }
}

fn of_attach(error: &AttachError) -> Exit {
    match error {
        AttachError::NoFeature(_) | AttachError::NoContent(_) => Exit::NotFound,
        AttachError::Blob(PutBlobError::Write(error)) | AttachError::Write(error) => of_write(error),
        _ => Exit::Failed,
    }
}
