//! Members that misbehave in sessions that last: memory stays bounded, who writes does not wait, and the honest are served.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests may fail loudly"
)]
#![expect(clippy::print_stdout, reason = "figures for who looks at them")]

use kappadb::{Database, Interest, Server, Source, Ticket};
use kappadb_core::limits::{MAX_CREDIT, MAX_OPEN_QUERIES, MAX_TOKEN};
use kappadb_core::{DatabaseId, FeedDefinition, SecretKey, Timestamp};
use kappadb_net::{Allowance, Connection, FrameReader, FrameWriter, Identity, noise};
use kappadb_query::Selector;
use kappadb_sync::frame::{Change, Frame, Last, Query, Question, Statement};
use kappadb_sync::{Hello, Introduction, Rest};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);
/// What may be taken in memory for a test's hostile peers, in bytes.
const MUCH: u64 = 100 << 20;

/// One test at a time: they measure the memory of the process.
static ALONE: Mutex<()> = Mutex::const_new(());

struct Victim {
    database: Database,
    server: Server,
    dir: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Victim {
    async fn new() -> Victim {
        let alone = ALONE.lock().await;
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path().join("victim")).create().await.unwrap();
        let server = database.serve(([127, 0, 0, 1], 0).into()).await.unwrap();
        Victim { database, server, dir, _alone: alone }
    }

    async fn follower(&self, name: &str) -> Database {
        Database::builder(self.dir.path().join(name)).join(&self.server.ticket()).await.unwrap()
    }

    async fn put(&self, key: &str, value: impl Into<Vec<u8>>) {
        self.database.kv().put(key, value).await.unwrap();
    }
}

async fn has(database: &Database, key: &str) -> Duration {
    let begun = Instant::now();
    while database.kv().get(key).await.unwrap().items.is_empty() {
        assert!(begun.elapsed() < SOON, "{key} never comes");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    begun.elapsed()
}

/// Bytes of memory that this process has.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

fn identity(n: u32) -> Identity {
    let mut seed = [9; 32];
    seed[..4].copy_from_slice(&n.to_le_bytes());
    Identity::new(SecretKey::from_seed(&seed))
}

/// A member that has called, and says what it likes.
async fn caller(ticket: &Ticket, n: u32) -> (FrameReader, FrameWriter) {
    let stream = TcpStream::connect(&ticket.addresses[0]).await.unwrap();
    let (me, hello) = (identity(n), Hello::default().encode());
    let channel = noise::dial(stream, &ticket.access(), &me, &hello).await.unwrap();
    let allowance = Allowance::default();
    Connection::open(channel, &me, Some(ticket.peer), &allowance).await.unwrap().split()
}

fn live(id: u32, view: &str, selector: &Selector, credit: u64, since: Option<Vec<u8>>) -> Vec<u8> {
    let question = Question::View {
        view: view.to_owned(),
        selector: selector.encode().unwrap(),
        inline: true,
        direct: false,
        live: true,
        since,
        without: BTreeSet::new(),
    };
    Frame::Query(Query { id, credit, forget: false, have: vec![], named: vec![], question }).encode()
}

fn everything(id: u32, credit: u64) -> Vec<u8> {
    live(id, "feeds", &Selector::Everything, credit, None)
}

/// Reads until a frame of this sort; `None` if the session ends before.
async fn until<T>(reader: &mut FrameReader, mut wanted: impl FnMut(Frame) -> Option<T>) -> Option<T> {
    let read = async {
        while let Ok(Some(bytes)) = reader.next().await {
            let frame = Frame::decode(&bytes).unwrap();
            if let Some(found) = frame.and_then(&mut wanted) {
                return Some(found);
            }
        }
        None
    };
    timeout(SOON, read).await.unwrap()
}

async fn statement(reader: &mut FrameReader) -> Option<(u32, u64, Option<Vec<u8>>)> {
    let mut blocks = 0;
    until(reader, |frame| match frame {
        Frame::Blocks(frame) => {
            blocks += frame.blocks.len() as u64;
            None
        }
        Frame::Statement(Statement { query, token, last: Last::Own, .. }) => Some((query, blocks, token)),
        _ => None,
    })
    .await
}

/// Why the session was ended.
async fn farewell(reader: &mut FrameReader) -> Option<String> {
    until(reader, |frame| match frame {
        Frame::Close { text, .. } => Some(text),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn one_who_asks_all_that_it_may_live_and_reads_nothing_holds_up_nobody() {
    let victim = Victim::new().await;
    let (_reader, mut writer) = caller(&victim.server.ticket(), 1).await;
    let many: Vec<_> = (0..MAX_OPEN_QUERIES as u32).map(|id| everything(id, MAX_CREDIT)).collect();
    writer.send(&many).await.unwrap();
    let follower = victim.follower("follower").await;
    let _following = follower.follow(&Interest::Everything);
    victim.put("first", "v").await;
    has(&follower, "first").await;
    let before = memory();
    for n in 0..100u8 {
        victim.put(&format!("k{n}"), vec![n; 50_000]).await;
    }
    has(&follower, "k99").await;
    let more = memory().saturating_sub(before);
    assert!(more < MUCH, "{more} bytes");
}

#[tokio::test]
async fn one_who_asks_live_and_gives_up_again_and_again_leaves_nothing_behind() {
    let victim = Victim::new().await;
    let (mut reader, mut writer) = caller(&victim.server.ticket(), 1).await;
    let before = memory();
    for round in 0..100u32 {
        let ids = round * 20..(round + 1) * 20;
        let frames: Vec<_> = ids
            .clone()
            .flat_map(|id| [everything(id, 1_000), Frame::Cancel { query: id }.encode()])
            .collect();
        writer.send(&frames).await.unwrap();
        for _ in ids {
            let done = until(&mut reader, |frame| matches!(frame, Frame::Done { .. }).then_some(())).await;
            assert!(done.is_some(), "round {round}");
        }
    }
    let more = memory().saturating_sub(before);
    assert!(more < MUCH / 4, "{more} bytes");
    victim.put("k", "v").await;
    let id = victim.database.last_written().await.unwrap().unwrap();
    assert!(victim.database.delivery(id).await.unwrap().awaited.is_empty(), "nobody asks any more");
}

#[tokio::test]
async fn one_who_confirms_what_was_never_said_is_sent_away() {
    let victim = Victim::new().await;
    victim.put("k", "v").await;
    let (mut reader, mut writer) = caller(&victim.server.ticket(), 1).await;
    writer.send(&[everything(0, MAX_CREDIT)]).await.unwrap();
    assert!(statement(&mut reader).await.is_some());
    writer.send(&[Frame::Held { query: 0, statements: 2 }.encode()]).await.unwrap();
    let why = farewell(&mut reader).await.unwrap();
    assert!(why.contains("Held"), "{why}");
    let id = victim.database.last_written().await.unwrap().unwrap();
    assert!(victim.database.delivery(id).await.unwrap().held_by.is_empty());
}

#[tokio::test]
async fn a_token_of_another_question_or_of_nothing_is_answered_with_all() {
    let victim = Victim::new().await;
    for n in 0..10 {
        victim.put(&format!("k{n}"), "v").await;
    }
    let keys = Selector::Prefix(b"k".to_vec());
    let (mut reader, mut writer) = caller(&victim.server.ticket(), 1).await;
    writer.send(&[everything(0, MAX_CREDIT)]).await.unwrap();
    let (_, blocks, token) = statement(&mut reader).await.unwrap();
    assert_eq!(blocks, 10);
    for (n, token) in [token.unwrap(), vec![7; 60], vec![0; MAX_TOKEN]].into_iter().enumerate() {
        let (mut reader, mut writer) = caller(&victim.server.ticket(), 2).await;
        writer.send(&[live(0, "kv", &keys, MAX_CREDIT, Some(token))]).await.unwrap();
        assert_eq!(statement(&mut reader).await.map(|(_, blocks, _)| blocks), Some(10), "token {n}");
    }
    let (mut reader, mut writer) = caller(&victim.server.ticket(), 2).await;
    writer.send(&[live(0, "kv", &keys, MAX_CREDIT, Some(vec![0; MAX_TOKEN + 1]))]).await.unwrap();
    let why = farewell(&mut reader).await.unwrap();
    assert!(why.contains("MAX_TOKEN"), "{why}");
}

#[tokio::test]
async fn one_who_asks_without_end_whether_we_are_there_takes_no_memory() {
    let victim = Victim::new().await;
    let (mut reader, mut writer) = caller(&victim.server.ticket(), 1).await;
    let before = memory();
    let flood = vec![Frame::Alive { answer: true }.encode(); 1_000];
    // Whoever does not read what it asks for is sent away, or not read for.
    let mut sent = 0;
    while sent < 2_000_000 {
        match timeout(Duration::from_secs(2), writer.send(&flood)).await {
            Ok(Ok(())) => sent += flood.len(),
            _ => break,
        }
    }
    let more = memory().saturating_sub(before);
    assert!(more < MUCH, "{more} bytes after {sent}");
    let follower = victim.follower("follower").await;
    victim.put("k", "v").await;
    assert!(follower.kv().get("k").from(Source::Peers).await.unwrap().is_complete());
    drop(writer);
    let _ = timeout(Duration::from_secs(2), farewell(&mut reader)).await;
}

/// Somebody who can be reached there, as he says himself.
fn introduced(victim: &Victim, n: u32, at: i64) -> Introduction {
    let addresses = vec![format!("127.0.0.1:{}", 1 + n % 1_000)];
    identity(n).introduce(&victim.database.id(), Timestamp(at), addresses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_introduces_peers_that_there_are_not_fills_no_memory_and_nobody_is_called_without_end() {
    let victim = Victim::new().await;
    let now = 1_790_000_000_000;
    let (_reader, mut writer) = caller(&victim.server.ticket(), 1).await;
    let (mut heard, mut other) = caller(&victim.server.ticket(), 2).await;
    let before = memory();
    let said: Vec<Vec<u8>> = (0..200)
        .map(|n| {
            Frame::Introduce((0..32).map(|m| introduced(&victim, 100 + n * 32 + m, now)).collect()).encode()
        })
        .collect();
    for _ in 0..20 {
        let _ = timeout(Duration::from_secs(2), writer.send(&said)).await;
    }
    // What somebody else said, changed, is believed by nobody.
    let forged = Introduction { peer: identity(3).public(), ..introduced(&victim, 4, now) };
    let _ = writer.send(&[Frame::Introduce(vec![forged]).encode()]).await;
    let true_one = introduced(&victim, 5, now);
    other.send(&[Frame::Introduce(vec![true_one]).encode()]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let more = memory().saturating_sub(before);
    assert!(more < MUCH, "{more} bytes");
    let states = victim.database.peers().states();
    assert!(states.len() <= 16, "{} are known", states.len());
    assert!(states.iter().all(|state| state.key != identity(3).public()));
    // Others are told of few of them.
    let mut passed_on = 0;
    let read = async {
        while let Ok(Some(bytes)) = heard.next().await {
            if let Ok(Some(Frame::Introduce(peers))) = Frame::decode(&bytes) {
                passed_on += peers.len();
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), read).await;
    assert!(passed_on <= 2 * 64, "{passed_on}");
    let follower = victim.follower("follower").await;
    victim.put("k", "v").await;
    assert!(follower.kv().get("k").from(Source::Peers).await.unwrap().is_complete());
}

/// The longest and the middle of what so many writes took.
async fn writes(victim: &Victim, name: &str, count: usize) -> (Duration, Duration) {
    let mut took = Vec::new();
    for n in 0..count {
        let begun = Instant::now();
        victim.put(&format!("{name}{n}"), "v").await;
        took.push(begun.elapsed());
    }
    took.sort();
    (took[count * 99 / 100], took[count / 2])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_questions_that_are_costly_do_not_slow_down_who_writes() {
    let victim = Victim::new().await;
    victim.put("first", "v").await;
    let alone = writes(&victim, "alone", 200).await;
    let keys = Selector::keys((0..1_000u32).map(|n| format!("wanted {n}")));
    let mut callers = Vec::new();
    for n in 0..4 {
        let (mut reader, mut writer) = caller(&victim.server.ticket(), n).await;
        let custom = Selector::Custom(vec![1; 60_000]);
        let frames = (0..60).map(|id| match id % 3 {
            0 => live(id, "kv", &custom, MAX_CREDIT, None),
            1 => live(id, "kv", &keys, MAX_CREDIT, None),
            _ => live(id, "chat", &Selector::Everything, MAX_CREDIT, None),
        });
        writer.send(&frames.collect::<Vec<_>>()).await.unwrap();
        callers.push((
            tokio::spawn(async move { while reader.next().await.is_ok_and(|f| f.is_some()) {} }),
            writer,
        ));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let among = writes(&victim, "among", 800).await;
    callers.iter().for_each(|(reads, _)| reads.abort());
    println!("p99 and median of writes alone {alone:?}, among costly questions {among:?}");
    // The machine may be busy: what is asked is that writes do not wait for what is looked up.
    let most = alone.1 * 5 + Duration::from_millis(20);
    assert!(among.1 < most, "p99 and median alone {alone:?}, among costly questions {among:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_who_follow_everything_and_take_nothing_cost_little_and_the_honest_get_all() {
    let victim = Victim::new().await;
    let honest = [victim.follower("one").await, victim.follower("two").await];
    let _followed = honest.each_ref().map(|follower| follower.follow(&Interest::Everything));
    victim.put("first", "v").await;
    for follower in &honest {
        has(follower, "first").await;
    }
    let mut callers = Vec::new();
    for n in 0..200 {
        let (reader, mut writer) = caller(&victim.server.ticket(), n).await;
        // Those for whom there is no place are told so.
        let _ = writer.send(&[everything(0, 1)]).await;
        callers.push((reader, writer));
    }
    let before = memory();
    for n in 0..400u32 {
        victim.put(&format!("k{n}"), vec![n as u8; 50_000]).await;
    }
    let took = [has(&honest[0], "k399").await, has(&honest[1], "k399").await];
    let more = memory().saturating_sub(before);
    assert!(more < 3 * MUCH, "{more} bytes");
    println!("two hundred who take nothing: {more} bytes, the honest had all after {took:?}");
    assert!(took.iter().all(|took| *took < SOON / 2), "{took:?}");
}

/// The frames that a member answers a question of this number with.
type Say = fn(u32) -> Vec<Vec<u8>>;

/// A member that is asked one question in each session, and then does as it likes.
async fn asked<Does>(
    ticket: &Ticket,
    mut does: impl FnMut(u32, FrameReader, FrameWriter) -> Does + Send + 'static,
) -> (tokio::task::JoinHandle<()>, Ticket)
where
    Does: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut of_peer = ticket.clone();
    (of_peer.peer, of_peer.addresses) =
        (identity(77).public(), vec![listener.local_addr().unwrap().to_string()]);
    let access = ticket.access();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (me, hello) = (identity(77), Hello::default().encode());
            let Ok(channel) = noise::accept(stream, &access, &me, &hello).await else { continue };
            let opened = Connection::open(channel, &me, None, &Allowance::default()).await;
            let Ok(connection) = opened else { continue };
            let (mut reader, writer) = connection.split();
            let asked = until(&mut reader, |frame| match frame {
                Frame::Query(query) => Some(query.id),
                _ => None,
            });
            if let Some(query) = asked.await {
                does(query, reader, writer).await;
            }
        }
    });
    (task, of_peer)
}

/// A member that answers each question with what `say` makes of its number, again and again.
async fn answerer(ticket: &Ticket, say: Say) -> (tokio::task::JoinHandle<()>, Ticket) {
    asked(ticket, move |query, mut reader, mut writer| async move {
        tokio::spawn(async move { while reader.next().await.is_ok_and(|f| f.is_some()) {} });
        if writer.send(&[Frame::Accept { query }.encode()]).await.is_err() {
            return;
        }
        let key = SecretKey::from_seed(&[5; 32]);
        let definition = FeedDefinition::sign(&DatabaseId([0; 32]), &key, Timestamp(0), None);
        let _ = writer.send(&[Frame::Feed(definition).encode(), stated(query, 1, true)]).await;
        let frames = say(query);
        while writer.send(&frames).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
}

fn stated(query: u32, times: usize, last: bool) -> Vec<u8> {
    let change = Change { feed: 0, claimed: 1, length: 1, at: 0, root: [0; 16] };
    let (changes, rest) = (vec![change; times], Rest::default());
    let token = last.then(|| vec![1; MAX_TOKEN]);
    let last = if last { Last::Own } else { Last::No };
    Frame::Statement(Statement { query, changes, rest, token, last }).encode()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_statements_never_end_fills_no_memory_and_others_are_heard() {
    let says: [Say; 2] =
        [|query| vec![stated(query, 1, true); 100], |query| vec![stated(query, 8_000, false); 10]];
    for (n, say) in says.into_iter().enumerate() {
        let victim = Victim::new().await;
        let (task, flooding) = answerer(&victim.server.ticket(), say).await;
        let follower = victim.follower("follower").await;
        let before = memory();
        let _following = follower.follow(&Interest::Everything);
        follower.peers().add(&flooding, None).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        victim.put("k", "v").await;
        let took = has(&follower, "k").await;
        let more = memory().saturating_sub(before);
        println!("statements without end, {n}: {more} bytes, what others say came after {took:?}");
        assert!(more < MUCH, "flood {n}: {more} bytes, {took:?}");
        task.abort();
    }
}

#[tokio::test]
async fn who_follows_a_hundred_things_can_still_ask() {
    let victim = Victim::new().await;
    victim.put("k", "v").await;
    let follower = victim.follower("follower").await;
    let followed: Vec<_> = (0..100).map(|n| follower.follow(&Interest::Prefix(format!("p{n:02}")))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = follower.kv().get("k").from(Source::Peers).await.unwrap();
    assert!(answer.is_complete() && answer.items.len() == 1, "{answer:?}");
    drop(followed);
}

#[tokio::test]
async fn a_peer_that_leaves_a_session_for_a_better_one_while_it_is_asked_in_it_is_asked_in_the_other() {
    // Both call at once, and the peer leaves one of the two as the question comes. One that does so each time is named.
    for leaves in [1, u32::MAX] {
        let victim = Victim::new().await;
        let asker = victim.follower("asker").await;
        asker.peers().remove(asker.peers().list()[0].key).await.unwrap();
        let mut sessions = 0;
        let (task, peer) = asked(&victim.server.ticket(), move |query, mut reader, mut writer| {
            sessions += 1;
            let left = sessions <= leaves;
            async move {
                let close = Frame::Close { code: 0, text: "the session was ended here".to_owned() }.encode();
                let done = Frame::Done { query }.encode();
                let nothing = Frame::Statement(Statement {
                    query,
                    changes: vec![],
                    rest: Rest::default(),
                    token: None,
                    last: Last::Own,
                });
                let all = vec![Frame::Accept { query }.encode(), nothing.encode(), done];
                let _ = writer.send(if left { std::slice::from_ref(&close) } else { &all }).await;
                while reader.next().await.is_ok_and(|frame| frame.is_some()) {}
            }
        })
        .await;
        asker.peers().add(&peer, None).await.unwrap();
        let answer = timeout(SOON, asker.kv().get("k").from(Source::Peers)).await.unwrap().unwrap();
        let named: Vec<_> = answer.asked.failures.iter().map(|failure| failure.peer).collect();
        assert_eq!(named, if leaves == 1 { vec![] } else { vec![peer.peer] }, "{:?}", answer.asked.failures);
        assert_eq!(answer.is_complete(), leaves == 1, "{answer:?}");
        task.abort();
    }
}
