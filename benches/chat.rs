//! Chat: importing, indexing, the latest 50, search, cold and warm; a replica that fetches everything; and a new peer that gets
//! the latest 50 of a long channel.
//!
//! `cargo bench -p kappadb-benches --bench chat [-- MESSAGES [AUTHORS]]`

use kappadb::view::{Change, Index, Notice, Overlay, Selector, Tree, View, ViewError};
use kappadb::{Chat, Database, EntryId, ReadOptions, SearchOptions, Source, Timestamp};
use kappadb_benches::{disk_bytes, measure, peak_memory_mib};
use kappadb_sim::Random;
use kappadb_view::Upkeep;
use kappadb_view_chat::{ChatIndex, ChatView, PageQuery, Search, Terms};
use std::collections::BTreeSet;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages of which a full replication is measured.
const REPLICATED: u64 = 20_000;
const WORDS: u64 = 20_000;

/// The chat view once more, under another name: indexes everything anew.
struct Again;

struct AgainIndex(ChatIndex);

struct AgainUpkeep(Box<dyn Upkeep<ChatIndex>>);

impl View for Again {
    type Index = AgainIndex;

    fn name(&self) -> &str {
        "chat-again"
    }

    fn version(&self) -> u32 {
        1
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<AgainIndex, ViewError> {
        Ok(AgainIndex(ChatView::default().open(rows)?))
    }
}

impl Index for AgainIndex {
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        self.0.apply(changes, rows)
    }

    fn matches(
        &self,
        selector: &Selector,
        without: &BTreeSet<kappadb::FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        self.0.matches(selector, without)
    }

    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        let job = self.0.upkeep(idle)?;
        Some(Box::new(AgainUpkeep(job)))
    }
}

impl Upkeep<AgainIndex> for AgainUpkeep {
    fn work(&mut self) -> Result<bool, ViewError> {
        self.0.work()
    }

    fn install(self: Box<Self>, index: &mut AgainIndex, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        self.0.install(&mut index.0, rows)
    }
}

/// One channel, a message a second, words as rare as words are.
fn write_lines(path: &Path, messages: u64, authors: u64) {
    let mut random = Random::new(4);
    let mut file = BufWriter::new(std::fs::File::create(path).expect("create"));
    for n in 0..messages {
        let mut word = || {
            let rank = random.below(WORDS) * random.below(WORDS) / WORDS;
            format!("word{rank}")
        };
        let text: Vec<String> = (0..12).map(|_| word()).collect();
        let (author, time, text) = (random_author(n, authors), 1_700_000_000_000 + n * 1_000, text.join(" "));
        writeln!(
            file,
            r#"{{"author":"author-{author}","channel":"bench","timestamp":{time},"text":"{text}"}}"#
        )
        .expect("write");
    }
}

fn random_author(n: u64, authors: u64) -> u64 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % authors
}

/// Microseconds of a look at the index: the median of many.
fn look(name: &str, rounds: usize, mut look: impl FnMut(usize) -> usize) {
    let (mut micros, mut found) = (Vec::new(), 0);
    for round in 0..rounds {
        let start = Instant::now();
        found = look(round);
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    println!("  {name:34} {:8.1} us median of {rounds}, {found} found", micros[rounds / 2]);
}

/// Indexes all anew, and asks the index itself: no texts are read, nobody is named.
async fn index(database: &Database, messages: u64) {
    let start = Instant::now();
    let again = database.view(Again).await.expect("register");
    again.ready().expect("ready");
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "index from the log: {:.0} messages/s; peak memory {} MiB",
        messages as f64 / seconds,
        peak_memory_mib()
    );
    let latest = |_| {
        let query = PageQuery::latest("bench", Timestamp(i64::MAX), 50);
        again.read(|index| index.0.page(&query)).expect("view").expect("page").len()
    };
    let word = |query: String| {
        let terms = Terms::parse(&query);
        let to = Timestamp(i64::MAX);
        let search = Search { terms: &terms, channel: None, to, after: None, limit: 50 };
        again.read(|index| index.0.search(&search)).expect("view").expect("search").len()
    };
    look("latest 50, at once", 101, latest);
    look("search one word, at once", 101, |n| word(format!("word{}", n * 7)));
    let tidy = Instant::now();
    // Nothing tells that upkeep is over; it is when the last texts have gone into a segment and runs are few.
    tokio::time::sleep(Duration::from_secs(3)).await;
    println!("after {:.0} s of upkeep", tidy.elapsed().as_secs_f64());
    look("latest 50", 1_001, latest);
    look("search one word", 1_001, |n| word(format!("word{}", n * 7)));
    look("search two words", 1_001, |n| word(format!("word{} word{}", n % 50, n % 49 + 50)));
    look("search by prefix", 101, |n| word(format!("word{}*", n + 10)));
}

async fn latest(chat: &Chat) -> usize {
    chat.read("bench", &ReadOptions::latest(50)).await.expect("read").messages.len()
}

async fn search(chat: &Chat, query: &str) -> usize {
    let options = SearchOptions { limit: Some(50), ..SearchOptions::default() };
    chat.search(query, &options).await.expect("search").messages.len()
}

async fn import(dir: &Path, messages: u64, authors: u64) -> Database {
    let file = dir.join("lines.ndjson");
    write_lines(&file, messages, authors);
    let database = Database::builder(dir.join("full")).create().await.expect("create");
    let start = Instant::now();
    let input = BufReader::new(std::fs::File::open(&file).expect("open"));
    let report = database.chat().import(input, |_, _| ()).await.expect("import");
    let appended = start.elapsed().as_secs_f64();
    database.ready().await.expect("ready");
    let indexed = start.elapsed().as_secs_f64();
    println!(
        "{} messages by {} imported in {appended:.2} s, indexed after {indexed:.2} s ({:.0} a second); {:.1} MB on disk; peak memory {} MiB",
        report.imported,
        report.authors,
        report.imported as f64 / indexed,
        disk_bytes(&dir.join("full")) as f64 / 1e6,
        peak_memory_mib()
    );
    database
}

#[tokio::main]
async fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let messages = numbers.first().copied().unwrap_or(100_000);
    let authors = numbers.get(1).copied().unwrap_or(300);
    let dir = tempfile::tempdir().expect("temp dir");
    let made = import(dir.path(), messages, authors).await;
    index(&made, messages).await;
    made.close().await.expect("close");

    let start = Instant::now();
    let full = Database::builder(dir.path().join("full")).open().await.expect("open");
    println!("opened in {:.1} ms; the first of each is cold", start.elapsed().as_secs_f64() * 1e3);
    let chat = full.chat();
    measure("latest 50", 101, |_| latest(&chat)).await;
    measure("search one word", 101, |n| {
        let chat = chat.clone();
        async move { search(&chat, &format!("word{}", n * 7)).await }
    })
    .await;
    measure("search by prefix", 21, |n| {
        let chat = chat.clone();
        async move { search(&chat, &format!("word{}*", n + 10)).await }
    })
    .await;

    let server = full.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
    println!(
        "a new peer asks for the latest 50 (goal: 3 round trips, little more than 50 blocks and the channel's state)"
    );
    for round in 0..3 {
        let (path, ticket) = (dir.path().join(format!("new{round}")), server.ticket());
        let new = Database::builder(path).join(&ticket).await.expect("join");
        let start = Instant::now();
        let answer =
            new.chat().read("bench", &ReadOptions::latest(50)).from(Source::Peers).await.expect("ask");
        let shown = latest(&new.chat()).await;
        let held: u64 = new.status().await.expect("status").feeds.iter().map(|feed| feed.held).sum();
        println!(
            "  {shown} shown after {:.1} ms: {} round trips, {} blocks fetched, {held} held, {} B received, complete: {}",
            start.elapsed().as_secs_f64() * 1e3,
            answer.asked.round_trips,
            answer.asked.blocks_fetched,
            answer.asked.bytes_received,
            answer.is_complete()
        );
        new.close().await.expect("close");
    }
    server.stop().await;
    full.close().await.expect("close");
    replicate(REPLICATED.min(messages), authors).await;
}

/// A new replica fetches everything and can read it.
async fn replicate(messages: u64, authors: u64) {
    let dir = tempfile::tempdir().expect("temp dir");
    let full = import(dir.path(), messages, authors).await;
    let server = full.serve(([127, 0, 0, 1], 0).into()).await.expect("serve");
    let new = Database::builder(dir.path().join("new")).join(&server.ticket()).await.expect("join");
    let start = Instant::now();
    let answer = new.chat().search("", &SearchOptions::default()).from(Source::Peers).await.expect("ask");
    let shown = latest(&new.chat()).await;
    println!(
        "{messages} messages replicated and readable after {:.2} s: {} blocks, {:.1} MB, {shown} shown; peak memory {} MiB",
        start.elapsed().as_secs_f64(),
        answer.asked.blocks_fetched,
        answer.asked.bytes_received as f64 / 1e6,
        peak_memory_mib()
    );
    new.close().await.expect("close");
    server.stop().await;
    full.close().await.expect("close");
}
