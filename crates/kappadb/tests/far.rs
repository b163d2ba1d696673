//! Several peers, each a long way off: they are asked side by side, and each block comes once.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]
#![expect(clippy::print_stdout, reason = "figures for who looks at them")]

use kappadb::{
    Answer, Database, Interest, KeyRange, KvItem, PeerConnection, ScanOptions, Server, Source, Ticket,
};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

/// From one side to the other.
const WAY: Duration = Duration::from_millis(100);
const PEERS: usize = 5;
const SOON: Duration = Duration::from_secs(60);

/// Passes on what is said, each byte as late as over a long way.
async fn late(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (sent, mut under_way) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = under_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut bytes).await {
        let _ = sent.send((tokio::time::Instant::now() + WAY, bytes[..len].to_vec()));
    }
}

/// A ticket for the same peer, a long way off.
async fn far(server: &Server) -> Ticket {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut ticket = server.ticket();
    ticket.addresses = vec![listener.local_addr().unwrap().to_string()];
    let to = server.address();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(to).await else { continue };
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(late(from_near, to_far));
            tokio::spawn(late(from_far, to_near));
        }
    });
    ticket
}

async fn scan(database: &Database) -> Answer<KvItem, Vec<u8>> {
    let all = database.kv().scan(&KeyRange::ALL, &ScanOptions::default()).from(Source::Peers);
    timeout(SOON, all).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_peers_far_away_are_asked_at_once_and_each_block_comes_once() {
    let dir = tempfile::tempdir().unwrap();
    let builder = |name: &str| Database::builder(dir.path().join(name)).patience(SOON);
    let first = builder("0").create().await.unwrap();
    for n in 0..50 {
        first.kv().put(format!("shared {n}"), vec![7; 2_000]).await.unwrap();
    }
    let mut servers = vec![first.serve(([127, 0, 0, 1], 0).into()).await.unwrap()];
    let mut peers = vec![first];
    // Each of the others has all of the first, and one key that nobody else has.
    for n in 1..PEERS {
        let peer = builder(&n.to_string()).join(&servers[0].ticket()).await.unwrap();
        assert!(scan(&peer).await.is_complete());
        for known in peer.peers().list() {
            peer.peers().remove(known.key).await.unwrap();
        }
        peer.kv().put(format!("only {n}"), "v").await.unwrap();
        servers.push(peer.serve(([127, 0, 0, 1], 0).into()).await.unwrap());
        peers.push(peer);
    }
    let asker = builder("asker").join(&far(&servers[0]).await).await.unwrap();
    for server in &servers[1..] {
        asker.peers().add(&far(server).await, None).await.unwrap();
    }
    // Sessions are kept meanwhile, so the first question is as good as the second.
    let _kept = asker.follow(&Interest::Key("nothing".to_owned()));
    let begun = Instant::now();
    while asker
        .peers()
        .states()
        .iter()
        .filter(|state| matches!(state.connection, PeerConnection::Open { .. }))
        .count()
        < PEERS
    {
        assert!(begun.elapsed() < SOON, "{:?}", asker.peers().states());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = scan(&asker).await;
    assert!(answer.is_complete() && answer.asked.failures.is_empty(), "{:?}", answer.asked);
    assert_eq!((answer.items.len(), answer.asked.blocks_fetched), (50 + PEERS - 1, 50 + PEERS as u64 - 1));
    // Each block was sent once, and nobody had to be told of all.
    assert!(answer.asked.bytes_received < 50 * 2_000 * 13 / 10, "{:?}", answer.asked);

    let begun = Instant::now();
    let answer = scan(&asker).await;
    let took = begun.elapsed();
    assert_eq!(
        (answer.is_complete(), answer.asked.peers, answer.asked.blocks_fetched),
        (true, PEERS as u64, 0)
    );
    println!("nothing new from {PEERS} peers at {:?} there and back: {took:?}", 2 * WAY);
    assert!(
        took < 2 * WAY * 2 + Duration::from_millis(300),
        "one after the other it would be {:?}: {took:?}",
        2 * WAY * 5
    );
}
