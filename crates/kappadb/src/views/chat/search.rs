//! Finding messages by words, among those held here, and by author.

use super::read::Shower;
use super::{ChatError, ChatPage};
use crate::views::chat::ChatParts;
use kappadb_chat::Channel;
use kappadb_view_chat::{Search, Terms};

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

pub(super) fn chat_search(
    parts: &ChatParts,
    terms: &Terms,
    channel: Option<&Channel>,
    options: &SearchOptions,
) -> Result<ChatPage, ChatError> {
    let (mut shower, mut page) = (Shower::new(parts)?, ChatPage::default());
    let (channel, to) = (channel.map(|channel| &channel.folded[..]), parts.clock.now());
    let most = options.limit.unwrap_or(usize::MAX);
    let mut search = Search { terms, channel, to, after: None, limit: most.min(CHUNK) };
    while page.messages.len() < most {
        let rows = parts.chat.read(|index| index.search(&search))??;
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
