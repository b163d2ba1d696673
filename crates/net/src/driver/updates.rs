//! What came of one question, on its way to who asked it.
//!
//! A live question is answered again and again, and who asked it may be slow. Statements that wait one behind the other are therefore made one: a
//! later one takes the place of what was said before of the feeds that it names. So what waits is bounded by the feeds of the session, and the ranges
//! that it may name, however much the peer says.

use super::handle::Update;
use crate::error::AskError;
use kappadb_core::FeedKey;
use kappadb_sync::{Coverage, Rest, Stats, Words};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A new way from a session's task to who asks.
pub(super) fn updates() -> (Updates, Inbox) {
    let queue = Arc::<Queue>::default();
    (Updates(queue.clone()), Inbox(queue))
}

/// Where updates go. When it is dropped no more come.
#[derive(Debug)]
pub(super) struct Updates(Arc<Queue>);

/// Where they come from.
#[derive(Debug)]
pub(super) struct Inbox(Arc<Queue>);

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    over: bool,
}

#[derive(Debug)]
enum Waiting {
    Stated { of: BTreeMap<FeedKey, Coverage>, rest: Rest, words: Words, stats: Stats, token: Option<Vec<u8>> },
    Other(Result<Update, AskError>),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Updates {
    pub fn send(&self, update: Result<Update, AskError>) {
        let mut state = self.0.lock();
        match (update, state.waiting.back_mut()) {
            (
                Ok(Update::Stated { statement, rest, words, stats, token }),
                Some(Waiting::Stated { of, rest: last, words: all, stats: sum, token: kept }),
            ) => {
                of.extend(by_feed(statement));
                *sum = sum.and(&stats);
                *all = all.and(&words);
                (*last, *kept) = (rest, token);
            }
            (Ok(Update::Stated { statement, rest, words, stats, token }), _) => {
                let of = by_feed(statement).collect();
                state.waiting.push_back(Waiting::Stated { of, rest, words, stats, token });
            }
            (other, _) => state.waiting.push_back(Waiting::Other(other)),
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

fn by_feed(statement: Vec<Coverage>) -> impl Iterator<Item = (FeedKey, Coverage)> {
    statement.into_iter().map(|coverage| (coverage.definition.feed, coverage))
}

impl Drop for Updates {
    fn drop(&mut self) {
        self.0.lock().over = true;
        self.0.changed.notify_one();
    }
}

impl Inbox {
    /// The next one; none once all were taken and no more come. Dropping the wait loses nothing.
    pub async fn next(&mut self) -> Option<Result<Update, AskError>> {
        loop {
            {
                let mut state = self.0.lock();
                match state.waiting.pop_front() {
                    Some(Waiting::Other(update)) => return Some(update),
                    Some(Waiting::Stated { of, rest, words, stats, token }) => {
                        let statement = of.into_values().collect();
                        return Some(Ok(Update::Stated { statement, rest, words, stats, token }));
                    }
                    None if state.over => return None,
                    None => {}
                }
            }
            self.0.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kappadb_core::{DatabaseId, FeedDefinition, SecretKey, Timestamp};

    fn stated(feed: u8, claimed: u64, token: u8) -> Result<Update, AskError> {
        let key = SecretKey::from_seed(&[feed; 32]);
        let definition = FeedDefinition::sign(&DatabaseId([0; 32]), &key, Timestamp(0), None);
        let statement = vec![Coverage { definition, claimed, length: claimed, at: 0, root: [0; 16] }];
        let stats = Stats { blocks_stored: 1, ..Stats::default() };
        let words = Words::of(FeedKey([feed; 32]));
        Ok(Update::Stated { statement, rest: Rest::default(), words, stats, token: Some(vec![token]) })
    }

    #[tokio::test]
    async fn statements_that_nobody_takes_become_one_and_say_what_was_said_last_of_each_feed() {
        let (updates, mut inbox) = updates();
        for n in 0..3_000 {
            (0..3u8).for_each(|feed| updates.send(stated(feed, n, feed)));
        }
        assert_eq!(updates.0.lock().waiting.len(), 1);
        drop(updates);
        let Some(Ok(Update::Stated { statement, words, stats, token, .. })) = inbox.next().await else {
            panic!()
        };
        assert_eq!(words.list().len(), 3, "on the word of all");
        let claimed: Vec<u64> = statement.iter().map(|coverage| coverage.claimed).collect();
        assert_eq!((claimed, stats.blocks_stored), (vec![2_999; 3], 9_000));
        assert_eq!(token, Some(vec![2]));
        assert!(inbox.next().await.is_none());
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_what_comes_and_by_the_end() {
        let (updates, mut inbox) = updates();
        let waits = tokio::spawn(async move { (inbox.next().await.is_some(), inbox.next().await.is_none()) });
        tokio::task::yield_now().await;
        updates.send(stated(1, 1, 1));
        tokio::task::yield_now().await;
        drop(updates);
        assert_eq!(waits.await.unwrap(), (true, true));
    }
}
