//! A world: machines on a network, on one thread, whose time passes when nothing is left to do.

use crate::disks::SimStore;
use crate::{Host, OneThread, Random, SimNetwork};
use kappadb_core::{Clock, Timestamp};
use kappadb_journal::fault::FaultDisk;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::time::Instant;

/// What clocks show when the world begins: some day in 2026, in milliseconds since 1970.
const DAWN: i64 = 1_790_000_000_000;

/// By how much the clock of a machine may be wrong.
pub const CLOCKS_DIFFER: Duration = Duration::from_secs(120);

/// A folder in memory, where the system has one: small files are synced there at no cost.
const MEMORY: &str = "/dev/shm";

/// A world. Everything in it follows from a number.
pub struct World {
    random: Random,
    network: SimNetwork,
    threads: OneThread,
    began: Instant,
    dir: TempDir,
}

impl World {
    /// Lets a world be from its beginning to the end of what happens in it.
    ///
    /// # Panics
    /// If the system has no folder for its files.
    #[expect(clippy::expect_used, reason = "a test may fail loudly")]
    pub fn run<T>(seed: u64, life: impl AsyncFnOnce(World) -> T) -> T {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut random = Random::new(seed);
            let mut part = || Random::new(random.draw());
            let (network, threads) = (SimNetwork::new(part()), OneThread::new(part()));
            let dir = match Path::new(MEMORY).is_dir() {
                true => tempfile::tempdir_in(MEMORY),
                false => tempfile::tempdir(),
            };
            let dir = dir.expect("a folder");
            life(World { random: part(), network, threads, began: Instant::now(), dir }).await
        })
    }

    /// Choices that are made in it.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// What lies between the machines.
    pub fn network(&self) -> &SimNetwork {
        &self.network
    }

    /// How long it has been.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }

    /// A clock that is right.
    pub fn clock(&self) -> SimClock {
        SimClock { began: self.began, at: DAWN }
    }

    /// A new machine, the `n`-th, with an empty disk and a clock that is somewhat wrong.
    pub fn machine(&mut self, n: usize) -> Machine {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let ip = IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits().wrapping_add(n)));
        let most = i64::try_from(CLOCKS_DIFFER.as_millis()).unwrap_or(i64::MAX);
        let skew = self.random.below(2 * most.cast_unsigned()).cast_signed() - most;
        Machine {
            dir: self.dir.path().join(n.to_string()),
            ip,
            host: self.network.host(ip),
            threads: self.threads.clone(),
            disk: FaultDisk::new(),
            store: SimStore::default(),
            clock: SimClock { at: DAWN + skew, ..self.clock() },
            random: Arc::new(Mutex::new(Random::new(self.random.draw()))),
        }
    }
}

/// A machine for one replica: all that a database stands on.
#[derive(Clone)]
pub struct Machine {
    /// Its folder, for the small files.
    pub dir: PathBuf,
    /// Its address.
    pub ip: IpAddr,
    /// Its way to the network.
    pub host: Host,
    /// Who does its work.
    pub threads: OneThread,
    /// Its disk, for the journal.
    pub disk: FaultDisk,
    /// Its derived data.
    pub store: SimStore,
    /// Its clock.
    pub clock: SimClock,
    random: Arc<Mutex<Random>>,
}

impl Machine {
    /// Chance, for keys.
    pub fn chance(&self) -> impl Fn(&mut [u8]) + Send + Sync + 'static {
        let random = self.random.clone();
        move |bytes| random.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes)
    }

    /// Cuts the power: of what was written to the disk and not synced some is lost, by chance, and derived data too if `loses_derived`.
    pub fn cut_power(&self, random: &mut Random, loses_derived: bool) {
        self.disk.power_cut(&mut |bytes| random.below(bytes + 1));
        self.store.cut_power(loses_derived);
    }
}

/// A clock that goes with the time of the world, and began with some time of its own.
#[derive(Debug, Clone, Copy)]
pub struct SimClock {
    began: Instant,
    at: i64,
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.at + i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}
