//! Chat: messages in channels, and what is said of channels and writers.

mod ask;
mod authors;
mod correspondence;
mod edit;
mod erase;
mod error;
mod export;
mod follow;
mod import;
mod lanes;
mod lines;
mod message;
mod messages;
mod moderate;
mod opened;
mod part;
mod people;
mod pins;
mod post;
mod private;
mod read;
mod reading;
mod recent;
mod saying;
mod search;
mod state;
mod unread;
mod watch;

use crate::engine;
use crate::error::{OpenError, ReadError, WriteError};
use crate::folder::markers::Markers;
pub use crate::folder::pins::Pin;
use crate::folder::pins::Pins;
use crate::network::{Handle, Neighbours, Read, Told};
use crate::views::Parts;
use crate::write;
pub use edit::{ChatEdition, PostOptions};
pub use error::ChatError;
pub use export::{ChatExport, ChatLeftOut, ChatLine};
use futures::future::BoxFuture;
pub use import::ChatImportReport;
pub use kappadb_chat::{SayError, visible, visible_json, visible_name};
use kappadb_view::ViewHandle;
use kappadb_view_chat::ChatView;
pub use lines::BadLine;
pub use message::{
    ChannelInfo, ChatCursor, ChatCursorError, ChatPage, Edited, Hidden, MAX_AHEAD, Member, Message,
    ReadOptions, Said, Topic,
};
pub use messages::ChatMessages;
pub use moderate::{ChatFlag, FlagChange, FlagsSet};
pub(crate) use opened::OpenChat;
pub use pins::KnownAs;
use recent::Recent;
pub use search::SearchOptions;
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
pub use unread::{Conversation, Marks, Unread};
pub use watch::{ChatAsker, ChatChange, ChatWatcher, WatchOptions};

/// Asking peers, on its way.
type Asking<'a> = BoxFuture<'a, Result<(), ChatError>>;

/// Chat: channels that everybody may post to, by order time. A channel is there once somebody has posted to it or joined it;
/// names compare without case.
///
/// A question is answered from what is held here, or once the peers were asked for what it needs ([`Read::from`]); names, topic and flags come with
/// whatever is asked: what a page of messages cannot be shown without. What moderation hides is decided when something is read, by those
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
    parts: Arc<ChatParts>,
}

/// What a handle of chat is made of.
#[derive(Clone)]
pub(crate) struct ChatParts {
    pub chat: ViewHandle<ChatView>,
    pub state: Arc<ChatState>,
    /// The last to go.
    pub handle: Handle,
}

impl fmt::Debug for ChatParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChatParts").field(&self.handle).finish()
    }
}

impl Deref for ChatParts {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

/// What this replica keeps of chat for itself, whoever reads.
pub(crate) struct ChatState {
    /// How far each channel was read.
    pub markers: Markers,
    /// Whom names stand for here.
    pub pins: Pins,
    /// What was read lately.
    pub recent: Recent,
}

impl ChatState {
    /// As it lies in a folder.
    fn load(dir: &Path) -> Result<ChatState, OpenError> {
        Ok(ChatState { markers: Markers::load(dir)?, pins: Pins::load(dir)?, recent: Recent::default() })
    }
}

impl fmt::Debug for ChatState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChatState")
    }
}

impl Chat {
    pub(crate) fn new(parts: &Parts) -> Self {
        Chat { parts: Arc::new(parts.built_ins.chat.parts(parts.handle.clone())) }
    }

    async fn run_writing<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ChatParts) -> T + Send + 'static,
    ) -> Result<T, WriteError> {
        write::run_writing(&self.parts, job).await
    }

    /// A question that `ask` asks for and `look` answers.
    fn question<T: Told + Send + 'static>(
        &self,
        ask: impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send + 'static,
        look: impl FnOnce(&ChatParts) -> Result<T, ChatError> + Send + 'static,
    ) -> Read<T, ChatError> {
        Read::new(&self.parts, with(self.clone(), ask), move |parts| {
            parts.chat.ready()?;
            look(parts)
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ChatParts) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        engine::run(&self.parts, job).await
    }
}

/// Asks with a handle of its own.
fn with(
    chat: Chat,
    ask: impl for<'a> FnOnce(&'a Chat, &'a mut Neighbours) -> Asking<'a> + Send + 'static,
) -> impl for<'a> FnOnce(&'a mut Neighbours) -> Asking<'a> + Send + 'static {
    move |neighbours| Box::pin(async move { ask(&chat, neighbours).await })
}
