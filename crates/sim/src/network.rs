//! Hosts, and what lies between them.

use crate::Random;
use crate::link::{End, Pipe, Sent, connection};
use futures::FutureExt;
use futures::future::{BoxFuture, pending};
use kappadb_net::transport::{AnyLink, Socket, Transport};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};

/// How long bytes are on their way between two hosts, in milliseconds: drawn for each pair.
const LATENCY_MS: std::ops::Range<u64> = 1..60;

/// What went over the network so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that came to be.
    pub connections: u64,
    /// Pieces of bytes that were written at once.
    pub pieces: u64,
    /// Bytes.
    pub bytes: u64,
    /// Names the history: the same for the same number, and hardly for any other.
    pub digest: u64,
}

/// A network. Clones are the same one.
#[derive(Clone)]
pub struct SimNetwork {
    state: Arc<Mutex<State>>,
    began: Instant,
}

struct State {
    random: Random,
    listening: BTreeMap<SocketAddr, UnboundedSender<(AnyLink, SocketAddr)>>,
    latencies: BTreeMap<Pair, Duration>,
    /// Between these nothing gets through.
    apart: BTreeSet<Pair>,
    /// To and from these nothing does.
    frozen: BTreeSet<IpAddr>,
    open: Vec<(Pair, [Weak<Pipe>; 2])>,
    next_port: u16,
    traffic: Traffic,
    sent: BTreeMap<IpAddr, u64>,
}

type Pair = (IpAddr, IpAddr);

fn pair(one: IpAddr, other: IpAddr) -> Pair {
    (one.min(other), one.max(other))
}

impl State {
    fn is_silent(&self, pair: &Pair) -> bool {
        self.apart.contains(pair) || self.frozen.contains(&pair.0) || self.frozen.contains(&pair.1)
    }

    fn latency(&mut self, pair: Pair) -> Duration {
        let drawn = self.random.between(LATENCY_MS.start, LATENCY_MS.end);
        *self.latencies.entry(pair).or_insert(Duration::from_millis(drawn))
    }

    /// The connections that are open between hosts for which this holds.
    fn links(&mut self, is_meant: impl Fn(&Pair) -> bool) -> Vec<(Pair, Arc<Pipe>)> {
        self.open.retain(|(_, pipes)| pipes.iter().any(|pipe| pipe.strong_count() > 0));
        let meant = self.open.iter().filter(|(pair, _)| is_meant(pair));
        meant
            .flat_map(|(pair, pipes)| pipes.iter().filter_map(|pipe| Some((*pair, pipe.upgrade()?))))
            .collect()
    }

    fn note(&mut self, at: Duration, words: [u64; 3]) {
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        for word in [at].into_iter().chain(words) {
            self.traffic.digest = Random::new(self.traffic.digest ^ word).draw();
        }
    }
}

/// A number for an address, in the digest of a history.
fn number(ip: IpAddr) -> u64 {
    match ip {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => u64::try_from(ip.to_bits() & u128::from(u64::MAX)).unwrap_or_default(),
    }
}

impl SimNetwork {
    pub(crate) fn new(random: Random) -> SimNetwork {
        let state = State {
            random,
            listening: BTreeMap::new(),
            latencies: BTreeMap::new(),
            apart: BTreeSet::new(),
            frozen: BTreeSet::new(),
            open: Vec::new(),
            next_port: 1_000,
            traffic: Traffic::default(),
            sent: BTreeMap::new(),
        };
        SimNetwork { state: Arc::new(Mutex::new(state)), began: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host with this address.
    pub fn host(&self, ip: IpAddr) -> Host {
        Host { ip, network: self.clone() }
    }

    /// What went over it so far.
    pub fn traffic(&self) -> Traffic {
        self.lock().traffic
    }

    /// Bytes that a host has sent so far.
    pub fn sent_by(&self, ip: IpAddr) -> u64 {
        self.lock().sent.get(&ip).copied().unwrap_or(0)
    }

    /// How many connections are open between two hosts.
    pub fn connections_between(&self, one: IpAddr, other: IpAddr) -> usize {
        let pair = pair(one, other);
        self.lock().links(|with| *with == pair).len() / 2
    }

    /// From now on nothing gets through between two hosts, or everything does again. Who calls the other waits meanwhile, and connections stand still.
    pub fn part(&self, one: IpAddr, other: IpAddr, apart: bool) {
        let (mut state, pair) = (self.lock(), pair(one, other));
        if apart {
            state.apart.insert(pair)
        } else {
            state.apart.remove(&pair)
        };
        self.settle(state, |with| *with == pair);
    }

    /// From now on a host says nothing and takes nothing, or it does again.
    pub fn freeze(&self, ip: IpAddr, frozen: bool) {
        let mut state = self.lock();
        if frozen {
            state.frozen.insert(ip)
        } else {
            state.frozen.remove(&ip)
        };
        self.settle(state, |with| with.0 == ip || with.1 == ip);
    }

    /// Everything gets through again.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.apart.clear();
        state.frozen.clear();
        self.settle(state, |_| true);
    }

    fn settle(&self, mut state: MutexGuard<'_, State>, is_meant: impl Fn(&Pair) -> bool) {
        let links = state.links(is_meant);
        let stalled: Vec<_> = links.into_iter().map(|(pair, pipe)| (state.is_silent(&pair), pipe)).collect();
        drop(state);
        stalled.into_iter().for_each(|(stalled, pipe)| pipe.stall(stalled));
    }

    /// Breaks the connections between two hosts.
    pub fn break_between(&self, one: IpAddr, other: IpAddr) {
        let pair = pair(one, other);
        let links = self.lock().links(|with| *with == pair);
        links.iter().for_each(|(_, pipe)| pipe.break_off());
    }

    /// Changes a byte of what is sent next in each direction between two hosts.
    pub fn garble_between(&self, one: IpAddr, other: IpAddr) {
        let pair = pair(one, other);
        let links = self.lock().links(|with| *with == pair);
        links.iter().for_each(|(_, pipe)| pipe.garble());
    }

    /// Breaks all connections of a host, as its end does.
    pub fn break_all_of(&self, ip: IpAddr) {
        let mut state = self.lock();
        state.listening.retain(|address, _| address.ip() != ip);
        let links = state.links(|with| with.0 == ip || with.1 == ip);
        drop(state);
        links.iter().for_each(|(_, pipe)| pipe.break_off());
    }

    fn counting(&self, from: IpAddr, to: IpAddr) -> Sent {
        let network = self.clone();
        Arc::new(move |count| {
            let mut state = network.lock();
            state.traffic.pieces += 1;
            state.traffic.bytes += count as u64;
            *state.sent.entry(from).or_default() += count as u64;
            state.note(network.began.elapsed(), [number(from), number(to), count as u64]);
        })
    }

    async fn connect(&self, from: IpAddr, address: &str) -> io::Result<AnyLink> {
        let to: SocketAddr = address.parse().map_err(|_| ErrorKind::InvalidInput)?;
        let pair = pair(from, to.ip());
        let latency = self.lock().latency(pair);
        sleep(2 * latency).await;
        if self.lock().is_silent(&pair) {
            return pending().await;
        }
        let mut state = self.lock();
        let listener = state.listening.get(&to).cloned().ok_or(ErrorKind::ConnectionRefused)?;
        let ([near, far], pipes) =
            connection(latency, [self.counting(from, to.ip()), self.counting(to.ip(), from)]);
        state.open.push((pair, pipes.each_ref().map(Arc::downgrade)));
        state.traffic.connections += 1;
        state.next_port = state.next_port.wrapping_add(1).max(1_000);
        let caller = SocketAddr::new(from, state.next_port);
        drop(state);
        let link = |end: End| AnyLink::new(end);
        listener.send((link(far), caller)).map_err(|_| ErrorKind::ConnectionRefused)?;
        Ok(link(near))
    }
}

/// A host on a network: what a replica on it calls and listens with.
#[derive(Clone)]
pub struct Host {
    ip: IpAddr,
    network: SimNetwork,
}

impl Transport for Host {
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<AnyLink>> {
        self.network.connect(self.ip, address).boxed()
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Socket>>> {
        async move {
            let mut state = self.network.lock();
            let mut at = SocketAddr::new(self.ip, address.port());
            while at.port() == 0 || state.listening.get(&at).is_some_and(|there| !there.is_closed()) {
                if address.port() != 0 {
                    return Err(ErrorKind::AddrInUse.into());
                }
                state.next_port = state.next_port.wrapping_add(1).max(1_000);
                at.set_port(state.next_port);
            }
            let (tell, callers) = unbounded_channel();
            state.listening.insert(at, tell);
            let callers = tokio::sync::Mutex::new(callers);
            Ok(Box::new(Listening { at, callers }) as Box<dyn Socket>)
        }
        .boxed()
    }

    fn free_address(&self) -> io::Result<SocketAddr> {
        let mut state = self.network.lock();
        state.next_port = state.next_port.wrapping_add(1).max(1_000);
        Ok(SocketAddr::new(self.ip, state.next_port))
    }
}

struct Listening {
    at: SocketAddr,
    callers: tokio::sync::Mutex<UnboundedReceiver<(AnyLink, SocketAddr)>>,
}

impl Socket for Listening {
    fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.at)
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(AnyLink, SocketAddr)>> {
        async move { self.callers.lock().await.recv().await.ok_or_else(|| ErrorKind::NotConnected.into()) }
            .boxed()
    }
}
