//! On whose word an answer rests: who lies is named by whoever passes it on, may be left out, and is forgotten with what rests on it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use kappadb::{Answer, Completeness, Database, FeedKey, KvState, Server, Source, Ticket, Word};
use kappadb_core::{RangeSet, SecretKey, SignedHead};
use kappadb_net::{Allowance, Connection, FrameReader, FrameWriter, Identity, noise};
use kappadb_query::Selector;
use kappadb_sync::frame::{Blocks, BlocksTop, Change, Frame, Last, Query, Question, Statement};
use kappadb_sync::{About, Claimed, Hello, Rest, SignedStatement};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

async fn join(dir: &Path, ticket: &Ticket) -> Database {
    // Nobody finds the others by himself: who relays for whom is what is tried.
    Database::builder(dir).introductions(false).join(ticket).await.unwrap()
}

async fn serve(database: &Database) -> Server {
    database.serve(([127, 0, 0, 1], 0).into()).await.unwrap()
}

async fn ask(database: &Database, key: &str) -> Answer<KvState> {
    database.kv().state(key).from(Source::Peers).await.unwrap()
}

async fn ask_direct(database: &Database, key: &str) -> Answer<KvState> {
    database.kv().state(key).from(Source::Peers).direct().await.unwrap()
}

/// True if something was found.
fn finds(answer: &Answer<KvState>) -> bool {
    answer.items.iter().any(|state| !state.heads.is_empty())
}

/// Those on whose word an answer rests who were not asked, and through how many hands.
fn relayed<T>(answer: &Answer<T>) -> Vec<(FeedKey, u8)> {
    let words = answer.completeness.words().unwrap();
    words.indirect().map(|Word { peer, hands }| (*peer, *hands)).collect()
}

/// A hub that holds all, with what it is served by.
struct Hub {
    database: Database,
    server: Option<Server>,
    ticket: Ticket,
    dir: TempDir,
}

impl Hub {
    /// The head of its feed, as anybody gets it who may ask.
    async fn head(&self) -> SignedHead {
        let me = Identity::new(SecretKey::from_seed(&[55; 32]));
        let stream = TcpStream::connect(&self.ticket.addresses[0]).await.unwrap();
        let hello = Hello::default().encode();
        let channel = noise::dial(stream, &self.ticket.access(), &me, &hello).await.unwrap();
        let opened = Connection::open(channel, &me, Some(self.ticket.peer), &Allowance::default()).await;
        let (mut reader, mut writer) = opened.unwrap().split();
        let question = Question::View {
            view: "feeds".to_owned(),
            selector: Selector::Everything.encode().unwrap(),
            inline: true,
            direct: false,
            live: false,
            since: None,
            without: BTreeSet::new(),
        };
        let query = Query { id: 0, credit: 1 << 20, forget: false, have: vec![], named: vec![], question };
        writer.send(&[Frame::Query(query).encode()]).await.unwrap();
        loop {
            let frame = Frame::decode(&reader.next().await.unwrap().unwrap()).unwrap();
            if let Some(Frame::Blocks(Blocks { top: BlocksTop { head: Some(head), .. }, .. })) = frame {
                return head;
            }
        }
    }

    /// One with the keys `a` and `b`.
    async fn new() -> Hub {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::builder(dir.path().join("hub")).create().await.unwrap();
        for key in ["a", "b"] {
            database.kv().put(key, "x").await.unwrap();
        }
        let server = serve(&database).await;
        Hub { database, ticket: server.ticket(), server: Some(server), dir }
    }

    fn key(&self) -> FeedKey {
        self.ticket.peer
    }

    async fn join(&self, name: &str, ticket: &Ticket) -> Database {
        join(&self.dir.path().join(name), ticket).await
    }

    /// A replica that has asked the hub for `a`: it holds one of two entries.
    async fn relay(&self, name: &str) -> (Database, Server) {
        let relay = self.join(name, &self.ticket).await;
        assert!(ask(&relay, "a").await.is_complete());
        let server = serve(&relay).await;
        (relay, server)
    }
}

/// A member that says of every feed that it is asked for by name that it holds it whole, and that nothing matches. It signs that if it knows a head.
struct Liar {
    ticket: Ticket,
    task: JoinHandle<()>,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Liar {
    async fn new(of: &Ticket, n: u8, head: Option<SignedHead>) -> Liar {
        let me = move || Identity::new(SecretKey::from_seed(&[n; 32]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ticket = of.clone();
        ticket.peer = me().public();
        ticket.addresses = vec![listener.local_addr().unwrap().to_string()];
        let access = ticket.access();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let hello = Hello::default().encode();
                let Ok(channel) = noise::accept(stream, &access, &me(), &hello).await else { continue };
                let opened = Connection::open(channel, &me(), None, &Allowance::default()).await;
                let Ok(connection) = opened else { continue };
                let (reader, writer) = connection.split();
                tokio::spawn(lie(reader, writer, SecretKey::from_seed(&[n; 32]), head));
            }
        });
        Liar { ticket, task }
    }
}

async fn lie(mut reader: FrameReader, mut writer: FrameWriter, key: SecretKey, head: Option<SignedHead>) {
    let (mut numbered, mut sent) = (Vec::<FeedKey>::new(), BTreeMap::<FeedKey, RangeSet>::new());
    while let Ok(Some(bytes)) = reader.next().await {
        let Ok(Some(Frame::Query(query))) = Frame::decode(&bytes) else { continue };
        let Query { id: query, have, named, question, forget, .. } = query;
        if forget {
            sent.clear();
        }
        have.iter().for_each(|have| sent.entry(have.feed).or_default().union_with(&have.known.leaves));
        for feed in have.iter().map(|have| have.feed).chain(named) {
            if !numbered.contains(&feed) {
                numbered.push(feed);
            }
        }
        let tag = head.map(|head| head.head.root_hash.0[..16].try_into().unwrap());
        let (at, root) = (if head.is_some() { 2 } else { 0 }, tag.unwrap_or_default());
        let change = |feed| Change { feed, claimed: 2, length: 2, at, root };
        let changes = (0u32..).zip(&numbered).map(|(number, _)| change(number)).collect();
        let last = match question {
            Question::View { view, selector, without, .. } if head.is_some() => {
                let sent = |feed: &FeedKey| sent.get(feed).cloned().unwrap_or_default();
                let claimed =
                    |feed: &FeedKey| Claimed { feed: *feed, claimed: 2, at, root, sent: sent(feed) };
                let mut feeds: Vec<Claimed> = numbered.iter().map(claimed).collect();
                feeds.sort_by_key(|claimed| claimed.feed);
                let about = About { view, selector, without };
                Last::Signed { rules: 1, signature: SignedStatement::sign(&key, about, feeds).signature }
            }
            _ => Last::Own,
        };
        let stated = Frame::Statement(Statement { query, changes, rest: Rest::default(), token: None, last });
        let all = [Frame::Accept { query }.encode(), stated.encode(), Frame::Done { query }.encode()];
        if writer.send(&all).await.is_err() {
            return;
        }
    }
}

/// A relay that has asked a liar for `b`, which is there, while the hub was away; and the liar.
async fn deceived(hub: &mut Hub) -> (Database, Server, Liar) {
    let (relay, at_relay) = hub.relay("relay").await;
    let head = hub.head().await;
    hub.server.take().unwrap().stop().await;
    let liar = Liar::new(&hub.ticket, 66, Some(head)).await;
    relay.peers().add(&liar.ticket, None).await.unwrap();
    let lied = ask(&relay, "b").await;
    assert!(lied.is_complete() && lied.is_direct() && !finds(&lied), "it can only believe it: {lied:?}");
    (relay, at_relay, liar)
}

#[test]
fn who_holds_all_gives_its_own_word_and_who_relays_says_whose_it_passes_on() {
    run(async {
        let hub = Hub::new().await;
        let (_relay, at_relay) = hub.relay("relay").await;
        let reader = hub.join("reader", &hub.ticket).await;
        let direct = ask(&reader, "a").await;
        assert!(direct.is_complete() && direct.is_direct() && relayed(&direct).is_empty(), "{direct:?}");
        let far = hub.join("far", &at_relay.ticket()).await;
        let answer = ask(&far, "a").await;
        assert!(answer.is_complete() && !answer.is_direct() && finds(&answer), "{answer:?}");
        assert_eq!(relayed(&answer), [(hub.key(), 1)]);
        let at_far = serve(&far).await;
        let farther = hub.join("farther", &at_far.ticket()).await;
        let answer = ask(&farther, "a").await;
        let mut expected = [(hub.key(), 2), (at_relay.ticket().peer, 1)];
        expected.sort();
        assert_eq!(relayed(&answer), expected);
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["word_of"].as_array().unwrap().len(), 2, "{json}");
        assert_eq!(json["complete"], true);
    });
}

#[test]
fn an_answer_of_a_relay_and_of_whom_it_relays_is_direct() {
    run(async {
        let hub = Hub::new().await;
        let (_relay, at_relay) = hub.relay("relay").await;
        let reader = hub.join("reader", &at_relay.ticket()).await;
        reader.peers().add(&hub.ticket, None).await.unwrap();
        let answer = ask(&reader, "a").await;
        assert_eq!(answer.asked.peers, 2, "{answer:?}");
        assert!(answer.is_complete() && answer.is_direct(), "{answer:?}");
    });
}

#[test]
fn an_empty_answer_of_a_liar_that_an_honest_peer_passes_on_says_on_whose_word_it_rests() {
    run(async {
        let mut hub = Hub::new().await;
        let (_relay, at_relay, liar) = deceived(&mut hub).await;
        let reader = hub.join("reader", &at_relay.ticket()).await;
        let answer = ask(&reader, "b").await;
        assert!(answer.is_complete() && !finds(&answer), "{answer:?}");
        assert!(!answer.is_direct());
        assert!(relayed(&answer).contains(&(liar.ticket.peer, 1)), "{answer:?}");
        // So it is read offline.
        at_relay.stop().await;
        let offline = reader.kv().state("b").await.unwrap();
        assert!(offline.as_of().is_some() && !offline.is_direct(), "{offline:?}");
        assert!(relayed(&offline).contains(&(liar.ticket.peer, 1)), "{offline:?}");
        let direct = reader.kv().state("b").direct().await.unwrap();
        assert_eq!(direct.completeness, Completeness::Partial);
    });
}

#[test]
fn a_question_that_demands_direct_answers_is_not_complete_on_anybody_elses_word() {
    run(async {
        let mut hub = Hub::new().await;
        let (_relay, at_relay, _liar) = deceived(&mut hub).await;
        let reader = hub.join("reader", &at_relay.ticket()).await;
        let answer = ask_direct(&reader, "b").await;
        assert_eq!(answer.completeness, Completeness::Partial, "the relay holds nothing whole: {answer:?}");
        // Who holds the feed whole says so itself, and has what was lied about.
        let again = serve(&hub.database).await;
        reader.peers().add(&again.ticket(), None).await.unwrap();
        let answer = ask_direct(&reader, "b").await;
        assert!(answer.is_complete() && answer.is_direct() && finds(&answer), "{answer:?}");
        assert_eq!(answer.asked.peers, 2);
    });
}

#[test]
fn removing_a_liar_makes_void_what_rests_on_its_word_and_nothing_else() {
    run(async {
        let mut hub = Hub::new().await;
        let (relay, at_relay, liar) = deceived(&mut hub).await;
        assert!(relay.kv().state("b").await.unwrap().as_of().is_some());
        let reader = hub.join("reader", &at_relay.ticket()).await;
        assert!(ask(&reader, "b").await.is_complete());

        relay.peers().remove(liar.ticket.peer).await.unwrap();
        assert_eq!(relay.kv().state("b").await.unwrap().completeness, Completeness::Partial);
        let other = relay.kv().state("a").await.unwrap();
        assert!(other.as_of().is_some() && other.is_direct(), "that was the hub's word: {other:?}");
        // Its peers believe it no longer, but what they heard they have to give up themselves.
        let other = hub.join("other", &at_relay.ticket()).await;
        assert!(!ask(&other, "b").await.is_complete());
        at_relay.stop().await;
        assert!(reader.kv().state("b").await.unwrap().as_of().is_some());
        reader.peers().forget_word(liar.ticket.peer).await.unwrap();
        assert_eq!(reader.kv().state("b").await.unwrap().completeness, Completeness::Partial);

        relay.close().await.unwrap();
        let relay = Database::builder(hub.dir.path().join("relay")).open().await.unwrap();
        assert_eq!(relay.kv().state("b").await.unwrap().completeness, Completeness::Partial);
        assert!(relay.kv().state("a").await.unwrap().as_of().is_some());
    });
}

#[test]
fn a_liar_beside_somebody_who_holds_the_feed_hides_nothing() {
    run(async {
        let hub = Hub::new().await;
        let liar = Liar::new(&hub.ticket, 66, None).await;
        let reader = hub.join("reader", &liar.ticket).await;
        reader.peers().add(&hub.ticket, None).await.unwrap();
        for key in ["a", "b"] {
            let answer = ask(&reader, key).await;
            assert!(answer.is_complete() && finds(&answer) && answer.asked.peers == 2, "{answer:?}");
        }
    });
}

#[test]
fn what_is_followed_through_a_relay_is_on_the_word_of_whom_it_relays() {
    run(async {
        let hub = Hub::new().await;
        let (_relay, at_relay) = hub.relay("relay").await;
        let reader = hub.join("reader", &at_relay.ticket()).await;
        let following = reader.follow(&kappadb::Interest::Key("a".to_owned()));
        let known = loop {
            let answer = reader.kv().state("a").await.unwrap();
            if answer.as_of().is_some() {
                break answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        assert_eq!(relayed(&known), [(hub.key(), 1)], "{known:?}");
        drop(following);
    });
}

/// What is known of who has left something out, beside the liar nobody.
async fn omitted(database: &Database) -> Vec<(FeedKey, u64)> {
    let states = database.peers().states();
    states.into_iter().filter_map(|state| Some((state.key, state.omitted?.seq))).collect()
}

#[test]
fn who_left_something_out_is_named_when_it_comes_to_light_and_its_claims_fall() {
    run(async {
        let mut hub = Hub::new().await;
        let (relay, at_relay, liar) = deceived(&mut hub).await;
        at_relay.stop().await;
        let told = Arc::new(Mutex::new(Vec::<String>::new()));
        relay.close().await.unwrap();
        let (heard, dir) = (told.clone(), hub.dir.path().join("relay"));
        let warned = move |text: &str| heard.lock().unwrap().push(text.to_owned());
        let relay = Database::builder(&dir).warned(warned).open().await.unwrap();
        assert!(relay.kv().state("b").await.unwrap().as_of().is_some(), "it is believed still");
        assert!(omitted(&relay).await.is_empty());

        // What it left out comes with another question.
        let again = serve(&hub.database).await;
        relay.peers().add(&again.ticket(), None).await.unwrap();
        let all = Selector::Prefix(Vec::new());
        assert!(relay.ask("kv", all).from(Source::Peers).await.unwrap().is_complete());
        let shown = vec![(liar.ticket.peer, 1)];
        assert_eq!(omitted(&relay).await, shown);
        let said = told.lock().unwrap().clone();
        assert!(said.len() == 1 && said[0].contains(&liar.ticket.peer.to_string()), "{said:?}");
        relay.close().await.unwrap();
        let relay = Database::builder(&dir).rebuild().open().await.unwrap();
        assert_eq!(omitted(&relay).await, shown, "it is no derived data");
    });
}

#[test]
fn who_sent_all_that_it_had_is_never_named_whatever_is_written_replaced_or_lost_later() {
    run(async {
        let hub = Hub::new().await;
        let (relay, at_relay) = hub.relay("relay").await;
        let reader = hub.join("reader", &hub.ticket).await;
        reader.peers().add(&at_relay.ticket(), None).await.unwrap();
        for round in 0..6 {
            for key in ["a", "b", "c", "a"] {
                drop(ask(&reader, key).await);
                hub.database.kv().put(key, format!("{round}")).await.unwrap();
                drop(ask(&reader, key).await);
                relay.kv().put(key, format!("r{round}")).await.unwrap();
            }
            if round % 2 == 0 {
                let feed = hub.database.writer().await.unwrap();
                reader.drop_feed(feed).await.unwrap();
                drop(ask(&reader, "a").await);
                reader.compact().await.unwrap();
                reader.allow_feed(feed).await.unwrap();
            }
            drop(ask(&relay, "b").await);
            let all = Selector::Prefix(Vec::new());
            drop(reader.ask("kv", all).from(Source::Peers).await.unwrap());
        }
        for database in [&hub.database, &relay, &reader] {
            assert!(omitted(database).await.is_empty());
        }
    });
}
