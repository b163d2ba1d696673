//! What a session is told if a command of its peer's is not carried out.

use kappadb_feed::PutError;
use kappadb_sync::{AnswerError, Command, PutRefusal, Reply};
use kappadb_view::ViewError;

pub(super) fn put_refusal(error: PutError) -> PutRefusal {
    match error {
        PutError::KnownMismatch(_) => PutRefusal::KnownMismatch,
        PutError::Undefined(_) => PutRefusal::Forgotten,
        PutError::Read(_) | PutError::Commit(_) => PutRefusal::Local(error.to_string()),
        other => PutRefusal::Bad(other.to_string()),
    }
}

pub(super) fn refusal(error: ViewError) -> AnswerError {
    match error {
        ViewError::Unknown(name) => AnswerError::UnknownView(name),
        ViewError::Unsupported => AnswerError::Selector(error.to_string()),
        ViewError::Limit(name) => AnswerError::Limit(name.to_owned()),
        other => AnswerError::Unavailable(other.to_string()),
    }
}

/// The answer to a command that cannot be carried out at all.
pub(super) fn refused(command: &Command, why: &str) -> Reply {
    let why = || why.to_owned();
    match command {
        Command::Answer { .. } | Command::Locate { .. } => {
            Reply::Answer(Err(AnswerError::Unavailable(why())))
        }
        Command::Read { .. } => Reply::Read(Err(why())),
        Command::Define(_) => Reply::Defined(Err(PutRefusal::Local(why()))),
        Command::Put(..) => Reply::Put(Err(PutRefusal::Local(why()))),
        Command::Fork(_) => Reply::Forked(Err(PutRefusal::Local(why()))),
        _ => Reply::Synced(Err(why())),
    }
}
