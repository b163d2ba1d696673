//! Chat: messages in channels, and what is said of channels and writers.

mod ask;
mod authors;
mod correspondence;
mod edit;
mod erase;
mod error;
mod export;
mod import;
mod lanes;
mod lines;
mod markers;
mod message;
mod moderate;
mod pins;
mod post;
mod private;
mod read;
mod recent;
mod search;
mod state;
pub(crate) mod trust;
mod unread;
mod watch;

pub use edit::{ChatEdition, PostOptions};
pub use error::ChatError;
pub use export::{ChatExport, ChatLeftOut, ChatLine};
pub use import::ChatImportReport;
pub use kappadb_chat::{SayError, visible, visible_json, visible_name};
pub use lines::BadLine;
pub(crate) use markers::Markers;
pub use message::{
    ChannelInfo, ChatCursor, ChatCursorError, ChatPage, Edited, Hidden, MAX_AHEAD, Member, Message,
    ReadOptions, Said, Topic,
};
pub use moderate::{ChatFlag, FlagChange, FlagsSet};
pub(crate) use pins::Pins;
pub use pins::{KnownAs, Pin};
pub(crate) use recent::Recent;
pub use search::SearchOptions;
pub(crate) use trust::TrustFile;
pub use trust::Trusted;
pub use unread::{Conversation, Marks, Unread};
pub use watch::{ChatAsker, ChatChange, ChatWatcher, WatchOptions};

use crate::database::{self, Parts};
use crate::error::{ReadError, WriteError};
use std::sync::Arc;

/// Chat: channels that everybody may post to, by order time. A channel is there once somebody has posted to it or joined it;
/// names compare without case.
///
/// All methods but `ask_*` answer from what is held here. What moderation hides is decided when something is read, by those
/// whom this replica trusts: [`Chat::set_trusted`].
///
/// ```
/// use kappadb::{Database, ReadOptions};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let database = Database::builder(dir.path()).create().await?;
/// let chat = database.chat();
/// chat.set_profile("nick", "anna").await?;
/// chat.post("Tea", "First flush is in.").await?;
///
/// let page = chat.read("tea", &ReadOptions::latest(50)).await?;
/// assert_eq!(page.messages[0].nick.as_deref(), Some("anna"));
/// assert_eq!(page.messages[0].said.text(), Some("First flush is in."));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Chat {
    parts: Arc<Parts>,
}

impl Chat {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Chat { parts }
    }

    async fn run_writing<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Parts) -> T + Send + 'static,
    ) -> Result<T, WriteError> {
        database::run_writing(&self.parts, job).await
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Parts) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        database::run(&self.parts, job).await
    }
}
