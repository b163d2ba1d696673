//! Messages as a stream.

use super::{ChatCursor, ChatError, ChatPage, Message, ReadOptions};
use crate::engine;
use crate::network::{Asked, Completeness, Told};
use crate::views::boxed::Boxed;
use crate::views::chat::ChatParts;
use futures::{Stream, stream};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Messages read at a time.
const PAGE: usize = 256;

/// Messages, one after the other. Some hundred are in memory at a time. It ends with the first error; dropping it ends it and nothing else.
#[must_use = "it says how complete it is"]
#[derive(Debug)]
pub struct ChatMessages {
    /// Messages that are not due: [`ChatPage::ahead`].
    pub ahead: usize,
    /// How much of what there is it has.
    pub completeness: Completeness,
    /// What asking took, and who did not answer. Nothing if nobody was asked.
    pub asked: Asked,
    ready: VecDeque<Message>,
    next: Option<ChatCursor>,
    pages: Boxed<Result<ChatPage, ChatError>>,
}

impl ChatMessages {
    pub(super) fn new(
        parts: &Arc<ChatParts>,
        options: ReadOptions,
        read: impl Fn(&ChatParts, &ReadOptions) -> Result<ChatPage, ChatError> + Send + Sync + 'static,
    ) -> Result<ChatMessages, ChatError> {
        let first = read(parts, &page_of(&options))?;
        let left = beyond(options, &first);
        let state = (parts.clone(), Arc::new(read), left);
        let pages = stream::try_unfold(state, |(parts, read, left)| async move {
            let Some(options) = left else { return Ok(None) };
            let (reader, wanted) = (read.clone(), page_of(&options));
            let page = engine::run(&parts, move |parts| reader(parts, &wanted)).await??;
            let left = beyond(options, &page);
            Ok::<_, ChatError>(Some((page, (parts, read, left))))
        });
        let ChatPage { messages, next, ahead, completeness, asked } = first;
        Ok(ChatMessages {
            ahead,
            completeness,
            asked,
            ready: messages.into(),
            next,
            pages: Boxed::new(pages),
        })
    }

    /// The next message; none at the end. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<Message, ChatError>> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Once it is at its end, where to go on; none if there is no more.
    pub fn rest(&self) -> Option<ChatCursor> {
        self.next
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, ChatError>>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            match ready!(self.pages.poll(context)) {
                Some(Ok(page)) => (self.ready, self.next) = (page.messages.into(), page.next),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// The first page of what is wanted.
fn page_of(options: &ReadOptions) -> ReadOptions {
    ReadOptions { limit: Some(options.limit.map_or(PAGE, |limit| limit.min(PAGE))), ..options.clone() }
}

/// What is wanted beyond a page of it, if there is anything.
fn beyond(options: ReadOptions, page: &ChatPage) -> Option<ReadOptions> {
    let limit = options.limit.map(|limit| limit.saturating_sub(page.messages.len()));
    let after = page.next.filter(|_| limit != Some(0))?;
    Some(ReadOptions { limit, after: Some(after), ..options })
}

impl Stream for ChatMessages {
    type Item = Result<Message, ChatError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(context)
    }
}

impl Told for ChatMessages {
    fn tell(&mut self, asked: Asked) {
        self.completeness = asked.completeness();
        self.asked = asked;
    }
}
