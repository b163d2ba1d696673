//! Peers that are asleep, drip, die in the middle of an answer, or know only a part: each beside one that is well, and alone. What is
//! lacking is never called complete, and who is to blame is named.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

use kappadb::{
    Answer, AskError, Builder, Completeness, Database, FeedKey, KeyRange, KvItem, ScanOptions, Server,
    Source, Ticket,
};
use kappadb_core::SecretKey;
use kappadb_net::{Allowance, Connection, DialError, FrameReader, FrameWriter, Identity, noise};
use kappadb_sync::Hello;
use kappadb_sync::frame::Frame;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// For how long the late ones are waited for.
const SHORT: Duration = Duration::from_millis(700);
/// Never over in a test.
const LONG: Duration = Duration::from_secs(60);

/// A database with so many keys, which answers.
async fn full(keys: u32) -> (TempDir, Database, Server) {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::builder(dir.path().join("full")).create().await.unwrap();
    for key in 0..keys {
        database.kv().put(format!("key {key:04}"), vec![7; 2_000]).await.unwrap();
    }
    let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    (dir, database, server)
}

fn builder(dir: &Path, patience: Duration) -> Builder {
    Database::builder(dir).patience(patience)
}

/// A new replica that knows the peers of these tickets, the last one first.
async fn joined(dir: &Path, tickets: &[Ticket], patience: Duration) -> Database {
    for ticket in tickets {
        builder(dir, patience).join(ticket).await.unwrap().close().await.unwrap();
    }
    builder(dir, patience).open().await.unwrap()
}

/// The same ticket for another peer.
fn of_peer(ticket: &Ticket, peer: FeedKey, address: String) -> Ticket {
    let mut of_peer = ticket.clone();
    (of_peer.peer, of_peer.addresses) = (peer, vec![address]);
    of_peer
}

fn identity(n: u8) -> Identity {
    Identity::new(SecretKey::from_seed(&[n; 32]))
}

/// A peer that takes connections and says nothing, as one that was stopped does.
async fn asleep(ticket: &Ticket) -> (TcpListener, Ticket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, of_peer(ticket, identity(1).public(), address))
}

/// A member that does as `behave` says with each session.
async fn member<Behave, Done>(ticket: &Ticket, behave: Behave) -> (JoinHandle<()>, Ticket)
where
    Behave: Fn(FrameReader, FrameWriter) -> Done + Send + Sync + 'static,
    Done: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let access = ticket.access();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let hello = Hello::default().encode();
            let Ok(channel) = noise::accept(stream, &access, &identity(2), &hello).await else { continue };
            let opened = Connection::open(channel, &identity(2), None, &Allowance::default()).await;
            let Ok(connection) = opened else { continue };
            let (reader, writer) = connection.split();
            behave(reader, writer).await;
        }
    });
    (task, of_peer(ticket, identity(2).public(), address))
}

async fn all(database: &Database) -> Answer<KvItem, Vec<u8>> {
    database.kv().scan(&KeyRange::ALL, &ScanOptions::default()).from(Source::Peers).await.unwrap()
}

async fn held(database: &Database) -> usize {
    database.kv().scan(&KeyRange::ALL, &ScanOptions::default()).await.unwrap().items.len()
}

fn is_late(answer: &Answer<KvItem, Vec<u8>>) -> bool {
    let late = |error: &AskError| match error {
        AskError::Late(after) => *after <= SHORT,
        AskError::Dial(error) => matches!(**error, DialError::Timeout { after, .. } if after == SHORT),
        _ => false,
    };
    matches!(answer.asked.failures.as_slice(), [failure] if late(&failure.error))
}

#[tokio::test]
async fn one_peer_asleep_beside_one_awake_is_named_and_the_answer_is_whole() {
    let (dir, _database, server) = full(20).await;
    let (_listener, sleeper) = asleep(&server.ticket()).await;
    for (name, tickets) in [
        ("asleep first", [server.ticket(), sleeper.clone()]),
        ("asleep last", [sleeper.clone(), server.ticket()]),
    ] {
        let sparse = joined(&dir.path().join(name), &tickets, SHORT).await;
        let answer = all(&sparse).await;
        assert!(is_late(&answer), "{name}: {answer:?}");
        assert_eq!(
            (answer.asked.peers, answer.is_complete(), held(&sparse).await),
            (1, true, 20),
            "{name}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn who_gives_a_question_less_time_than_peers_have_gets_what_has_come_by_then() {
    let (dir, _database, server) = full(20).await;
    let (_listener, sleeper) = asleep(&server.ticket()).await;
    for (name, tickets) in [
        ("asleep first", vec![server.ticket(), sleeper.clone()]),
        ("asleep last", vec![sleeper.clone(), server.ticket()]),
        ("asleep alone", vec![sleeper.clone()]),
    ] {
        let sparse = joined(&dir.path().join(name), &tickets, LONG).await;
        let begun = Instant::now();
        let scan = sparse.kv().scan(&KeyRange::ALL, &ScanOptions::default());
        let answer = scan.from(Source::Peers).within(SHORT).await.unwrap();
        assert!(begun.elapsed() < LONG / 2, "{name}");
        assert!(is_late(&answer), "{name}: {answer:?}");
        let awake = u64::from(tickets.len() > 1);
        assert_eq!((answer.asked.peers, answer.is_complete()), (awake, awake > 0), "{name}: {answer:?}");
        assert_eq!(answer.items.len(), if awake > 0 { 20 } else { 0 }, "{name}");
    }
}

#[tokio::test]
async fn a_question_whose_time_is_over_in_the_middle_of_an_answer_keeps_what_came_and_is_not_complete() {
    let (dir, _database, server) = full(20).await;
    // Passes on the beginning of what the server says, and then nothing more.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let to = server.address();
    let task = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(to).await.unwrap();
            let (mut from_near, mut to_near) = near.split();
            let (from_far, mut to_far) = far.split();
            let mut limited = from_far.take(20_000);
            let begin = async {
                let _ = tokio::io::copy(&mut limited, &mut to_near).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = tokio::io::copy(&mut from_near, &mut to_far) => {}
                () = begin => {}
            }
        }
    });
    let ticket = server.ticket();
    let stuck = of_peer(&ticket, ticket.peer, at);
    let sparse = joined(&dir.path().join("sparse"), &[stuck], LONG).await;
    let all = KeyRange::ALL;
    let answer =
        sparse.kv().scan(&all, &ScanOptions::default()).from(Source::Peers).within(SHORT).await.unwrap();
    assert!(is_late(&answer) && answer.completeness == Completeness::Partial, "{answer:?}");
    assert_eq!(answer.asked.peers, 0, "{answer:?}");
    // Nor does it look better later.
    let again = sparse.kv().scan(&all, &ScanOptions::default()).await.unwrap();
    assert!(again.items.len() < 20 && again.completeness == Completeness::Partial, "{again:?}");
    task.abort();
}

#[tokio::test]
async fn one_peer_asleep_and_nobody_else_is_no_complete_answer() {
    let (dir, _database, server) = full(1).await;
    let (_listener, sleeper) = asleep(&server.ticket()).await;
    let sparse = joined(&dir.path().join("sparse"), &[sleeper], SHORT).await;
    let answer = all(&sparse).await;
    assert!(is_late(&answer) && !answer.is_complete() && answer.asked.peers == 0, "{answer:?}");
}

#[tokio::test]
async fn a_member_that_accepts_and_says_nothing_more_holds_neither_question_nor_peer() {
    let (dir, _database, server) = full(20).await;
    let (silent, ticket) = member(&server.ticket(), |mut reader, mut writer| async move {
        while reader.next().await.is_ok_and(|frame| frame.is_some()) {
            let _ = writer.send(&[Frame::Accept { query: 0 }.encode()]).await;
        }
    })
    .await;
    let sparse = joined(&dir.path().join("sparse"), &[server.ticket(), ticket], SHORT).await;
    let answer = all(&sparse).await;
    assert_eq!((answer.asked.peers, answer.is_complete(), held(&sparse).await), (1, true, 20), "{answer:?}");
    assert!(
        matches!(answer.asked.failures.as_slice(), [failure] if failure.peer == identity(2).public()),
        "{answer:?}"
    );
    silent.abort();
}

#[tokio::test]
async fn a_member_that_drips_holds_no_question() {
    let (dir, _database, server) = full(20).await;
    let (dripping, ticket) = member(&server.ticket(), |mut reader, mut writer| async move {
        let _ = reader.next().await;
        // One byte at a time of what would be a frame of a megabyte, as if it were on its way.
        let _ = writer.send(&[Frame::Accept { query: 0 }.encode()]).await;
        let skippable = [0xff_u8; 2];
        while writer.send(&[skippable.to_vec()]).await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    })
    .await;
    let sparse = joined(&dir.path().join("sparse"), &[server.ticket(), ticket], SHORT).await;
    let answer = all(&sparse).await;
    assert_eq!((answer.asked.peers, answer.is_complete(), held(&sparse).await), (1, true, 20), "{answer:?}");
    assert_eq!(answer.asked.failures.len(), 1, "{answer:?}");
    dripping.abort();
}

/// Passes on what a server says until so many bytes went through, and then hangs up, as one that is killed does.
async fn dying(server: &Server, after: u64) -> (JoinHandle<()>, Ticket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ticket = server.ticket();
    let (to, at) = (server.address(), listener.local_addr().unwrap().to_string());
    let task = tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(to).await.unwrap();
            let (mut from_near, mut to_near) = near.split();
            let (from_far, mut to_far) = far.split();
            let mut limited = from_far.take(after);
            tokio::select! {
                _ = tokio::io::copy(&mut from_near, &mut to_far) => {}
                _ = tokio::io::copy(&mut limited, &mut to_near) => {}
            }
            let _ = to_near.shutdown().await;
        }
    });
    let ticket = of_peer(&ticket, ticket.peer, at);
    (task, ticket)
}

#[tokio::test]
async fn a_peer_killed_in_mid_query_leaves_no_answer_that_looks_whole() {
    let (dir, _database, server) = full(240).await;
    let mut cut_short = 0;
    for after in [0, 100, 300, 1_000, 5_000, 20_000, 60_000, 70_000, 120_000, 200_000, 10_000_000] {
        let (task, ticket) = dying(&server, after).await;
        let path = dir.path().join(format!("sparse {after}"));
        let sparse = joined(&path, &[ticket], LONG).await;
        let answer = all(&sparse).await;
        // What came before the end is kept, though nothing says so at once.
        sparse.close().await.unwrap();
        let held = held(&builder(&path, LONG).open().await.unwrap()).await;
        assert!(held == 240 || !answer.is_complete(), "{after}: {held} held: {answer:?}");
        assert!(answer.is_complete() || answer.asked.failures.len() == 1, "{after}: {answer:?}");
        cut_short += u32::from(held > 0 && held < 240);
        task.abort();
    }
    assert!(cut_short > 0, "nothing was cut in the middle");
}

#[tokio::test]
async fn a_peer_killed_in_mid_query_beside_one_alive_costs_nothing_but_its_name() {
    let (dir, database, server) = full(60).await;
    let (task, dying) = dying(&server, 300).await;
    let other = joined(&dir.path().join("other"), &[server.ticket()], LONG).await;
    assert!(all(&other).await.is_complete());
    let alive = other.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let sparse = joined(&dir.path().join("sparse"), &[alive.ticket(), dying], LONG).await;
    let answer = all(&sparse).await;
    assert_eq!(
        (answer.is_complete(), held(&sparse).await, answer.asked.failures.len()),
        (true, 60, 1),
        "{answer:?}"
    );
    task.abort();
    drop(database);
}

#[tokio::test]
async fn a_peer_that_is_sparse_itself_does_not_make_an_answer_complete() {
    let (dir, _database, server) = full(20).await;
    let sparse = joined(&dir.path().join("sparse"), &[server.ticket()], LONG).await;
    assert!(sparse.kv().get_all(["key 0003"]).from(Source::Peers).await.unwrap().is_complete());
    let relay = sparse.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let asker = joined(&dir.path().join("asker"), &[relay.ticket()], LONG).await;
    // What it had asked for itself it can vouch for, and nothing else.
    assert!(asker.kv().get_all(["key 0003"]).from(Source::Peers).await.unwrap().is_complete());
    let answer = all(&asker).await;
    assert_eq!(
        (answer.is_complete(), held(&asker).await, answer.asked.failures.len()),
        (false, 1, 0),
        "{answer:?}"
    );
    assert!(!asker.kv().get_all(["key 0004"]).from(Source::Peers).await.unwrap().is_complete());
    // Beside one that holds all, it does no harm.
    let asker = joined(&dir.path().join("both"), &[server.ticket(), relay.ticket()], LONG).await;
    let answer = all(&asker).await;
    assert_eq!((answer.is_complete(), held(&asker).await), (true, 20), "{answer:?}");
}

#[tokio::test]
async fn a_peer_that_is_down_beside_one_alive_is_named_and_what_only_it_knows_is_not_claimed() {
    let (dir, _database, server) = full(20).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let down = of_peer(&server.ticket(), identity(3).public(), gone);
    let sparse = joined(&dir.path().join("sparse"), &[server.ticket(), down.clone()], LONG).await;
    let answer = all(&sparse).await;
    assert_eq!((answer.is_complete(), held(&sparse).await), (true, 20), "{answer:?}");
    let [failure] = answer.asked.failures.as_slice() else { panic!("{answer:?}") };
    assert!(failure.peer == down.peer && matches!(failure.error, AskError::Dial(_)), "{answer:?}");
    // Beside one alive that is sparse, the answer lacks something and says so.
    let relay = joined(&dir.path().join("relay"), &[server.ticket()], LONG).await;
    assert!(relay.kv().get_all(["key 0003"]).from(Source::Peers).await.unwrap().is_complete());
    let relay = relay.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
    let asker = joined(&dir.path().join("asker"), &[relay.ticket(), down], LONG).await;
    let answer = all(&asker).await;
    assert!(
        !answer.is_complete() && answer.asked.failures.len() == 1 && held(&asker).await == 1,
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_answer_beyond_the_bytes_of_a_question_is_kept_and_gone_on_with() {
    let (dir, _database, server) = full(200).await;
    let path = dir.path().join("sparse");
    builder(&path, LONG).join(&server.ticket()).await.unwrap().close().await.unwrap();
    let sparse = builder(&path, LONG).question_bytes(150_000).open().await.unwrap();
    let (mut before, mut rounds) = (0, 0);
    loop {
        let answer = all(&sparse).await;
        let now = held(&sparse).await;
        if answer.is_complete() {
            assert_eq!((now, answer.asked.failures.len()), (200, 0));
            break;
        }
        assert!(answer.asked.failures.len() == 1 && now > before, "{answer:?}: {before} then {now}");
        (before, rounds) = (now, rounds + 1);
    }
    assert!((2..=4).contains(&rounds), "{rounds}");
}

#[tokio::test]
async fn one_peer_asleep_beside_one_awake_costs_the_next_questions_nothing() {
    let (dir, _database, server) = full(20).await;
    let (_listener, sleeper) = asleep(&server.ticket()).await;
    let patience = Duration::from_secs(8);
    let sparse = joined(&dir.path().join("sparse"), &[server.ticket(), sleeper.clone()], patience).await;
    let first = Instant::now();
    assert!(all(&sparse).await.is_complete());
    assert!(first.elapsed() < patience / 2, "{:?}", first.elapsed());
    for _ in 0..3 {
        let begun = Instant::now();
        let answer = all(&sparse).await;
        assert!(begun.elapsed() < patience / 8, "{:?}", begun.elapsed());
        let [failure] = answer.asked.failures.as_slice() else { panic!("{answer:?}") };
        assert!(failure.peer == sleeper.peer && matches!(failure.error, AskError::Away(_)), "{answer:?}");
    }
}
