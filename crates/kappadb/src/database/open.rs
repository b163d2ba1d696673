use super::{Builder, Database, Shared};
use crate::engine::{self, Engine};
use crate::error::OpenError;
use crate::folder::callers::Callers;
use crate::folder::listen::ListenFile;
use crate::folder::refused::Refused;
use crate::folder::replica::{self, Replica};
use crate::folder::witness::Witness;
use crate::folder::writers;
use crate::network::{self, Handle, Manner, Network};
use crate::node::Follows;
use crate::views::{BuiltIns, Parts};
use kappadb_feed as feed;
use kappadb_net::Identity;
use std::sync::Arc;

impl Builder {
    /// Opens the folder. Derived data that turns out to be odd only when it is used is made anew, too.
    pub(super) fn open_folder(self) -> Result<Database, OpenError> {
        match open(self.clone()) {
            Err(error) if error.wants_rebuild() && !self.rebuild => open(self.rebuild()),
            opened => opened,
        }
    }
}

/// Storey by storey, from below.
fn open(builder: Builder) -> Result<Database, OpenError> {
    let Builder { dir, clock, random, threads, progress, warned, rebuild, state, allowance, .. } = builder;
    let Builder { store, disk, transport, durability, .. } = builder;
    let replica = replica::load(&dir)?;
    let peers = replica.peers(&dir)?;
    let Replica { database: id, access, identity, trusted } = replica;
    // Before anything is wiped or written: a second process must leave everything as it is.
    let lock = builder.lock.map_or_else(|| feed::lock(&dir, &builder.locking).map(Arc::new), Ok)?;
    let witness = Arc::new(Witness::new(&dir, state, random.clone()));
    let (engine, warnings) = Engine::open(engine::Opening {
        dir: dir.clone(),
        id,
        clock: clock.clone(),
        random,
        threads,
        store,
        disk,
        progress,
        durability,
        rebuild,
        witness: witness.clone(),
        lock,
    })?;
    // Kept until the end: if what follows fails, what lies above goes before the folder is free.
    let engine = Arc::new(engine);
    let views = BuiltIns::open(&engine, &builder.views)?;
    let (identity, rules) = (Identity::new(identity), views.rules());
    let opening = network::Opening {
        access,
        identity,
        peers,
        trusted,
        allowance,
        transport: transport.clone(),
        witness,
        warned,
        rules,
        introductions: builder.introductions,
        refused: Refused::load(&dir)?,
    };
    let network = Arc::new(Network::open(engine.clone(), opening)?);
    let shared = Shared {
        listen: ListenFile::load(&dir, &*transport)?,
        follows: Arc::new(Follows::load(&dir)?),
        callers: Arc::new(Callers::load(&dir, clock)),
        warnings,
    };
    let parts =
        Parts::new(views, Handle { network, name: writers::DEFAULT.into(), manner: Manner::default() });
    Ok(Database { parts: Arc::new(parts), shared: Arc::new(shared) })
}
