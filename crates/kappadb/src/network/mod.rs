//! What this replica has to do with others: whom it knows, what it asks them and they ask it, what an answer rests on, and whether its own feeds
//! went on elsewhere.
//!
//! The door to this room is what this page names; nothing above imports from behind it:
//!
//! - [`Read`] and [`Neighbours`] ask; [`ask`] has the names of the views and the usual questions. What is answered is an [`Answer`].
//! - [`Handle`] is who asks: the network, and the name under which somebody reads and writes.
//! - [`Network::here`], [`Network::has_all`]: what is known of the completeness of what is held, and on whose word ([`Network::forget_word`]).
//! - [`make_sure`] comes before the first write; [`Backend`] answers peers.
//! - [`Follow`]s are what is followed, by a [`Following`] or a [`Live`] watcher; [`Network::links`] are the sessions, and [`Network::standing`] is what
//!   peers follow here.
//! - [`ViewRules`]: what the network has to be told of views, by who knows them.
//!
//! What a peer's answer was is recorded in two places: what came is in the feeds, and what that shows of completeness is in the book of claims
//! (`claims/book.rs`, written by [`Network::conclude`]).

mod answer;
pub(crate) mod ask;
mod backend;
mod claims;
mod clocks;
mod completeness;
mod contents;
mod follow;
mod forks;
mod handle;
mod heard;
mod holdings;
mod introductions;
mod liars;
mod link;
mod links;
mod live;
mod neighbours;
mod own;
mod read;
mod refusals;
mod rules;
mod silence;
mod standing;
mod statements;
mod turn;

pub use answer::{Answer, Asked, Failure, GoesOn, Source, Told};
pub(crate) use backend::Backend;
pub use completeness::Completeness;
pub(crate) use follow::Follow;
pub use follow::Following;
pub(crate) use forks::fork_warnings;
pub(crate) use handle::{Handle, Manner, OnHandle, patient};
pub use holdings::Holdings;
pub(crate) use introductions::Introductions;
pub(crate) use liars::{lie_warnings, lies};
pub(crate) use links::Keeper;
pub(crate) use live::Live;
pub(crate) use neighbours::Neighbours;
pub(crate) use own::{
    make_sure, make_sure_of_only_copy, own_lengths, own_warnings, settle_doubts, statement,
};
pub use read::Read;
pub(crate) use read::{Begun, answer};
pub(crate) use rules::{Rules, ViewRules};

use crate::engine::Engine;
use crate::error::OpenError;
use crate::folder::omissions::Omissions;
use crate::folder::peers::Peers;
use crate::folder::refused::Refused;
use crate::folder::trust::{TrustFile, Trusted};
use crate::folder::witness::Witness;
use claims::{Book, Here};
use clocks::Clocks;
use forks::LateForks;
use heard::Heard;
use holdings::Coming;
use kappadb_core::FeedName;
use kappadb_net::transport::Transport;
use kappadb_net::{Access, Allowance, Credentials, Identity};
use kappadb_sync::Hello;
use kappadb_view::ViewHandle;
use liars::Liars;
use links::Links;
use own::Own;
use standing::Standing;
use statements::Statements;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Is told, in a sentence, what people should know at once.
pub(crate) type OnWarning = Arc<dyn Fn(&str) + Send + Sync>;

/// What a database knows of others, and what it shows them. All of its handles share one.
pub(crate) struct Network {
    pub access: Access,
    pub identity: Identity,
    pub peers: Peers,
    /// Whom this replica trusts, which its tickets say.
    pub trust: TrustFile,
    /// What a peer may take of this replica when it is asked.
    pub allowance: Allowance,
    /// How peers are reached.
    transport: Arc<dyn Transport>,
    /// What the clocks of peers showed.
    clocks: Clocks,
    /// What earlier answers have shown.
    claims: Book,
    /// What peers stated under their signature.
    statements: Statements,
    /// Who has left something out.
    pub omissions: Omissions,
    /// How long peers say that feeds are.
    heard: Heard,
    /// What came from peers.
    coming: Coming,
    /// What answers from here alone rest on.
    here: Here,
    /// The forks that mattered last.
    late_forks: LateForks,
    /// How it stands with the feeds that are written here.
    own: Own,
    /// The peers that others told of.
    pub introductions: Introductions,
    /// Who names what was not written yet.
    liars: ViewHandle<Liars>,
    /// The sessions with peers.
    pub links: Arc<Links>,
    /// What peers asked live.
    pub standing: Arc<Standing>,
    /// Tells this opening of the folder from those of its copies.
    instance: u64,
    rules: Rules,
    /// The last to go.
    engine: Arc<Engine>,
}

/// What it is opened with.
pub(crate) struct Opening {
    pub access: Access,
    pub identity: Identity,
    pub peers: Peers,
    pub trusted: Trusted,
    pub allowance: Allowance,
    pub transport: Arc<dyn Transport>,
    pub witness: Arc<Witness>,
    pub warned: OnWarning,
    pub rules: Rules,
    /// Peers tell one another of others.
    pub introductions: bool,
    pub refused: Refused,
}

impl Network {
    pub fn open(engine: Arc<Engine>, opening: Opening) -> Result<Network, OpenError> {
        let Opening { access, identity, peers, trusted, allowance, transport, .. } = opening;
        let Opening { witness, warned, rules, introductions, refused, .. } = opening;
        let store = engine.store.clone();
        let introductions = Introductions::open(introductions, identity.public(), store, refused);
        introductions.choose(&peers.list());
        let mut seed = [0; 8];
        (engine.random)(&mut seed);
        let instance = u64::from_le_bytes(seed);
        Ok(Network {
            links: Links::new(identity.public(), instance),
            instance,
            standing: Standing::new(&engine.feeds, &engine.peers_pool),
            access,
            identity,
            peers,
            trust: TrustFile::new(&engine.dir, trusted),
            allowance,
            transport,
            clocks: Clocks::default(),
            claims: Book::new(engine.store.clone()),
            statements: Statements::new(engine.store.clone()),
            omissions: Omissions::load(&engine.dir)?,
            heard: Heard::new(engine.store.clone()),
            coming: Coming::default(),
            here: Here::default(),
            late_forks: LateForks::default(),
            own: Own::new(witness, warned),
            introductions,
            liars: engine.views.register(Liars::new(&engine.feeds))?,
            rules,
            engine,
        })
    }

    /// What lies below, for what outlives a handle.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// By how much the clocks of peers that were called differ from this machine's, in milliseconds.
    pub fn clock_differences(&self) -> Vec<i64> {
        self.clocks.differences()
    }

    /// How long a feed is known to be, by the name that entries have for it: as its newest head here says, or a peer said.
    pub fn length_of(&self, name: &FeedName) -> u64 {
        self.feeds.length_of(name).max(self.heard.length_of(name))
    }

    /// Counts how often something that was held was given up, cleared or let go of. What a session sent before may not be here any more.
    fn losses(&self) -> (u64, u64) {
        (self.feeds.reforms(), self.feeds.setbacks())
    }

    /// What is shown to whoever is met.
    pub fn credentials(&self) -> Credentials {
        let clock = Some(self.clock.clone());
        let known = Credentials::new(self.access.clone(), self.identity.clone());
        let hello = Hello { instance: self.instance, ..Hello::default() };
        Credentials { clock, hello, transport: self.transport.clone(), ..known }
    }
}

impl Deref for Network {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Network").field(&self.engine).finish()
    }
}
