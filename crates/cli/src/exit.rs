//! Exit codes, and which error has which.

use kappadb::{Cause, InterestError};
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
    /// The process that carried the command out has ended before it was done.
    NodeEnded = 6,
}

impl From<u8> for Exit {
    fn from(code: u8) -> Exit {
        use Exit::{Done, Failed, InUse, Incomplete, NodeEnded, NotFound, Usage};
        let all = [Done, Failed, Usage, Incomplete, NotFound, InUse, NodeEnded];
        all.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Failed)
    }
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

/// The folder is open in another process. A sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InUse(pub String);

/// This process carried a command out, and has ended.
#[derive(Debug, thiserror::Error)]
#[error(
    "process {0}, which carried this out, has ended before it was done; what it had written is kept, and nothing is half written"
)]
pub struct NodeEnded(pub u32);

impl Exit {
    /// The code for an error.
    pub fn of(error: &anyhow::Error) -> Exit {
        match Cause::of(error.as_ref()) {
            _ if error.chain().any(|cause| cause.is::<NotFound>()) => Exit::NotFound,
            _ if error.is::<InterestError>() => Exit::Usage,
            _ if error.is::<InUse>() => Exit::InUse,
            _ if error.is::<NodeEnded>() => Exit::NodeEnded,
            Some(Cause::InUse) => Exit::InUse,
            Some(Cause::NotHeld | Cause::Unknown) => Exit::NotFound,
            _ => Exit::Failed,
        }
    }

    /// Done if `all` is well, else failed.
    pub fn done_if(all: bool) -> Exit {
        if all { Exit::Done } else { Exit::Failed }
    }
}
