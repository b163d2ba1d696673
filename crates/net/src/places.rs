//! Who has a place at a listener, and who makes room for whom.
//!
//! Anybody can connect, so handshakes have few places of their own; when one more calls, the one that has been at it the longest
//! goes. A member's handshake takes milliseconds: it is served, however many others say nothing.
//!
//! Identities cost nothing either, so sessions have shares: each peer, each address, and all peers together that were never met
//! before. Where a share is used up, the session in it that has had nothing to do for the longest makes room; if all are at
//! work, the caller is refused by the name of the limit.

use kappadb_core::FeedKey;
use kappadb_core::limits::{
    ALL_SESSION_RANGES, MAX_HANDSHAKES, MAX_HANDSHAKES_OF_ADDRESS, MAX_NEWCOMERS, MAX_SESSIONS,
    MAX_SESSIONS_OF_ADDRESS, MAX_SESSIONS_OF_PEER,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many callers a listener has at the same time. The defaults are those of [`kappadb_core::limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// Handshakes in all. Default [`MAX_HANDSHAKES`].
    pub handshakes: usize,
    /// Handshakes of one address. Default [`MAX_HANDSHAKES_OF_ADDRESS`].
    pub handshakes_of_address: usize,
    /// Sessions in all. Default [`MAX_SESSIONS`].
    pub sessions: usize,
    /// Sessions of one address. Default [`MAX_SESSIONS_OF_ADDRESS`].
    pub sessions_of_address: usize,
    /// Sessions of one peer. Default [`MAX_SESSIONS_OF_PEER`].
    pub sessions_of_peer: usize,
    /// Sessions of all peers that were not met before. Default [`MAX_NEWCOMERS`].
    pub newcomers: usize,
    /// Ranges in the records of all sessions. Default [`ALL_SESSION_RANGES`].
    pub session_ranges: usize,
}

impl Default for Shares {
    fn default() -> Self {
        Shares {
            handshakes: MAX_HANDSHAKES,
            handshakes_of_address: MAX_HANDSHAKES_OF_ADDRESS,
            sessions: MAX_SESSIONS,
            sessions_of_address: MAX_SESSIONS_OF_ADDRESS,
            sessions_of_peer: MAX_SESSIONS_OF_PEER,
            newcomers: MAX_NEWCOMERS,
            session_ranges: ALL_SESSION_RANGES,
        }
    }
}

/// All places of one listener.
#[derive(Debug)]
pub(crate) struct Places {
    shares: Shares,
    opened: Instant,
    state: Mutex<State>,
    /// Ranges in the records of all sessions.
    records: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    strangers: Guests,
    members: Guests,
}

/// In the order in which they came.
type Guests = BTreeMap<u64, Guest>;

#[derive(Debug)]
struct Guest {
    address: IpAddr,
    /// None for a stranger.
    peer: Option<FeedKey>,
    newcomer: bool,
    desk: Arc<Desk>,
}

/// What a guest and the places tell each other.
#[derive(Debug, Default)]
struct Desk {
    /// Milliseconds since the listener opened, from which on the guest had nothing to do; [`BUSY`] while it has.
    idle_since: AtomicU64,
    records: AtomicUsize,
    leave: Notify,
}

const BUSY: u64 = u64::MAX;

/// A guest's place. Given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    desk: Arc<Desk>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.keep_records(0);
        let mut state = self.places.state();
        state.strangers.remove(&self.id);
        state.members.remove(&self.id);
    }
}

impl Place {
    /// Waits until another needs the place.
    pub async fn called_back(&self) {
        self.desk.leave.notified().await;
    }

    /// Says whether the guest has something to do. Who has makes room for nobody.
    pub fn set_busy(&self, busy: bool) {
        let was = self.desk.idle_since.load(Ordering::Relaxed) == BUSY;
        if busy != was {
            let since = if busy { BUSY } else { self.places.now() };
            self.desk.idle_since.store(since, Ordering::Relaxed);
        }
    }

    /// Says how many ranges the guest's records have. False if those of all are too many, and the guest has more than its share.
    pub fn keep_records(&self, count: usize) -> bool {
        let before = self.desk.records.swap(count, Ordering::Relaxed);
        let all = &self.places.records;
        all.fetch_add(count, Ordering::Relaxed);
        let all = all.fetch_sub(before, Ordering::Relaxed) - before;
        let most = self.places.shares.session_ranges;
        all <= most || count <= most / self.places.state().members.len().max(1)
    }
}

impl Places {
    pub fn new(shares: Shares) -> Arc<Places> {
        Arc::new(Places {
            shares,
            opened: Instant::now(),
            state: Mutex::default(),
            records: AtomicUsize::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    /// A place for a handshake: there is always one.
    pub fn stranger(self: &Arc<Self>, from: IpAddr) -> Place {
        let address = network(from);
        let mut state = self.state();
        let Shares { handshakes, handshakes_of_address, .. } = self.shares;
        make_room(&mut state.strangers, handshakes_of_address, |guest| guest.address == address, |_| true);
        make_room(&mut state.strangers, handshakes, |_| true, |_| true);
        self.seat(&mut state, Guest { address, peer: None, newcomer: true, desk: Arc::default() })
    }

    /// A place for a session, or the name of the limit that stands against it.
    pub fn member(
        self: &Arc<Self>,
        from: IpAddr,
        peer: FeedKey,
        newcomer: bool,
    ) -> Result<Place, &'static str> {
        let address = network(from);
        let mut state = self.state();
        let (shares, members) = (&self.shares, &mut state.members);
        let same_peer = |guest: &Guest| guest.peer == Some(peer);
        let same_address = |guest: &Guest| guest.address == address;
        let new = |guest: &Guest| guest.newcomer;
        // Who was met before makes room for nobody new.
        let weaker = |guest: &Guest| guest.newcomer || !newcomer;
        if !make_room(members, shares.sessions_of_peer, same_peer, |_| true) {
            return Err("MAX_SESSIONS_OF_PEER");
        }
        if !make_room(members, shares.sessions_of_address, same_address, weaker) {
            return Err("MAX_SESSIONS_OF_ADDRESS");
        }
        if newcomer && !make_room(members, shares.newcomers, new, |_| true) {
            return Err("MAX_NEWCOMERS");
        }
        if !make_room(members, shares.sessions, |_| true, weaker) {
            return Err("MAX_SESSIONS");
        }
        Ok(self.seat(&mut state, Guest { address, peer: Some(peer), newcomer, desk: Arc::default() }))
    }

    fn seat(self: &Arc<Self>, state: &mut State, guest: Guest) -> Place {
        let (id, desk) = (state.next, guest.desk.clone());
        state.next += 1;
        desk.idle_since.store(self.now(), Ordering::Relaxed);
        let guests = if guest.peer.is_some() { &mut state.members } else { &mut state.strangers };
        guests.insert(id, guest);
        Place { places: self.clone(), id, desk }
    }
}

/// True if one more fits in a share of so many guests, or one of the `weaker` ones in it that have nothing to do could be sent away:
/// of the address that has the most, the one that has had nothing to do for the longest.
fn make_room(
    guests: &mut Guests,
    share: usize,
    within: impl Fn(&Guest) -> bool,
    weaker: impl Fn(&Guest) -> bool,
) -> bool {
    let mut of_address: BTreeMap<IpAddr, usize> = BTreeMap::new();
    guests.values().filter(|guest| within(guest)).for_each(|guest| {
        *of_address.entry(guest.address).or_default() += 1;
    });
    if of_address.values().sum::<usize>() < share {
        return true;
    }
    let may_go =
        guests.iter().filter(|(_, guest)| within(guest) && weaker(guest)).filter_map(|(id, guest)| {
            let idle_since = guest.desk.idle_since.load(Ordering::Relaxed);
            let crowd = of_address.get(&guest.address).copied().unwrap_or_default();
            (idle_since != BUSY).then_some((std::cmp::Reverse(crowd), idle_since, *id))
        });
    let Some((.., id)) = may_go.min() else { return false };
    if let Some(gone) = guests.remove(&id) {
        gone.desk.leave.notify_one();
    }
    true
}

/// What counts as one address: of IPv6 a whole network, which one customer gets.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn peer(n: u8) -> FeedKey {
        FeedKey([n; 32])
    }

    fn address(n: u8) -> IpAddr {
        [10, 0, 0, n].into()
    }

    fn places(shares: Shares) -> Arc<Places> {
        Places::new(shares)
    }

    fn is_called_back(place: &Place) -> bool {
        let called = std::pin::pin!(place.called_back());
        called.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    fn busy(place: Result<Place, &'static str>) -> Place {
        let place = place.unwrap();
        place.set_busy(true);
        place
    }

    #[test]
    fn the_stranger_who_came_first_makes_room_and_those_of_a_crowd_before_others() {
        let all = places(Shares { handshakes: 4, handshakes_of_address: 3, ..Shares::default() });
        let lonely = all.stranger(address(1));
        let crowd: Vec<_> = (0..3).map(|_| all.stranger(address(2))).collect();
        let fourth = all.stranger(address(2));
        let called = |crowd: &[Place]| crowd.iter().map(is_called_back).collect::<Vec<_>>();
        assert_eq!(called(&crowd), [true, false, false]);
        let other = all.stranger(address(3));
        assert_eq!(called(&crowd[1..]), [true, false]);
        assert!([&lonely, &fourth, &other].iter().all(|place| !is_called_back(place)));
    }

    #[test]
    fn one_peer_has_its_share_and_no_more() {
        let all = places(Shares { sessions_of_peer: 2, ..Shares::default() });
        let first = busy(all.member(address(1), peer(1), false));
        let second = busy(all.member(address(2), peer(1), false));
        assert_eq!(all.member(address(3), peer(1), false).unwrap_err(), "MAX_SESSIONS_OF_PEER");
        assert!(all.member(address(3), peer(2), false).is_ok());
        // One that has nothing to do makes room.
        second.set_busy(false);
        let third = all.member(address(3), peer(1), false).unwrap();
        assert!(is_called_back(&second) && !is_called_back(&first));
        drop(second);
        drop(third);
        assert!(all.member(address(3), peer(1), false).is_ok());
    }

    #[test]
    fn free_identities_of_one_address_do_not_take_the_places_of_others() {
        let shares = Shares { sessions: 8, sessions_of_address: 4, newcomers: 6, ..Shares::default() };
        let all = places(shares);
        let held: Vec<_> = (0..4).map(|n| busy(all.member(address(1), peer(n), true))).collect();
        assert_eq!(all.member(address(1), peer(4), true).unwrap_err(), "MAX_SESSIONS_OF_ADDRESS");
        let more: Vec<_> = (5..7).map(|n| busy(all.member(address(2), peer(n), true))).collect();
        assert_eq!(all.member(address(3), peer(8), true).unwrap_err(), "MAX_NEWCOMERS");
        // Those who were met before have the rest, and it is theirs against all who are new.
        let met: Vec<_> = (9..11).map(|n| all.member(address(n), peer(n), false).unwrap()).collect();
        assert_eq!(all.state().members.len(), 8);
        held[0].set_busy(false);
        let third = all.member(address(11), peer(11), false).unwrap();
        assert!(is_called_back(&held[0]) && met.iter().all(|place| !is_called_back(place)));
        drop((more, third));
    }

    #[test]
    fn who_keeps_more_records_than_its_share_goes_when_they_are_too_many() {
        let all = places(Shares { session_ranges: 100, ..Shares::default() });
        let [one, two] = [1, 2].map(|n| all.member(address(n), peer(n), false).unwrap());
        assert!(one.keep_records(90) && two.keep_records(10));
        assert!(two.keep_records(40), "not more than its share");
        assert!(!one.keep_records(91));
        drop(one);
        assert!(two.keep_records(100) && !two.keep_records(101));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), address(1));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
