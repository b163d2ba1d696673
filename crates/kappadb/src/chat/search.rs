//! Finding messages by words, among those held here, and by author.

use super::read::Shower;
use super::{Chat, ChatError, ChatPage};
use crate::chat::index::Row;
use crate::database::Parts;
use kappadb_chat::{Channel, words};
use kappadb_core::{EntryId, FeedKey};
use std::cmp::Reverse;
use std::collections::BTreeMap;

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
    /// begin so. Case does not matter.
    pub async fn search(&self, query: &str, options: &SearchOptions) -> Result<ChatPage, ChatError> {
        let channel = options.channel.as_deref().map(Channel::new).transpose()?;
        let (query, options) = (query.to_owned(), options.clone());
        self.run(move |parts| {
            parts.chat.ready()?;
            let mut rows = parts.chat_find(&query)?;
            rows.retain(|row| channel.as_ref().is_none_or(|channel| channel.folded == row.channel));
            parts.chat_show(&rows, options.limit, options.hidden)
        })
        .await?
    }

    /// The latest messages of a writer, in all channels.
    pub async fn by_author(&self, author: FeedKey, limit: usize) -> Result<ChatPage, ChatError> {
        self.run(move |parts| {
            parts.chat.ready()?;
            let rows = parts.chat.read(|index| index.by_author(&author, limit))??;
            parts.chat_show(&rows, Some(limit), true)
        })
        .await?
    }
}

impl Parts {
    /// All messages that have all words, the latest first.
    fn chat_find(&self, query: &str) -> Result<Vec<Row>, ChatError> {
        let mut found: Option<BTreeMap<EntryId, Row>> = None;
        for part in query.split_whitespace() {
            for word in words(part) {
                let prefix = part.ends_with('*');
                let rows = self.chat.read(|index| index.search(&word, prefix))??;
                let rows = rows.into_iter().map(|row| (row.id, row));
                found = Some(match found {
                    None => rows.collect(),
                    Some(before) => rows.filter(|(id, _)| before.contains_key(id)).collect(),
                });
            }
        }
        let mut rows: Vec<Row> = found.unwrap_or_default().into_values().collect();
        rows.sort_by_key(|row| Reverse((row.order, row.id)));
        rows.retain(|row| row.order <= self.clock.now());
        Ok(rows)
    }

    fn chat_show(&self, rows: &[Row], limit: Option<usize>, hidden: bool) -> Result<ChatPage, ChatError> {
        let (mut shower, mut page) = (Shower::new(self)?, ChatPage::default());
        for row in rows {
            if limit.is_some_and(|limit| page.messages.len() >= limit) {
                break;
            }
            let message = shower.message(row)?;
            // Where the text was cleared since, there is nothing that could have been found.
            if (hidden || message.hidden.is_none()) && message.said.text().is_some() {
                page.messages.push(message);
            }
        }
        Ok(page)
    }
}
