//! Sessions over loopback sockets: what works, what fails clearly, and that one bad peer harms only itself.

use crate::common::{credentials, key};
use crate::storage::{Storage, feed};
use kappadb_core::{FeedKey, RangeSet};
use kappadb_net::{
    Allowance, AskError, ChannelError, Connection, Credentials, DialError, HandshakeError, Happening,
    Listener, PeerHandle, Phase, Report, ServeError, ServeOptions, SessionEnd, Shares, Update, connect_any,
    dial, noise,
};
use kappadb_query::Selector;
use kappadb_sync::{Ask, Fetch, QueryError, Refusal, SessionError};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

/// Peer 2, listening, and what it reports.
struct Server {
    listener: Listener,
    reports: UnboundedReceiver<ServeError>,
}

/// Short enough that a test can wait for them.
fn allowance() -> Allowance {
    let short = Duration::from_millis(400);
    Allowance { connect: short, handshake: short, stall: SOON, farewell: short, ..Allowance::patient(SOON) }
}

async fn serve_with(storage: Storage, shares: Shares) -> Server {
    let (report, reports) = unbounded_channel();
    let report = move |_: SocketAddr, happening: &Happening<'_>| {
        let Happening::Failed(error) = happening else { return };
        // Errors are not `Clone`; what a test looks at is.
        let copy = match error {
            ServeError::Handshake(HandshakeError::Stranger) => {
                ServeError::Handshake(HandshakeError::Stranger)
            }
            ServeError::Handshake(_) => ServeError::Handshake(HandshakeError::Closed),
            ServeError::Timeout(after) => ServeError::Timeout(*after),
            ServeError::Crowded => ServeError::Crowded,
            ServeError::Session { peer, end } => ServeError::Session { peer: *peer, end: end.clone() },
            other => panic!("unexpected {other}"),
        };
        let _ = report.send(copy);
    };
    let (allowance, report) = (allowance(), Some(Arc::new(report) as Report));
    let options = ServeOptions { allowance, shares, report, ..ServeOptions::default() };
    let storage = Arc::new(storage);
    let listener =
        Listener::bind_with(([127, 0, 0, 1], 0).into(), credentials(2), storage, options).await.unwrap();
    Server { listener, reports }
}

async fn serve(storage: Storage) -> Server {
    serve_with(storage, Shares::default()).await
}

impl Server {
    fn addresses(&self) -> Vec<String> {
        vec![self.listener.address().to_string()]
    }

    async fn report(&mut self) -> ServeError {
        timeout(SOON, self.reports.recv()).await.expect("a report").unwrap()
    }

    async fn dial_as(
        &self,
        who: Credentials,
        peer: FeedKey,
        here: Arc<Storage>,
    ) -> Result<PeerHandle, DialError> {
        connect_any(&self.addresses(), &who, peer, here, &allowance()).await
    }

    async fn dial(&self) -> PeerHandle {
        self.dial_as(credentials(1), key(2), Arc::new(Storage::new(vec![]))).await.unwrap()
    }

    /// A peer with the right key that speaks its own mind from there on.
    async fn dial_raw(&self) -> Connection {
        dial(&self.addresses()[0], &credentials(1), key(2), &allowance()).await.unwrap()
    }
}

fn ask(view: &str) -> Ask {
    Ask {
        view: view.to_owned(),
        selector: Selector::Everything,
        inline: true,
        direct: false,
        have: vec![],
        named: vec![],
        forks: vec![],
        without: BTreeSet::new(),
        live: None,
        forget: false,
    }
}

async fn works(peer: &PeerHandle) {
    let answered = timeout(SOON, peer.ask(ask("empty"))).await.expect("an answer in time");
    assert_eq!(answered.unwrap().statement, vec![]);
}

#[tokio::test]
async fn a_cold_question_takes_three_round_trips_and_the_next_one_more() {
    let server = serve(Storage::new(vec![])).await;
    let peer = server.dial().await;
    works(&peer).await;
    let first = peer.stats();
    assert_eq!(first.round_trips, 3);
    assert!(first.bytes_received > 0 && first.bytes_sent > 0);
    works(&peer).await;
    let second = peer.stats();
    assert_eq!(second.round_trips, 4);
    assert!(second.bytes_received > first.bytes_received && second.bytes_sent > first.bytes_sent);
}

#[tokio::test]
async fn blocks_arrive_whole_and_in_order() {
    // Beyond the credit of one query, with blocks of every size up to the greatest.
    let sizes = (0..200).map(|i| i * 317 % 60_000).chain([1 << 20, 0, 1 << 20]);
    let blocks: Vec<Vec<u8>> = sizes.enumerate().map(|(i, size)| vec![(i % 251) as u8; size]).collect();
    let server = serve(Storage::new(blocks.clone())).await;
    let here = Arc::new(Storage::new(vec![]));
    let peer = server.dial_as(credentials(1), key(2), here.clone()).await.unwrap();
    let answered = peer.ask(ask("feed")).await.unwrap();
    assert_eq!(answered.stats.blocks_stored, blocks.len() as u64);
    assert_eq!(*here.kept.lock().unwrap(), Storage::new(blocks.clone()).blocks());
    assert_eq!(answered.statement.len(), 1);
    let total: usize = blocks.iter().map(Vec::len).sum();
    let received = peer.stats().bytes_received as usize;
    assert!((total..total + total / 50).contains(&received), "{received} bytes for {total}");
    assert_eq!(peer.stats().round_trips, 3);
}

#[tokio::test]
async fn blocks_can_be_fetched_by_name() {
    let server = serve(Storage::new(vec![vec![1; 10], vec![2; 20]])).await;
    let here = Arc::new(Storage::new(vec![]));
    let peer = server.dial_as(credentials(1), key(2), here.clone()).await.unwrap();
    let fetch = Fetch { feed: feed(), ranges: RangeSet::below(2), known: Default::default(), forget: false };
    let answered = peer.fetch(fetch).await.unwrap();
    assert_eq!((answered.stats.blocks_stored, answered.stats.missing), (2, 0));
    assert_eq!(here.kept.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn without_inline_the_ranges_come_as_updates() {
    let server = serve(Storage::new(vec![vec![1]; 7])).await;
    let peer = server.dial().await;
    let mut question = peer.question(Ask { inline: false, ..ask("feed") });
    let first = question.next().await.unwrap().unwrap();
    assert_eq!(first, Update::Ranges { feed: feed(), ranges: RangeSet::below(7) });
    assert!(matches!(question.next().await, Some(Ok(Update::Done { .. }))));
    assert!(question.next().await.is_none());
    let whole = peer.ask(Ask { inline: false, ..ask("feed") }).await.unwrap();
    assert_eq!(whole.ranges, vec![(feed(), RangeSet::below(7))]);
}

#[tokio::test]
async fn a_refused_question_leaves_the_session_open() {
    let server = serve(Storage::new(vec![])).await;
    let peer = server.dial().await;
    let refused = peer.ask(ask("nothing of the kind")).await;
    assert!(
        matches!(&refused, Err(AskError::Query(QueryError::Refused { reason: Refusal::UnknownView, .. }))),
        "{refused:?}"
    );
    works(&peer).await;
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_the_others_go_on() {
    let mut server = serve(Storage::new(vec![])).await;
    let member = server.dial().await;
    let mut stranger = credentials(1);
    stranger.access.epoch = 9;
    let refused = server.dial_as(stranger, key(2), Arc::new(Storage::new(vec![]))).await;
    let Err(DialError::Handshake { source: HandshakeError::WrongKey, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(server.report().await, ServeError::Handshake(HandshakeError::Stranger)));
    works(&member).await;
}

#[tokio::test]
async fn another_peer_than_the_tickets_gets_no_answer_believed() {
    let server = serve(Storage::new(vec![vec![1]])).await;
    let here = Arc::new(Storage::new(vec![]));
    let peer = server.dial_as(credentials(1), key(3), here.clone()).await.unwrap();
    let refused = peer.ask(ask("feed")).await;
    let Err(AskError::Ended(SessionEnd::Channel(error))) = &refused else { panic!("{refused:?}") };
    assert!(
        matches!(**error, ChannelError::WrongPeer { expected, found } if expected == key(3) && found == key(2))
    );
    assert!(here.kept.lock().unwrap().is_empty());
}

#[tokio::test]
async fn peers_with_no_version_in_common_say_so() {
    let mut server = serve(Storage::new(vec![])).await;
    let mut newer = credentials(1);
    (newer.hello.min_version, newer.hello.max_version) = (900, 901);
    let refused = server.dial_as(newer, key(2), Arc::new(Storage::new(vec![]))).await;
    assert!(
        matches!(refused, Err(DialError::Handshake { source: HandshakeError::Hello(_), .. })),
        "{refused:?}"
    );
    assert!(matches!(server.report().await, ServeError::Handshake(_)));
}

#[tokio::test]
async fn a_dead_address_fails_at_once_and_a_silent_one_soon() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let started = Instant::now();
    let refused = dial(&dead, &credentials(1), key(2), &Allowance::default()).await.map(drop);
    assert!(
        matches!(&refused, Err(DialError::Unreachable { address, .. }) if *address == dead),
        "{refused:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(1));
    let silent = silent.local_addr().map(|_| silent).unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let refused = dial(&address, &credentials(1), key(2), &allowance()).await.map(drop);
    assert!(matches!(refused, Err(DialError::Timeout { phase: Phase::Handshake, .. })), "{refused:?}");
}

#[tokio::test]
async fn of_several_addresses_one_that_works_is_enough() {
    let server = serve(Storage::new(vec![])).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let addresses = [dead.clone(), server.addresses()[0].clone()];
    let here = Arc::new(Storage::new(vec![]));
    let peer = connect_any(&addresses, &credentials(1), key(2), here.clone(), &allowance()).await.unwrap();
    works(&peer).await;
    let none = connect_any(&[dead], &credentials(1), key(2), here.clone(), &allowance()).await;
    assert!(matches!(none, Err(DialError::Unreachable { .. })));
    let none = connect_any(&[], &credentials(1), key(2), here, &allowance()).await;
    assert!(matches!(none, Err(DialError::NoAddress)));
}

#[tokio::test]
async fn noise_a_cut_and_a_drip_end_only_themselves() {
    let mut server = serve(Storage::new(vec![])).await;
    let member = server.dial().await;
    let address = server.listener.address();
    let mut noise = TcpStream::connect(address).await.unwrap();
    noise.write_all(&[0xff; 5000]).await.unwrap();
    assert!(matches!(server.report().await, ServeError::Handshake(_)));
    let mut cut = TcpStream::connect(address).await.unwrap();
    cut.write_all(&[100, 0, 1, 2, 3]).await.unwrap();
    drop(cut);
    assert!(matches!(server.report().await, ServeError::Handshake(_)));
    let mut drip = TcpStream::connect(address).await.unwrap();
    drip.write_all(&[100, 0]).await.unwrap();
    assert!(matches!(server.report().await, ServeError::Timeout(_)));
    let hung_up = timeout(SOON, drip.read(&mut [0; 8])).await.expect("the server hangs up");
    assert!(matches!(hung_up, Ok(0) | Err(_)));
    works(&member).await;
}

#[tokio::test]
async fn a_member_that_breaks_the_protocol_ends_only_its_session() {
    let mut server = serve(Storage::new(vec![])).await;
    let member = server.dial().await;
    // A frame of no known kind; one that is malformed; a Done for no query.
    for frame in [vec![0x7f], vec![1, 0xff, 0xff], vec![7, 5]] {
        let (mut reader, mut writer) = server.dial_raw().await.split();
        writer.send(std::slice::from_ref(&frame)).await.unwrap();
        let report = server.report().await;
        assert!(
            matches!(&report, ServeError::Session { peer, end: SessionEnd::Session(_) } if *peer == key(1)),
            "{frame:?}: {report:?}"
        );
        // It is told why, in a Close frame, before the server hangs up.
        let last = timeout(SOON, reader.next()).await.expect("a goodbye").unwrap();
        assert_eq!(last.and_then(|frame| frame.first().copied()), Some(12));
    }
    // One that hangs up in the middle of a message.
    let (_, writer) = server.dial_raw().await.split();
    drop(writer);
    assert!(matches!(server.report().await, ServeError::Session { .. }));
    works(&member).await;
}

#[tokio::test]
async fn a_view_that_panics_ends_that_session_only() {
    let mut server = serve(Storage::new(vec![])).await;
    let member = server.dial().await;
    let unlucky = server.dial().await;
    assert!(matches!(unlucky.ask(ask("broken")).await, Err(AskError::Ended(_))));
    let report = server.report().await;
    assert!(matches!(report, ServeError::Session { end: SessionEnd::Panicked, .. }), "{report:?}");
    works(&member).await;
}

fn shares(sessions: usize) -> Shares {
    Shares { sessions, ..Shares::default() }
}

async fn as_peer(server: &Server, n: u8) -> PeerHandle {
    server.dial_as(credentials(n), key(2), Arc::new(Storage::new(vec![]))).await.unwrap()
}

/// True if the peer ended the session for want of a place.
fn names_limit<T>(outcome: &Result<T, AskError>, limit: &str) -> bool {
    let Err(AskError::Ended(SessionEnd::Session(SessionError::Peer { code: 2, text }))) = outcome else {
        return false;
    };
    text.contains(limit)
}

#[tokio::test]
async fn no_more_sessions_than_allowed_and_the_caller_is_told_why() {
    let (storage, gate) = Storage::gated();
    let server = serve_with(storage, shares(1)).await;
    let first = server.dial().await;
    let slow = first.question(ask("slow"));
    works(&first).await;
    let second = as_peer(&server, 3).await;
    let refused = timeout(SOON, second.ask(ask("empty"))).await.expect("it is told at once");
    assert!(names_limit(&refused, "MAX_SESSIONS"), "{refused:?}");
    works(&first).await;
    drop((slow, gate));
}

#[tokio::test]
async fn a_session_with_nothing_to_do_makes_room() {
    let server = serve_with(Storage::new(vec![]), shares(1)).await;
    let first = server.dial().await;
    works(&first).await;
    let second = as_peer(&server, 3).await;
    works(&second).await;
    let gone = timeout(SOON, first.ask(ask("empty"))).await.expect("it is told");
    assert!(names_limit(&gone, "MAX_SESSIONS"), "{gone:?}");
}

#[tokio::test]
async fn one_identity_or_many_of_one_address_do_not_hold_all_places() {
    let of_peer = Shares { sessions_of_peer: 2, ..Shares::default() };
    let (storage, gate) = Storage::gated();
    let server = serve_with(storage, of_peer).await;
    let mut busy = Vec::new();
    for _ in 0..2 {
        let peer = server.dial().await;
        busy.push(peer.question(ask("slow")));
        works(&peer).await;
    }
    let third = server.dial().await.ask(ask("empty")).await;
    assert!(names_limit(&third, "MAX_SESSIONS_OF_PEER"), "{third:?}");
    works(&as_peer(&server, 3).await).await;
    drop((busy, gate));
}

#[tokio::test]
async fn identities_that_cost_nothing_leave_places_to_those_met_before() {
    let (storage, gate) = Storage::gated();
    let shares = Shares { newcomers: 3, sessions: 4, ..Shares::default() };
    let is_known = Arc::new(|peer: &FeedKey| *peer == key(99));
    let options = ServeOptions { allowance: allowance(), shares, is_known, ..ServeOptions::default() };
    let listener =
        Listener::bind_with(([127, 0, 0, 1], 0).into(), credentials(2), Arc::new(storage), options)
            .await
            .unwrap();
    let server = Server { listener, reports: unbounded_channel().1 };
    let mut busy = Vec::new();
    for n in 10..13 {
        let peer = as_peer(&server, n).await;
        busy.push(peer.question(ask("slow")));
        works(&peer).await;
    }
    let refused = as_peer(&server, 20).await.ask(ask("empty")).await;
    assert!(names_limit(&refused, "MAX_NEWCOMERS"), "{refused:?}");
    works(&as_peer(&server, 99).await).await;
    drop((busy, gate));
}

#[tokio::test]
async fn a_thousand_silent_strangers_hold_up_no_member() {
    let server = serve_with(Storage::new(vec![]), Shares::default()).await;
    let member = server.dial().await;
    works(&member).await;
    let address = server.listener.address();
    let mut strangers = Vec::new();
    for _ in 0..1_000 {
        strangers.push(TcpStream::connect(address).await.unwrap());
        // Before them, among them and after them, with a session and without one, a member is served.
        if strangers.len() % 250 == 0 {
            works(&member).await;
            works(&as_peer(&server, 3).await).await;
        }
    }
    // Most of them were sent away at once, long before the handshake's time was over.
    let mut sent_away = 0;
    for stranger in &mut strangers[..800] {
        let end = timeout(SOON, stranger.read(&mut [0; 1])).await;
        sent_away += usize::from(matches!(end, Ok(Ok(0) | Err(_))));
    }
    assert_eq!(sent_away, 800);
    works(&as_peer(&server, 4).await).await;
}

#[tokio::test]
async fn a_dropped_question_is_cancelled_and_others_are_not_held_up() {
    let (storage, gate) = Storage::gated();
    let server = serve(storage).await;
    let peer = server.dial().await;
    let slow = peer.question(ask("slow"));
    works(&peer).await;
    drop(slow);
    works(&peer).await;
    drop(gate);
    works(&peer).await;
}

#[tokio::test]
async fn a_closed_session_says_so() {
    let server = serve(Storage::new(vec![])).await;
    let peer = server.dial().await;
    works(&peer).await;
    let other_handle = peer.clone();
    timeout(SOON, peer.close()).await.expect("closing is quick");
    assert!(peer.ended().is_some_and(|end| end.is_orderly()));
    let refused = other_handle.ask(ask("empty")).await;
    assert!(
        matches!(refused, Err(AskError::Ended(SessionEnd::Session(SessionError::Finished)))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_stopping_server_tells_its_peers() {
    let (storage, gate) = Storage::gated();
    let server = serve(storage).await;
    let peer = server.dial().await;
    let mut slow = peer.question(ask("slow"));
    works(&peer).await;
    let (stopped, told) = tokio::join!(timeout(SOON, server.listener.stop()), async {
        let told = timeout(SOON, slow.next()).await.expect("an end").unwrap();
        // The server waits for what its storage is doing.
        drop(gate);
        told
    });
    assert_eq!(stopped, Ok(()));
    assert!(
        matches!(&told, Err(AskError::Ended(SessionEnd::Session(SessionError::Peer { code: 0, .. })))),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_dropped_listener_ends_its_sessions() {
    let server = serve(Storage::new(vec![])).await;
    let peer = server.dial().await;
    works(&peer).await;
    drop(server);
    let ended = async {
        while peer.ended().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, ended).await.expect("the session ends");
}

#[tokio::test]
async fn a_server_that_vanishes_is_noticed() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [socket.local_addr().unwrap().to_string()];
    let vanishing = tokio::spawn(async move {
        let (stream, _) = socket.accept().await.unwrap();
        let bob = credentials(2);
        let channel = noise::accept(stream, &bob.access, &bob.identity, &bob.hello.encode()).await.unwrap();
        let (mut reader, _writer) =
            Connection::open(channel, &bob.identity, None, &allowance()).await.unwrap().split();
        reader.next().await.unwrap();
    });
    let here = Arc::new(Storage::new(vec![]));
    let peer = connect_any(&addresses, &credentials(1), key(2), here, &allowance()).await.unwrap();
    let refused = timeout(SOON, peer.ask(ask("empty"))).await.expect("an end");
    assert!(matches!(refused, Err(AskError::Ended(_))), "{refused:?}");
    vanishing.await.unwrap();
}

#[tokio::test]
async fn many_sessions_at_once_all_get_their_answers() {
    let blocks: Vec<Vec<u8>> = (0..40u8).map(|i| vec![i; 5_000]).collect();
    let server = serve_with(Storage::new(blocks.clone()), shares(64)).await;
    let asking = (0..40u8).map(|n| {
        let (server, blocks) = (&server, blocks.clone());
        async move {
            let here = Arc::new(Storage::new(vec![]));
            let peer = server.dial_as(credentials(100 + n), key(2), here.clone()).await.unwrap();
            peer.ask(ask("feed")).await.unwrap();
            assert_eq!(*here.kept.lock().unwrap(), Storage::new(blocks).blocks());
        }
    });
    futures::future::join_all(asking).await;
}

/// The driver counts flights of questions by this byte.
#[test]
fn a_question_has_kind_1() {
    let query = kappadb_sync::frame::Query {
        id: 0,
        credit: 0,
        forget: false,
        have: vec![],
        named: vec![],
        question: kappadb_sync::frame::Question::Blocks { feed: feed(), ranges: RangeSet::below(1) },
    };
    assert_eq!(kappadb_sync::frame::Frame::Query(query).encode().first(), Some(&1));
}
