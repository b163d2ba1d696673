//! Finding messages by words, among those held here, and by author.

use super::ask;
use super::read::Shower;
use super::{Chat, ChatError, ChatPage};
use crate::network::Read;
use crate::views::chat::ChatParts;
use kappadb_chat::Channel;
use kappadb_core::FeedKey;
use kappadb_view_chat::{Ask, Search, Terms};

/// Messages looked up at a time.
const CHUNK: usize = 64;

/// Where to search, and how far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchOptions {
    /// Only in this channel. Default: in all.
    pub channel: Option<String>,
    /// At most this many. Default: all.
    pub limit: Option<usize>,
    /// Give what moderation hides, too, marked. Default: leave it out, outside the limit.
    pub hidden: bool,
}

impl Chat {
    /// Messages that have all words of `query`, the latest first, among those held here; `word*` stands for all words that
    /// begin so. Words are those of Unicode (UAX 29) of up to 64 bytes; case does not matter.
    /// Peers are asked for all that is looked through: all of a channel, or of all.
    pub fn search(&self, query: &str, options: &SearchOptions) -> Read<ChatPage, ChatError> {
        let (terms, options) = (Terms::parse(query), options.clone());
        self.question(ask::searched(options.channel.clone()), move |parts| {
            let channel = options.channel.as_deref().map(Channel::new).transpose()?;
            parts.chat_search(&terms, channel.as_ref(), &options)
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
}

impl ChatParts {
    fn chat_search(
        &self,
        terms: &Terms,
        channel: Option<&Channel>,
        options: &SearchOptions,
    ) -> Result<ChatPage, ChatError> {
        let (mut shower, mut page) = (Shower::new(self)?, ChatPage::default());
        let (channel, to) = (channel.map(|channel| &channel.folded[..]), self.clock.now());
        let most = options.limit.unwrap_or(usize::MAX);
        let mut search = Search { terms, channel, to, after: None, limit: most.min(CHUNK) };
        while page.messages.len() < most {
            let rows = self.chat.read(|index| index.search(&search))??;
            search.after = rows.last().map(|row| row.place);
            for row in &rows {
                let message = shower.message(&row.channel, row.place)?;
                // Words are known of texts that were cleared since; and so are the words of what they were.
                let found = message.said.text().is_some_and(|text| terms.found_in(text));
                if found && message.is_for(options.hidden) {
                    page.messages.push(message);
                }
            }
            if rows.len() < search.limit {
                break;
            }
            search.limit = search.limit.saturating_mul(2);
        }
        page.messages.truncate(most);
        Ok(page)
    }
}
