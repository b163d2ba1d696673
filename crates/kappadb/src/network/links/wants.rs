//! What is followed here, and which of it is asked of peers: fifty who watch one channel cost one question, and what another question covers costs none.

use crate::network::follow::Follow;
use kappadb_node::FollowId;
use std::collections::BTreeMap;

/// Somebody who follows something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Holder(u64);

/// What all of them follow.
#[derive(Default)]
pub(super) struct Wants {
    holders: BTreeMap<Holder, FollowId>,
    questions: BTreeMap<FollowId, Wanted>,
    next: u64,
}

struct Wanted {
    follow: Follow,
    holders: usize,
    /// Asked of peers; else another one that is covers it.
    asked: bool,
    /// A peer did not answer it, and may answer less: it covers nothing.
    refused: bool,
}

/// What is to be asked from now on, and what not any more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    pub ask: Vec<FollowId>,
    pub leave: Option<FollowId>,
}

impl Wants {
    /// A question that is asked of peers.
    pub fn get(&self, id: FollowId) -> Option<&Follow> {
        self.questions.get(&id).map(|wanted| &wanted.follow)
    }

    /// Somebody follows this from now on.
    pub fn add(&mut self, follow: Follow) -> (Holder, Turn) {
        let holder = Holder(self.next);
        self.next += 1;
        let same = self.questions.iter_mut().find(|(_, wanted)| wanted.follow.is_same(&follow));
        if let Some((id, wanted)) = same {
            wanted.holders += 1;
            self.holders.insert(holder, *id);
            return (holder, Turn::default());
        }
        let (id, asked) = (FollowId(holder.0), !self.is_covered(&follow));
        self.questions.insert(id, Wanted { follow, holders: 1, asked, refused: false });
        self.holders.insert(holder, id);
        (holder, Turn { ask: Vec::from_iter(asked.then_some(id)), leave: None })
    }

    /// Somebody follows it no more.
    pub fn remove(&mut self, holder: Holder) -> Turn {
        let Some(id) = self.holders.remove(&holder) else { return Turn::default() };
        let Some(wanted) = self.questions.get_mut(&id) else { return Turn::default() };
        wanted.holders -= 1;
        if wanted.holders > 0 {
            return Turn::default();
        }
        let asked = self.questions.remove(&id).is_some_and(|wanted| wanted.asked);
        Turn { ask: self.uncover(), leave: asked.then_some(id) }
    }

    /// A peer does not answer a question: what that covers is asked by itself.
    pub fn refuse(&mut self, id: FollowId) -> Vec<FollowId> {
        if let Some(wanted) = self.questions.get_mut(&id) {
            wanted.refused = true;
        }
        self.uncover()
    }

    /// Those that nothing covers any more.
    fn uncover(&mut self) -> Vec<FollowId> {
        let mut ask = Vec::new();
        let hidden: Vec<FollowId> =
            self.questions.iter().filter(|(_, wanted)| !wanted.asked).map(|(id, _)| *id).collect();
        for id in hidden {
            let Some(follow) = self.get(id).cloned() else { continue };
            if !self.is_covered(&follow)
                && let Some(wanted) = self.questions.get_mut(&id)
            {
                wanted.asked = true;
                // What covered it has brought all that there was, but perhaps not the last.
                wanted.follow.from_now = false;
                ask.push(id);
            }
        }
        ask
    }

    fn is_covered(&self, follow: &Follow) -> bool {
        self.questions.values().any(|wanted| wanted.asked && !wanted.refused && wanted.follow.covers(follow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::ask::{FEEDS, KV};
    use kappadb_query::Selector;

    fn prefix(text: &str) -> Follow {
        Follow::matching(KV, Selector::Prefix(text.as_bytes().to_vec()))
    }

    fn asked(wants: &Wants) -> usize {
        wants.questions.values().filter(|wanted| wanted.asked).count()
    }

    #[test]
    fn fifty_who_follow_the_same_are_one_question_until_the_last_has_left() {
        let mut wants = Wants::default();
        let (first, turn) = wants.add(prefix("a").news_only());
        assert_eq!(turn.ask.len(), 1);
        let mut others: Vec<Holder> = Vec::new();
        for _ in 1..50 {
            let (holder, turn) = wants.add(prefix("a").news_only());
            assert_eq!(turn, Turn::default());
            others.push(holder);
        }
        assert_eq!(wants.remove(first), Turn::default());
        let last = others.pop().unwrap();
        others.into_iter().for_each(|holder| assert_eq!(wants.remove(holder), Turn::default()));
        assert!(wants.remove(last).leave.is_some() && wants.questions.is_empty());
    }

    #[test]
    fn what_another_question_covers_is_asked_once_that_is_gone_and_from_the_beginning() {
        let mut wants = Wants::default();
        let (all, _) = wants.add(Follow::matching(FEEDS, Selector::Everything));
        let (wide, turn) = wants.add(prefix("a"));
        assert_eq!(turn, Turn::default());
        let (narrow, _) = wants.add(prefix("ab").news_only());
        assert_eq!(asked(&wants), 1);
        let turn = wants.remove(all);
        assert_eq!(
            (turn.ask.len(), turn.leave.is_some(), asked(&wants)),
            (1, true, 1),
            "the wide one covers the narrow"
        );
        let turn = wants.remove(wide);
        let left = wants.get(turn.ask[0]).unwrap();
        assert!(left.is_same(&prefix("ab")));
        assert!(wants.remove(narrow).leave.is_some());
        assert!(wants.questions.is_empty() && wants.holders.is_empty());
    }

    #[test]
    fn what_a_peer_does_not_answer_hides_nothing_from_it() {
        let mut wants = Wants::default();
        let (_, turn) = wants.add(Follow::matching(FEEDS, Selector::Everything));
        let _ = wants.add(prefix("a"));
        assert_eq!(asked(&wants), 1);
        assert_eq!((wants.refuse(turn.ask[0]).len(), asked(&wants)), (1, 2));
        assert_eq!(wants.add(prefix("b")).1.ask.len(), 1);
    }

    #[test]
    fn what_follows_only_news_covers_nothing_but_the_same() {
        let mut wants = Wants::default();
        let _ = wants.add(prefix("").news_only());
        for other in [prefix("a").news_only(), prefix("a"), prefix("")] {
            assert_eq!(wants.add(other).1.ask.len(), 1);
        }
    }
}
