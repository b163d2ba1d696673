//! Whether this replica may go on writing its feeds. A folder that was copied, or put back to an older state, may have been written on elsewhere; who
//! appends to one feed in two places forks it. So before the first append of an opened database its feeds are compared with what this machine
//! remembers of them ([`Witness`]) and with every peer that answers. The rules are in `design/log.md`, "Whose folder is it".

use super::ask::MAP;
use super::forks::fork_warning;
use super::links::{CALLS_AGAIN, Link};
use super::turn::{Trouble, Turn};
use super::{Network, OnWarning};
use crate::engine;
use crate::error::{AskError, ReadError, WriteError};
use crate::folder::witness::{Found, Witness, Written};
use futures::future::join_all;
use kappadb_core::{FeedKey, RangeSet};
use kappadb_feed::FeedInfo;
use kappadb_feed::Witness as _;
use kappadb_query::Selector;
use kappadb_sync::{Ask, Coverage, Fetch};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// How long the peers have to answer, all together.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one that knows more has to show it.
const PROOF: Duration = Duration::from_secs(10);

/// Why a feed may not be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Doubt {
    /// This machine remembers nothing of the folder.
    Unknown,
    /// Another copy of the folder is open for writing.
    Taken,
    /// What this machine remembers of the feed is damaged or gone.
    Forgotten,
    /// So many blocks were acknowledged that are not here.
    Lost(u64),
    /// The feed went on otherwise.
    Other,
    /// A peer says that it knows more, and could not be asked for it.
    Unshown,
}

type Doubts = BTreeMap<FeedKey, Doubt>;

/// How it stands with the feeds that are written here.
pub(super) struct Own {
    pub witness: Arc<Witness>,
    /// Set once they may be written, or were given up.
    sure: OnceCell<()>,
    /// What people should know of that.
    said: Mutex<Vec<String>>,
    /// The doubts that they were told of before anything was done.
    told: Mutex<Doubts>,
    /// Is told at once.
    warned: OnWarning,
}

impl Own {
    /// Tells people something that they should know at once.
    pub fn warn(&self, text: &str) {
        (self.warned)(text);
    }

    pub fn new(witness: Arc<Witness>, warned: OnWarning) -> Own {
        Own { witness, sure: OnceCell::new(), said: Mutex::default(), told: Mutex::default(), warned }
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The feeds are given up for these doubts, which is told to who was not told of the same before.
    fn say(&self, doubts: &Doubts) {
        let text = given_up(doubts);
        if *self.told.lock().unwrap_or_else(PoisonError::into_inner) != *doubts {
            (self.warned)(&text);
        }
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }
}

/// To be awaited before anything is appended, and before a turn at writing is taken. At once but for the first time.
///
/// # Errors
/// If what this machine remembers cannot be read or written; the next write tries again.
pub(crate) async fn make_sure(parts: &Arc<Network>) -> Result<(), WriteError> {
    parts.own.sure.get_or_try_init(|| settle(parts, false)).await.map(drop)
}

/// As [`make_sure`] for somebody who knows that there is no other copy of the folder. Has no effect once something was written.
pub(crate) async fn make_sure_of_only_copy(parts: &Arc<Network>) -> Result<(), WriteError> {
    parts.own.sure.get_or_try_init(|| settle(parts, true)).await.map(drop)
}

/// As [`make_sure`] for a folder that is not believed to be the only one; else there is nothing to settle, and no peer is asked.
pub(crate) async fn settle_doubts(parts: &Arc<Network>) -> Result<(), WriteError> {
    match engine::run(parts, |parts| doubts(parts, &parts.own.witness.look())).await??.is_empty() {
        true => Ok(()),
        false => make_sure(parts).await,
    }
}

/// Whether the feeds may be gone on with; if not, they are given up. `only`: somebody knows that there is no other copy of the folder.
async fn settle(parts: &Arc<Network>, only: bool) -> Result<(), WriteError> {
    let before = engine::run(parts, own_lengths).await?;
    // Also where nothing was written yet: what time it is is learned from who is called.
    let unshown = compare(parts).await?;
    engine::run(parts, move |parts| {
        // What a peer has shown is said as it will be at every opening.
        let after = own_lengths(parts);
        let shown = |info: &FeedInfo| before.contains_key(&info.feed) && !after.contains_key(&info.feed);
        parts.feeds.list().iter().filter(|info| shown(info)).for_each(|info| {
            fork_warning(parts, info).iter().for_each(|text| (parts.own.warned)(text));
        });
        take_feeds(parts, unshown, only)
    })
    .await?
}

/// Compares the own feeds with those that the peers know: what one knows more of is fetched, and another history proved. Returns the
/// feeds of which a peer says that it knows more without showing it.
async fn compare(parts: &Arc<Network>) -> Result<Doubts, ReadError> {
    let asked =
        parts.links.each(parts).into_iter().map(|link| timeout(PATIENCE, statement(parts, link, None)));
    let answers = join_all(asked).await;
    let mut unshown = Doubts::new();
    for (link, statement) in answers.into_iter().filter_map(|answer| answer.ok()?.transpose()).flatten() {
        let mut shown = show_in_time(parts, &link, &statement).await;
        if !shown && link.may_be_there() {
            let again =
                timeout(PATIENCE, self::statement(parts, parts.links.call_again(parts, &link), None)).await;
            if let Some((link, statement)) = again.ok().transpose()?.flatten() {
                shown = show_in_time(parts, &link, &statement).await;
            }
        }
        if !shown {
            let longer = engine::run(parts, move |parts| longer(parts, &statement)).await?;
            unshown.extend(longer.into_iter().map(|(feed, _)| (feed, Doubt::Unshown)));
        }
    }
    Ok(unshown)
}

/// What a peer says of the feeds that are written here, of another one if there is one, and of those that go on for them; none if it cannot be asked.
pub(crate) async fn statement(
    parts: &Arc<Network>,
    link: impl Future<Output = Result<Link, AskError>>,
    also: Option<FeedKey>,
) -> Result<Option<(Link, Vec<Coverage>)>, ReadError> {
    let Ok(mut link) = link.await else { return Ok(None) };
    for _ in 0..=CALLS_AGAIN {
        if let Ok(answered) = link.session.ask(about_nothing(parts, also).await?).await {
            return Ok(Some((link, answered.statement)));
        }
        match link.may_be_there() {
            true => match parts.links.call_again(parts, &link).await {
                Ok(again) => link = again,
                Err(_) => break,
            },
            false => break,
        }
    }
    Ok(None)
}

/// A question about nothing in particular: its answer says what the peer knows of feeds.
async fn about_nothing(parts: &Arc<Network>, also: Option<FeedKey>) -> Result<Ask, ReadError> {
    let selector = Selector::Keys(Vec::new());
    let look = move |parts: &Network| {
        let named = parts.to_name().into_iter().chain(also);
        let named = named.filter_map(|feed| parts.feeds.definition(&feed)).collect();
        (named, parts.forks_to_tell())
    };
    let (named, forks) = engine::run(parts, look).await?;
    Ok(Ask {
        view: MAP.to_owned(),
        selector,
        inline: true,
        direct: false,
        have: Vec::new(),
        named,
        forks,
        without: BTreeSet::new(),
        live: None,
        forget: false,
    })
}

/// [`show`] within the time that is given for it; false also if it failed.
async fn show_in_time(parts: &Arc<Network>, link: &Link, statement: &[Coverage]) -> bool {
    let turn = Turn { parts: parts.clone(), link: link.clone() };
    matches!(timeout(PROOF, show(&turn, statement)).await, Ok(Ok(true)))
}

/// Has a peer show what it knows more of the own feeds. False if that came to no end; a peer that showed nothing although it went well does not
/// know it.
async fn show(turn: &Turn, statement: &[Coverage]) -> Result<bool, ReadError> {
    let before = turn.parts.feeds.setbacks();
    match turn.follow_up(statement).await {
        Ok(_) => {}
        Err(Trouble::Peer(error)) => {
            tracing::warn!(peer = %turn.link.session.peer(), %error, "a peer did not show what it knows of own feeds");
            return Ok(false);
        }
        Err(Trouble::Here(error)) => return Err(error),
    }
    let said = statement.to_vec();
    // One that holds only parts of a feed may know how long it is without having its end: whatever it holds shows the head.
    for (feed, length) in engine::run(&turn.parts, move |parts| longer(parts, &said)).await? {
        let fetch = Fetch { feed, ranges: RangeSet::below(length), known: Default::default(), forget: true };
        if let Err(error) = turn.link.session.fetch(fetch).await {
            tracing::warn!(%feed, peer = %turn.link.session.peer(), %error, "a peer did not show what it knows of a feed");
            return Ok(false);
        }
    }
    engine::run(&turn.parts, |parts| parts.feeds.sync()).await??;
    // What it showed may be gone again with a write that failed.
    Ok(turn.parts.feeds.setbacks() == before)
}

/// The feeds that this replica would append to, and their lengths.
pub(crate) fn own_lengths(network: &Network) -> BTreeMap<FeedKey, u64> {
    let own = network.feeds.list().into_iter().filter(|info| info.writable);
    own.map(|info| (info.feed, info.length)).collect()
}

/// Own feeds that are said to be longer than they are here, and how long.
fn longer(network: &Network, statement: &[Coverage]) -> Vec<(FeedKey, u64)> {
    let own = own_lengths(network);
    let longer = |coverage: &Coverage| {
        let (feed, length) = (coverage.definition.feed, coverage.length);
        own.get(&feed).is_some_and(|here| length > *here).then_some((feed, length))
    };
    statement.iter().filter_map(longer).collect()
}

/// What speaks against going on with each own feed, as far as this machine remembers.
fn doubts(network: &Network, found: &Found) -> Result<Doubts, ReadError> {
    let mut doubts = Doubts::new();
    for (feed, length) in own_lengths(network) {
        let doubt = match found {
            Found::Unknown => Some(Doubt::Unknown),
            Found::Taken => Some(Doubt::Taken),
            Found::Known(known) => match known.get(&feed) {
                None => Some(Doubt::Forgotten),
                Some(written) => differs(network, &feed, length, written)?,
            },
        };
        doubts.extend(doubt.map(|doubt| (feed, doubt)));
    }
    // Then it is another copy that was written last, and the witness speaks of none of the feeds here.
    if doubts.values().any(|doubt| matches!(doubt, Doubt::Lost(_) | Doubt::Other)) {
        for feed in own_lengths(network).into_keys() {
            doubts.entry(feed).or_insert(Doubt::Unknown);
        }
    }
    Ok(doubts)
}

fn differs(
    network: &Network,
    feed: &FeedKey,
    length: u64,
    written: &Written,
) -> Result<Option<Doubt>, ReadError> {
    if written.length > length {
        return Ok(Some(Doubt::Lost(written.length - length)));
    }
    let same = written.length == 0 || network.feeds.root_at(feed, written.length)? == Some(written.root);
    Ok((!same).then_some(Doubt::Other))
}

/// Makes this replica the one that writes its feeds, but for those that are in doubt, which are given up.
fn take_feeds(network: &Network, unshown: Doubts, only: bool) -> Result<(), WriteError> {
    let _turn = network.take_turn()?;
    let witness = &network.own.witness;
    let doubts = doubts(network, &witness.take()?)?;
    // Whoever knows that there is no other copy knows nothing of what was lost, or of what peers have.
    let is_other = doubts.values().any(|doubt| matches!(doubt, Doubt::Lost(_) | Doubt::Other));
    let kept = |doubt: &Doubt| only && matches!(doubt, Doubt::Unknown | Doubt::Forgotten);
    let (known, mut doubts): (Doubts, Doubts) = doubts.into_iter().partition(|(_, doubt)| kept(doubt));
    let vouched = known.into_keys().map(|feed| (feed, written(network, &feed))).collect::<BTreeMap<_, _>>();
    doubts.extend(unshown.into_iter().filter(|(feed, _)| !vouched.contains_key(feed)));
    let over: Vec<FeedKey> = doubts.keys().copied().collect();
    if !over.is_empty() {
        network.feeds.give_up(&over).map_err(ReadError::from)?;
        if is_other {
            witness.release()
        } else {
            witness.leave_out(&over)
        }
        network.own.say(&doubts);
    }
    match witness.is_taken() {
        true => vouch(network, &vouched),
        false => witness.make(&vouched),
    }
}

fn written(network: &Network, feed: &FeedKey) -> Written {
    let head = network.feeds.head(feed).map(|signed| signed.head);
    head.map_or(Written::NOTHING, |head| Written { length: head.length, root: head.root_hash })
}

/// Has the witness vouch for feeds that it had forgotten.
fn vouch(network: &Network, feeds: &BTreeMap<FeedKey, Written>) -> Result<(), WriteError> {
    for feed in feeds.keys() {
        network.own.witness.begin(feed).map_err(kappadb_feed::DefineError::Witness)?;
        if let Some(signed) = network.feeds.head(feed) {
            network.own.witness.note(feed, &signed.head);
        }
    }
    Ok(())
}

/// What people should know of how it stands with the own feeds, a sentence each.
pub(crate) fn own_warnings(network: &Network) -> Vec<String> {
    if network.own.sure.initialized() {
        return network.own.said();
    }
    let doubts = doubts(network, &network.own.witness.look()).unwrap_or_default();
    let texts = if doubts.is_empty() { Vec::new() } else { vec![in_doubt(&doubts)] };
    *network.own.told.lock().unwrap_or_else(PoisonError::into_inner) = doubts;
    texts
}

/// Why, in words, for the feeds in doubt: the worst first.
fn reason(doubts: &Doubts) -> String {
    match doubts.iter().max_by_key(|(_, doubt)| **doubt) {
        Some((_, Doubt::Taken)) => "another copy of this folder is open for writing on this machine".to_owned(),
        Some((feed, Doubt::Forgotten)) => format!("what this machine remembered of feed {feed} is gone"),
        Some((feed, Doubt::Lost(blocks))) => {
            let (blocks, are) = if *blocks == 1 { ("1 block".to_owned(), "is") } else { (format!("{blocks} blocks"), "are") };
            format!(
                "{blocks} of feed {feed} that {are} known to have been written {are} not in this folder: it is an older copy, or \
                 another copy was written on"
            )
        }
        Some((feed, Doubt::Other)) => format!("feed {feed} was written otherwise in another copy of this folder"),
        Some((feed, Doubt::Unshown)) => format!("a peer says that it knows more of feed {feed}, and did not show it"),
        Some((_, Doubt::Unknown)) | None => {
            "this folder was not written on this machine before, or what this machine remembers of it is gone; it may be a copy".to_owned()
        }
    }
}

fn given_up(doubts: &Doubts) -> String {
    format!("{}; what is written here goes on in a new feed that names the one before", reason(doubts))
}

/// True before the first write and after it: whoever writes in the same breath is told nothing else.
fn in_doubt(doubts: &Doubts) -> String {
    let way_out = match doubts.values().all(|doubt| matches!(doubt, Doubt::Unknown | Doubt::Forgotten)) {
        true => {
            ", unless `kappa settle --only-copy` was run before the first write by somebody who knows that there is no other copy"
        }
        false => "",
    };
    format!("{}{way_out}", given_up(doubts))
}
