//! Asking the peers for what a watcher tells, again and again.

use super::WatchOptions;
use crate::network::{Asked, Neighbours};
use crate::views::chat::ask::ask_lately;
use crate::views::chat::lanes::ask_lanes;
use crate::views::chat::{Chat, ChatError, ReadOptions};
use kappadb_core::Timestamp;
use kappadb_view_chat::{Ask, Lately};
use std::sync::{Mutex, PoisonError};

/// What is asked for again lies so far back, in milliseconds, for clocks that differ.
const OVERLAP: i64 = 60_000;
/// Messages that are asked for of a channel.
const NEWS: u32 = 1_000;

/// Asks for what a watcher with the same words tells: first for what it begins with, later for what came to the peers since all of them
/// answered last. It is one question for all channels, or one for each hundred of those that are named, and some for private messages.
#[derive(Debug)]
pub struct ChatAsker {
    chat: Chat,
    options: WatchOptions,
    /// When all answered that was asked last.
    since: Mutex<Option<Timestamp>>,
}

impl ChatAsker {
    pub(in crate::views::chat) fn new(chat: Chat, options: WatchOptions) -> ChatAsker {
        ChatAsker { chat, options, since: Mutex::default() }
    }

    /// Asks the peers once.
    ///
    /// # Errors
    /// [`ChatError::Model`] if one cannot be the name of a channel.
    pub async fn ask(&self) -> Result<Asked, ChatError> {
        let now = self.chat.parts.clock.now();
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let mut neighbours = Neighbours::dial(&self.chat.parts).await;
        let options = self.options.clone();
        ask_lately(&self.chat, &mut neighbours, move |late| questions(&options, since, now, late)).await?;
        if self.options.private {
            ask_lanes(&self.chat, &mut neighbours, None, &ReadOptions::default()).await?;
        }
        let asked = neighbours.finish().await?;
        if asked.failures.is_empty() {
            *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        Ok(asked)
    }
}

/// What a watcher with these words asks; `late` is how many that came late are wanted of each channel.
fn questions(
    options: &WatchOptions,
    since: Option<Timestamp>,
    now: Timestamp,
    late: u32,
) -> Result<Vec<Ask>, ChatError> {
    let past = u32::try_from(options.past).unwrap_or(u32::MAX);
    let wanted = |channel: String| match since {
        // Of what is dated before, what came late is among the last that came.
        Some(since) => Lately { channel, from: since.0.saturating_sub(OVERLAP), limit: NEWS, late },
        None => Lately { channel, from: i64::MIN, limit: past.max(1), late: 0 },
    };
    let Some(named) = options.named()? else {
        let others = Some(wanted(String::new()));
        return Ok(vec![Ask::Lately { channels: Vec::new(), others, to: now.0 }]);
    };
    let some = named.chunks(Ask::MAX_CHANNELS).map(|channels| {
        let channels = channels.iter().map(|channel| wanted(channel.folded.clone())).collect();
        Ask::Lately { channels, others: None, to: now.0 }
    });
    Ok(some.collect())
}
