//! What chat is asked: messages, what is unread, what happens.

use super::edit::{chat_edition, chat_found};
use super::read::Shower;
use super::search::chat_search;
use super::unread::{chat_mark, chat_place, chat_unread, mark_shown};
use super::{
    Chat, ChatAsker, ChatEdition, ChatError, ChatExport, ChatMessages, ChatPage, ChatWatcher, Marks,
    ReadOptions, SearchOptions, Unread, WatchOptions, ask, watch,
};
use crate::network::{Answer, Read};
use kappadb_chat::Channel;
use kappadb_core::{EntryId, FeedKey};
use kappadb_query::Selector;
use kappadb_view_chat::{Ask, Place, Terms};

impl Chat {
    /// A page of a channel: by order time, then feed, then seq. What is deleted, not yet due, or hidden
    /// by moderation is left out, outside the limit; [`ChatPage::ahead`] counts what is not due. Paging with `after` neither skips nor repeats a message that stays,
    /// whatever comes in meanwhile.
    ///
    /// # Errors
    /// [`ChatError::Model`] if it cannot be the name of a channel. One that nobody knows is empty: [`Chat::exists`].
    ///
    /// Peers are asked for no more than they take to be within the limit, and what it takes to be sure of that.
    pub fn read(&self, channel: &str, options: &ReadOptions) -> Read<ChatPage, ChatError> {
        let (name, asked, wished) = (channel.to_owned(), channel.to_owned(), options.clone());
        let options = options.clone();
        let ask = ask::page(asked, wished);
        self.question(ask, move |parts| parts.chat_page(&Channel::new(&name)?, &options))
    }

    /// The messages of a channel, as [`Chat::read`] gives them, one after the other: for what may be too many for memory.
    pub fn messages(&self, channel: &str, options: &ReadOptions) -> Read<ChatMessages, ChatError> {
        let (parts, name, options) = (self.parts.clone(), channel.to_owned(), options.clone());
        self.question(ask::page(channel.to_owned(), options.clone()), move |_| {
            let channel = Channel::new(&name)?;
            ChatMessages::new(&parts, options, move |parts, options| parts.chat_page(&channel, options))
        })
    }

    /// Messages that have all words of `query`, the latest first, among those held here; `word*` stands for all words that
    /// begin so. Words are those of Unicode (UAX 29) of up to 64 bytes; case does not matter.
    /// Peers are asked for all that is looked through: all of a channel, or of all.
    pub fn search(&self, query: &str, options: &SearchOptions) -> Read<ChatPage, ChatError> {
        let (terms, options) = (Terms::parse(query), options.clone());
        self.question(ask::searched(options.channel.clone()), move |parts| {
            let channel = options.channel.as_deref().map(Channel::new).transpose()?;
            chat_search(parts, &terms, channel.as_ref(), &options)
        })
    }

    /// The latest messages of a writer, in all channels, hidden or not; none of whom is blocked.
    pub fn by_author(&self, author: FeedKey, limit: usize) -> Read<ChatPage, ChatError> {
        self.question(ask::one(Ask::Author(author).selector()), move |parts| {
            let now = parts.clock.now();
            let rows = parts.chat.read(|index| index.by_author(&author, now, limit))??;
            let (mut shower, mut page) = (Shower::new(parts)?, ChatPage::default());
            for row in rows {
                let message = shower.message(&row.channel, row.place)?;
                page.messages.extend(Some(message).filter(|message| message.is_for(true)));
            }
            Ok(page)
        })
    }

    /// Private messages to and from this writer, with one other feed or with all, as [`Chat::read`] gives those of a channel.
    ///
    /// Peers are asked for all of them, whatever the limit. A peer that is asked can tell which private messages among those that it holds are to or
    /// from this writer, but not what they say.
    pub fn private(&self, with: Option<FeedKey>, options: &ReadOptions) -> Read<ChatPage, ChatError> {
        let options = options.clone();
        self.question(ask::lanes(with, options.clone()), move |parts| parts.private(with, &options))
    }

    /// Private messages, as [`Chat::private`] gives them, one after the other.
    pub fn private_messages(
        &self,
        with: Option<FeedKey>,
        options: &ReadOptions,
    ) -> Read<ChatMessages, ChatError> {
        let (parts, options) = (self.parts.clone(), options.clone());
        self.question(ask::lanes(with, options.clone()), move |_| {
            ChatMessages::new(&parts, options, move |parts, options| parts.private(with, options))
        })
    }

    /// All that a message said, from the first on, as far as it is held here.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if it is no message that is held here, or was deleted.
    pub fn history(&self, id: EntryId) -> Read<Answer<ChatEdition>, ChatError> {
        self.question(ask::message(id), move |parts| {
            let (channel, place) = chat_found(parts, id)?;
            let edits = parts.chat.read(|index| index.edits(&channel, &place))??;
            let editions = std::iter::once(id).chain(edits).map(|id| chat_edition(parts, id));
            Ok(Answer::of(editions.collect::<Result<Vec<_>, _>>()?))
        })
    }

    /// For each channel that this writer is in, and each feed that wrote to it privately, how many messages by others came that were not marked as
    /// read, and how many of them mention this writer's nickname. Those without any are left out.
    pub fn unread(&self) -> Read<Answer<Unread>, ChatError> {
        self.question(ask::unread(), |parts| Ok(Answer::of(chat_unread(parts)?)))
    }

    /// Marks a channel as read up to a message in reading order, by default all that is due. What comes later is unread, wherever it stands.
    /// It is this replica's own business. Durable when it returns.
    ///
    /// # Errors
    /// [`ChatError::NotThere`] if there is no such message in the channel.
    pub async fn mark_read(&self, channel: &str, up_to: Option<EntryId>) -> Result<(), ChatError> {
        let channel = Channel::new(channel)?;
        self.run(move |parts| {
            parts.chat.ready()?;
            let now = parts.clock.now();
            let last = up_to.map(|id| chat_place(parts, &channel.folded, id)).transpose()?;
            let read = |place: &Place| last.map_or(place.order <= now, |last| *place <= last);
            chat_mark(parts, [channel.folded], |_, place| read(place))
        })
        .await?
    }

    /// Marks these messages as read, and no others. Durable when it returns.
    pub async fn mark_shown(&self, marks: Marks) -> Result<(), ChatError> {
        self.run(move |parts| mark_shown(parts, marks)).await?
    }

    /// Watches channels, private messages, or all. First some of the latest messages of each come, the oldest of them first; then each that comes,
    /// be it posted here or fetched, late or not, or because its time has come; each that goes; and each of the thousand latest that is shown
    /// otherwise than before. What comes is what comes after this returns: it waits until all that is held is indexed. Nothing is left
    /// out without a [`ChatChange::Lagged`](crate::ChatChange::Lagged). It costs nothing while nothing happens.
    ///
    /// # Errors
    /// [`ChatError::Model`] if one cannot be the name of a channel.
    pub async fn watch(&self, options: &WatchOptions) -> Result<ChatWatcher, ChatError> {
        watch::begin(self, options).await
    }

    /// Asks, with the words of a watcher, again and again.
    pub fn asker(&self, options: &WatchOptions) -> ChatAsker {
        ChatAsker::new(self.clone(), options.clone())
    }

    /// All that is held here of chat and was not taken back: messages by order time, then what is said of channels and writers, what is replaced before
    /// what replaces it, then the deletes. Also what moderation hides, what is not due, and what is private and can be read by this writer or an
    /// author whose feed an import made here.
    pub fn export(&self) -> Read<ChatExport, ChatError> {
        let parts = self.parts.clone();
        self.question(ask::one(Selector::Everything), move |_| ChatExport::new(parts))
    }
}
