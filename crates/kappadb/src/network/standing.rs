//! Live questions of peers: when something arrives, those whose questions it may matter to are told.

mod index;

use super::ask::{FEEDS, space_of_view};
use crate::engine::pool::Pool;
use index::Index;
use kappadb_core::limits::MAX_CALLERS;
use kappadb_core::{EntryId, FeedKey, Lseq, RangeSet};
use kappadb_entry::{Header, decode_block};
use kappadb_feed::{Arrival, Feeds};
use kappadb_net::Signal;
use kappadb_query::Selector;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Arrivals that are looked at at a time.
const LOOK: usize = 1_024;

/// All live questions of all peers.
pub(crate) struct Standing {
    state: Mutex<State>,
    /// How many questions there are: who writes looks at this alone, and waits for nobody.
    open: AtomicUsize,
    /// Somebody is looking at what arrived, or is about to.
    looking: AtomicBool,
    feeds: Feeds,
    pool: Arc<Pool>,
    /// A question came, or something has reached somebody.
    pub changed: Signal,
}

#[derive(Default)]
struct State {
    questions: BTreeMap<u64, Arc<Question>>,
    /// Which of them an entry may matter to.
    index: Index,
    next: u64,
    /// What arrived before this was looked at.
    seen: Lseq,
    /// What each peer has confirmed to hold since this replica was opened: of [`MAX_CALLERS`] of them, for identities cost nothing.
    reached: BTreeMap<FeedKey, Reached>,
    /// How often one did.
    confirmed: u64,
}

/// Blocks of feeds that are written here, which a peer holds.
#[derive(Default)]
struct Reached {
    blocks: BTreeMap<FeedKey, RangeSet>,
    /// When it said so last, by the count of all who did.
    last: u64,
}

struct Question {
    peer: FeedKey,
    view: String,
    selector: Selector,
    news: Arc<dyn Fn() + Send + Sync>,
}

/// A question that stands until this is dropped.
pub(crate) struct Stands {
    standing: Weak<Standing>,
    id: u64,
}

impl Standing {
    pub fn new(feeds: &Feeds, pool: &Arc<Pool>) -> Arc<Standing> {
        let standing = Arc::new(Standing {
            state: Mutex::default(),
            open: AtomicUsize::new(0),
            looking: AtomicBool::new(false),
            feeds: feeds.clone(),
            pool: pool.clone(),
            changed: Signal::default(),
        });
        let weak = Arc::downgrade(&standing);
        feeds.on_arrival(move || {
            if let Some(standing) = weak.upgrade() {
                standing.wake();
            }
        });
        standing
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `news` whenever something arrives that may matter to a question, until what this returns is dropped.
    pub fn add(
        self: &Arc<Self>,
        peer: FeedKey,
        view: &str,
        selector: &Selector,
        news: Box<dyn Fn() + Send + Sync>,
    ) -> Stands {
        let mut state = self.lock();
        // First: what arrives from now on wakes, and what arrived before lies before the end.
        if self.open.fetch_add(1, Ordering::SeqCst) == 0 {
            state.seen = self.feeds.end();
        }
        let id = state.next;
        state.next += 1;
        state.index.insert(id, view, selector);
        let (view, selector) = (view.to_owned(), selector.clone());
        state.questions.insert(id, Arc::new(Question { peer, view, selector, news: news.into() }));
        drop(state);
        self.changed.raise();
        Stands { standing: Arc::downgrade(self), id }
    }

    /// A peer holds these blocks of a feed that is written here.
    pub fn reached(&self, peer: FeedKey, feed: FeedKey, blocks: &RangeSet) {
        let mut state = self.lock();
        state.confirmed += 1;
        let last = state.confirmed;
        let reached = state.reached.entry(peer).or_default();
        reached.last = last;
        reached.blocks.entry(feed).or_default().union_with(blocks);
        if state.reached.len() > MAX_CALLERS {
            let oldest = state.reached.iter().min_by_key(|(_, reached)| reached.last).map(|(peer, _)| *peer);
            oldest.and_then(|peer| state.reached.remove(&peer));
        }
        drop(state);
        self.changed.raise();
    }

    /// The peers that have confirmed to hold an entry that was written here.
    pub fn holders(&self, id: &EntryId) -> BTreeSet<FeedKey> {
        let state = self.lock();
        let holds =
            |reached: &Reached| reached.blocks.get(&id.feed).is_some_and(|held| held.contains(id.seq));
        state.reached.iter().filter(|(_, reached)| holds(reached)).map(|(peer, _)| *peer).collect()
    }

    /// The peers that want an entry with this header, as far as they have asked live.
    pub fn wanted_by(&self, header: &Header) -> BTreeSet<FeedKey> {
        let header = [Some(header.clone())];
        self.concerned(&header).iter().map(|question| question.peer).collect()
    }

    /// Something arrived. On the thread that wrote it: quick.
    fn wake(self: &Arc<Self>) {
        if self.open.load(Ordering::SeqCst) == 0 || self.looking.swap(true, Ordering::AcqRel) {
            return;
        }
        let standing = Arc::downgrade(self);
        self.pool.start(move || {
            if let Some(standing) = standing.upgrade() {
                standing.look();
            }
        });
    }

    /// Looks at what arrived, and tells those to whom it may matter.
    fn look(&self) {
        loop {
            self.looking.store(false, Ordering::Release);
            let (seen, end) = (self.lock().seen, self.feeds.end());
            if seen >= end {
                return;
            }
            let Ok(arrivals) = self.feeds.arrivals(seen, LOOK) else { return };
            self.tell(&arrivals);
            let next = arrivals.last().map_or(end, |last| last.lseq + 1);
            let mut state = self.lock();
            state.seen = state.seen.max(next);
        }
    }

    fn tell(&self, arrivals: &[Arrival]) {
        let headers: Vec<Option<Header>> =
            arrivals.iter().map(|arrival| Some(decode_block(&arrival.block).ok()?.header)).collect();
        self.concerned(&headers).iter().for_each(|question| (question.news)());
    }

    /// The questions to which any of these entries may matter.
    fn concerned(&self, headers: &[Option<Header>]) -> Vec<Arc<Question>> {
        let mut near: Vec<Arc<Question>> = {
            let (state, mut found) = (self.lock(), BTreeSet::new());
            headers.iter().for_each(|header| state.index.find(header.as_ref(), &mut found));
            found.iter().filter_map(|id| state.questions.get(id)).cloned().collect()
        };
        near.retain(|question| {
            headers.iter().any(|header| concerns(&question.view, &question.selector, header.as_ref()))
        });
        near
    }
}

impl Drop for Stands {
    fn drop(&mut self) {
        if let Some(standing) = self.standing.upgrade() {
            let mut state = standing.lock();
            if let Some(question) = state.questions.remove(&self.id) {
                state.index.remove(self.id, &question.view, &question.selector);
            }
            drop(state);
            standing.open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// True if an arrival may matter to what a selector of a view matches. `header` is that of the entry; none if the block holds none.
fn concerns(view: &str, selector: &Selector, header: Option<&Header>) -> bool {
    if view == FEEDS {
        return true;
    }
    let Some(header) = header else { return false };
    // A view of somebody else may look at any space.
    let is_of = space_of_view(view).is_none_or(|space| header.kind.space == space);
    is_of && selector.needs(header)
}

/// True if what matches a selector is found by looking at each entry by itself: what came later is then just what matches of it.
pub(crate) fn is_plain(view: &str, selector: &Selector) -> bool {
    let by_itself = matches!(
        selector,
        Selector::Everything
            | Selector::Keys(_)
            | Selector::Prefix(_)
            | Selector::Range { .. }
            | Selector::Window { .. }
            | Selector::Boxes { .. }
            | Selector::Versions(_)
    );
    view == FEEDS || (by_itself && space_of_view(view).is_some())
}

/// What of these arrivals a plain selector of a view matches.
pub(crate) fn matches(view: &str, selector: &Selector, arrivals: &[Arrival]) -> BTreeSet<EntryId> {
    let matching = arrivals.iter().filter(|arrival| {
        let header = decode_block(&arrival.block).ok().map(|entry| entry.header);
        concerns(view, selector, header.as_ref())
    });
    matching.map(|arrival| arrival.id).collect()
}
