//! What is followed: asked live of every peer, now and whenever there is a session with one.

use super::ask::{FEEDS, space_of};
use super::claims::Shown;
use super::forks::{Answers, Ground};
use super::links::{Holder, Keeper, Link, Links};
use super::neighbours::Neighbours;
use super::turn::{Stated, Trouble, Turn, Wish};
use super::{Handle, Manner, Network};
use crate::engine;
use crate::error::ReadError;
use kappadb_core::limits::MAX_CALLERS;
use kappadb_core::{FeedKey, Lseq};
use kappadb_net::{Question, Update};
use kappadb_query::Selector;
use kappadb_sync::{Ask, Since, Stats};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often what news have shown is noted, at most: each time costs as much as there are feeds.
const NOTED: Duration = Duration::from_secs(1);

/// How often it is looked whether what is wanted is still the same, where that depends on what is held.
const LOOK: Duration = Duration::from_secs(2);

/// A question that stays open.
#[derive(Clone)]
pub(crate) struct Follow {
    pub view: String,
    wanted: Wanted,
    /// Under which name somebody wants it.
    reader: Arc<str>,
    /// Only what comes from now on.
    pub from_now: bool,
    /// By peer: where its last answer can be gone on with, and which question that was to.
    tokens: Arc<Mutex<BTreeMap<FeedKey, Kept>>>,
}

/// Where a peer's answer can be gone on with.
struct Kept {
    selector: Selector,
    token: Vec<u8>,
    held: (u64, u64),
    /// Where the log ended here when it came.
    end: Lseq,
    at: Instant,
}

/// Something that is followed until this is dropped.
///
/// Sessions are kept to all known peers meanwhile, and every peer that is connected, also one that called, is asked live. What comes is stored and
/// shown by the views like everything else: read and watch it there.
#[must_use = "it is followed until this is dropped"]
pub struct Following {
    links: Weak<Links>,
    follows: Vec<Holder>,
    _keeper: Keeper,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").field("follows", &self.follows).finish_non_exhaustive()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(links) = self.links.upgrade() {
            self.follows.iter().for_each(|follow| links.unfollow(*follow));
        }
    }
}

impl Following {
    pub(crate) fn begin(handle: &Handle, questions: Vec<Follow>) -> Following {
        let (network, links) = (&handle.network, &handle.links);
        let reader = || handle.name.clone();
        let named = questions.into_iter().map(|question| Follow { reader: reader(), ..question });
        let follows = named.map(|question| links.follow(network, question)).collect();
        Following { links: Arc::downgrade(links), follows, _keeper: links.keep(network) }
    }
}

/// What is asked for.
#[derive(Clone)]
enum Wanted {
    /// What this matches.
    Matches(Selector),
    /// What this matches, which may be something else when more is known.
    Changing(Arc<dyn Fn() -> Result<Selector, ReadError> + Send + Sync>),
}

impl Follow {
    fn new(view: &str, wanted: Wanted) -> Follow {
        Follow { view: view.to_owned(), wanted, reader: "".into(), from_now: false, tokens: Arc::default() }
    }

    pub fn matching(view: &str, selector: Selector) -> Follow {
        Follow::new(view, Wanted::Matches(selector))
    }

    /// What is matched may be something else when more is known.
    pub fn changing(
        view: &str,
        selector: impl Fn() -> Result<Selector, ReadError> + Send + Sync + 'static,
    ) -> Follow {
        Follow::new(view, Wanted::Changing(Arc::new(selector)))
    }

    pub fn news_only(self) -> Follow {
        Follow { from_now: true, ..self }
    }

    /// True if both come to one question.
    pub(super) fn is_same(&self, other: &Follow) -> bool {
        let wanted = match (&self.wanted, &other.wanted) {
            (Wanted::Matches(one), Wanted::Matches(two)) => one == two,
            (Wanted::Changing(one), Wanted::Changing(two)) => Arc::ptr_eq(one, two),
            _ => false,
        };
        wanted && self.from_now == other.from_now && self.view == other.view && self.reader == other.reader
    }

    /// True if whoever asks this has also all that the other asks for.
    pub(super) fn covers(&self, other: &Follow) -> bool {
        let wanted = match (&self.wanted, &other.wanted) {
            _ if self.view == FEEDS => true,
            (Wanted::Matches(wide), Wanted::Matches(narrow)) => {
                self.view == other.view && self.reader == other.reader && wide.covers(narrow)
            }
            _ => false,
        };
        wanted && !self.from_now
    }

    pub(super) fn selector(&self) -> Result<Selector, ReadError> {
        match &self.wanted {
            Wanted::Matches(selector) => Ok(selector.clone()),
            Wanted::Changing(selector) => selector(),
        }
    }

    /// From where on a peer is asked, and where the log ended here when it had answered up to there.
    fn since(&self, peer: &FeedKey, selector: &Selector, held: (u64, u64)) -> (Since, Option<Lseq>) {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        match tokens.get(peer).filter(|kept| kept.selector == *selector && kept.held == held) {
            Some(kept) => (Since::Token(kept.token.clone()), Some(kept.end)),
            None if self.from_now => (Since::Now, None),
            None => (Since::Beginning, None),
        }
    }

    fn keep(&self, peer: FeedKey, kept: Kept) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(peer, kept);
        // Identities cost nothing.
        if tokens.len() > MAX_CALLERS {
            let oldest = tokens.iter().min_by_key(|(_, kept)| kept.at).map(|(peer, _)| *peer);
            oldest.and_then(|peer| tokens.remove(&peer));
        }
    }

    /// A peer's token says nothing any more. False if there was none.
    fn forget(&self, peer: &FeedKey) -> bool {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(peer).is_some()
    }
}

/// Follows something in one session, until the peer refuses, the session ends, or the database goes. `tell` hears whether the peer has answered, or
/// is not to be had.
pub(crate) async fn run(parts: Weak<Network>, link: Link, what: Follow, tell: impl Fn(bool) + Send + Sync) {
    let (peer, mut was_stale) = (link.session.peer(), false);
    while let Some(strong) = parts.upgrade() {
        let followed = match Asked::begin(Turn { parts: strong, link: link.clone() }, &what).await {
            Ok(asked) => asked.go_on(&parts, || tell(true)).await,
            Err(trouble) => Err(trouble),
        };
        match followed {
            // It rests on something else now.
            Ok(Ended::Anew) => {}
            Ok(Ended::Gone) => return,
            // What came since cannot be told: all is asked for, once in a session without a wait.
            Err(trouble) if trouble.is_stale() && what.forget(&peer) && !was_stale => was_stale = true,
            Err(trouble) => {
                // Of a session that is over it is told elsewhere.
                if link.session.ended().is_none() {
                    tracing::warn!(%peer, view = what.view, why = %trouble, "cannot follow");
                }
                return tell(false);
            }
        }
    }
}

/// How following ended without an error.
enum Ended {
    /// It is to be asked again.
    Anew,
    /// The database is closed.
    Gone,
}

/// A question that was put live.
struct Asked<'a> {
    what: &'a Follow,
    selector: Selector,
    question: Question,
    link: Link,
    /// What its answers rest on.
    ground: Ground,
    /// Where the log ended when what came last was looked at.
    since: Lseq,
    /// What was shown since that was last noted, and when it was.
    shown: Option<(Instant, Shown)>,
    /// How often what is held had changed when it was last looked what is wanted.
    changes: u64,
}

impl<'a> Asked<'a> {
    async fn begin(turn: Turn, what: &'a Follow) -> Result<Asked<'a>, Trouble> {
        let (follow, peer) = (what.clone(), turn.link.session.peer());
        let network = turn.parts.clone();
        let look = move |parts: &Network| {
            parts.feeds.settle()?;
            let selector = follow.selector()?;
            let (live, met) = follow.since(&peer, &selector, parts.losses());
            let ground = network.ground_of(&follow.view, &follow.reader)?;
            let gaps = parts.own_gaps(&follow.view, &selector, &ground, false);
            // Of what came before it sends nothing.
            let theirs = match met.filter(|_| follow.view == FEEDS) {
                Some(met) => parts.grown_since(met)?,
                None => None,
            };
            let wish = Wish {
                view: follow.view.clone(),
                selector: selector.clone(),
                without: ground.without(),
                named: gaps,
                direct: false,
                inline: true,
                theirs,
            };
            Ok::<_, ReadError>((ground, selector, wish, live, parts.feeds.end()))
        };
        let changes = turn.parts.feeds.changes();
        let (ground, selector, wish, live, since) = engine::run(&turn.parts, look).await??;
        let ask = turn.prepare(wish).await?;
        let question = turn.link.session.question(Ask { live: Some(live), ..ask });
        Ok(Asked { what, selector, question, link: turn.link, ground, since, shown: None, changes })
    }

    /// Takes in what comes, as long as anything may.
    async fn go_on(mut self, parts: &Weak<Network>, stated: impl Fn() + Send) -> Result<Ended, Trouble> {
        loop {
            let update = match self.patience() {
                None => self.question.next().await,
                Some(patience) => match timeout(patience, self.question.next()).await {
                    Ok(update) => update,
                    Err(_) => {
                        let Some(strong) = parts.upgrade() else { return Ok(Ended::Gone) };
                        self.note_rest(&strong).await?;
                        match self.is_same(&strong).await? {
                            true => continue,
                            false => return Ok(Ended::Anew),
                        }
                    }
                },
            };
            let Some(update) = update else { return Ok(Ended::Gone) };
            let Some(strong) = parts.upgrade() else { return Ok(Ended::Gone) };
            if let Update::Stated { statement, rest, words, stats, token } = update? {
                let turn = Turn { parts: strong, link: self.link.clone() };
                let said = turn.stated(statement, rest, &words);
                if !self.take(turn, said, &stats, token).await? {
                    return Ok(Ended::Anew);
                }
                stated();
            }
        }
    }

    /// How long to wait for news before there is something else to do; none if there is nothing.
    fn patience(&self) -> Option<Duration> {
        let unnoted = self.shown.as_ref().filter(|(_, shown)| !shown.claims.is_empty());
        let due = unnoted.map(|(noted, _)| NOTED.saturating_sub(noted.elapsed()));
        due.or(matches!(self.what.wanted, Wanted::Changing(_)).then_some(LOOK))
    }

    /// False if by now something else is wanted.
    async fn is_same(&mut self, parts: &Arc<Network>) -> Result<bool, ReadError> {
        let changes = parts.feeds.changes();
        if std::mem::replace(&mut self.changes, changes) == changes {
            return Ok(true);
        }
        let (follow, asked) = (self.what.clone(), self.selector.clone());
        engine::run(parts, move |_| Ok(follow.selector()? == asked)).await?
    }

    /// Takes in a statement. False if the peer answered on another ground than this replica's.
    async fn take(
        &mut self,
        turn: Turn,
        mut stated: Stated,
        stats: &Stats,
        token: Option<Vec<u8>>,
    ) -> Result<bool, Trouble> {
        let (since, peer, parts) = (self.since, self.link.session.peer(), turn.parts.clone());
        let end = parts.feeds.end();
        self.since = end;
        turn.follow_up(&stated.coverage).await?;
        let (network, follow, selector) = (parts.clone(), self.what.clone(), self.selector.clone());
        let ground = engine::run(&parts, move |parts| {
            match token {
                Some(token) => {
                    follow.keep(peer, Kept { selector, token, held: parts.losses(), end, at: Instant::now() })
                }
                None => drop(follow.forget(&peer)),
            }
            network.ground_of(&follow.view, &follow.reader)
        })
        .await??;
        if stats.beyond > 0 || ground != self.ground {
            return Ok(false);
        }
        if stats.contradicted > 0 {
            stated.claim_nothing();
        }
        // Of what came before nothing was asked then.
        if !self.what.from_now {
            self.note(&parts, stated).await?;
        }
        if let Some(space) = space_of(&self.what.view).filter(|_| stats.blocks_stored > 0) {
            let wanted = vec![(space, self.selector.clone())];
            let handle = Handle { network: parts, name: self.what.reader.clone(), manner: Manner::default() };
            Neighbours::just(&handle, self.link.clone()).fetch_contents(since, wanted).await?;
        }
        Ok(true)
    }

    /// Notes what a statement has shown: the first at once, what comes later now and then.
    async fn note(&mut self, parts: &Arc<Network>, stated: Stated) -> Result<(), ReadError> {
        let Some((noted, shown)) = &mut self.shown else {
            let (view, selector) = (self.what.view.clone(), self.selector.clone());
            let (ground, now) = (self.ground.clone(), parts.clock.now());
            let answers = Answers::of(ground, self.link.id, stated);
            let (network, reader) = (parts.clone(), self.what.reader.clone());
            let conclude = move |_: &Network| network.conclude(&reader, &view, &selector, answers, now, true);
            let completeness = engine::run(parts, conclude).await??;
            self.shown = Some((Instant::now(), Shown::first(completeness)));
            return Ok(());
        };
        shown.add(&stated);
        match noted.elapsed() >= NOTED {
            true => self.note_rest(parts).await,
            false => Ok(()),
        }
    }

    /// Notes what was shown and is not noted yet.
    async fn note_rest(&mut self, parts: &Arc<Network>) -> Result<(), ReadError> {
        let Some((noted, shown)) = self.shown.as_mut().filter(|(_, shown)| !shown.claims.is_empty()) else {
            return Ok(());
        };
        *noted = Instant::now();
        let new = Shown { complete: shown.complete.clone(), claims: std::mem::take(&mut shown.claims) };
        let (view, selector) = (self.what.view.clone(), self.selector.clone());
        let (ground, now) = (self.ground.clone(), parts.clock.now());
        engine::run(parts, move |parts| parts.note_shown(&view, &selector, &ground, new, now)).await
    }
}
