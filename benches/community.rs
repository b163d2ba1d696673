//! Chat of a community: what people look at all day, on a replica that holds all of it.
//!
//! `cargo bench -p kappadb-benches --bench community [-- MESSAGES AUTHORS CHANNELS [FOLDER]]`
//!
//! With a folder the database is kept there, for measuring `kappa` itself.

use kappadb::{Chat, Database, ReadOptions, SearchOptions};
use kappadb_benches::{disk_bytes, measure, peak_memory_mib};
use kappadb_sim::Random;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

const WORDS: u64 = 20_000;
/// The channel that is looked at.
const TEA: &str = "channel-0";

/// A message a second; some channels have many, most have few. One in a hundred mentions somebody.
fn write_lines(path: &Path, messages: u64, authors: u64, channels: u64) {
    let mut random = Random::new(4);
    let mut file = BufWriter::new(std::fs::File::create(path).expect("create"));
    for n in 0..messages {
        let mut word = || format!("word{}", random.below(WORDS) * random.below(WORDS) / WORDS);
        let mut text: Vec<String> = (0..12).map(|_| word()).collect();
        if random.chance(1) {
            text.push(format!("@author-{}", random.below(authors)));
        }
        let channel = random.below(channels) * random.below(channels) / channels;
        let (author, text) = (random.below(authors), text.join(" "));
        let time = 1_700_000_000_000 + n * 1_000;
        writeln!(
            file,
            r#"{{"author":"author-{author}","channel":"channel-{channel}","timestamp":{time},"text":"{text}"}}"#
        )
        .expect("write");
    }
}

async fn import(dir: &Path, file: &Path) -> Database {
    let database = Database::builder(dir).create().await.expect("create");
    let start = Instant::now();
    let input = BufReader::new(std::fs::File::open(file).expect("open"));
    let report = database.chat().import(input, |_, _| ()).await.expect("import");
    database.ready().await.expect("ready");
    println!(
        "{} messages by {} imported and indexed in {:.1} s; {:.1} MB on disk; peak memory {} MiB",
        report.imported,
        report.authors,
        start.elapsed().as_secs_f64(),
        disk_bytes(dir) as f64 / 1e6,
        peak_memory_mib()
    );
    database
}

async fn unread(chat: &Chat) -> usize {
    chat.unread().await.expect("unread").items.iter().map(|unread| unread.messages as usize).sum()
}

async fn look(chat: &Chat) {
    let latest = ReadOptions::latest(50);
    measure("latest 50 with texts and names", 201, |_| async {
        chat.read(TEA, &latest).await.expect("read").messages.len()
    })
    .await;
    measure("members of a channel", 21, |_| async { chat.members(TEA).await.expect("members").items.len() })
        .await;
    measure("channels", 21, |_| async { chat.channels().await.expect("channels").items.len() }).await;
    measure("search one word, 50 wanted", 51, |n| async move {
        let options = SearchOptions { limit: Some(50), ..SearchOptions::default() };
        chat.search(&format!("word{}", n * 7), &options).await.expect("search").messages.len()
    })
    .await;
    measure("unread, in no channel", 21, |_| unread(chat)).await;
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let number = |n: usize, usual| args.get(n).and_then(|arg| arg.parse().ok()).unwrap_or(usual);
    let (messages, authors, channels) = (number(0, 220_000), number(1, 2_000), number(2, 500));
    let temporary = tempfile::tempdir().expect("temp dir");
    let kept = args.get(3).map(PathBuf::from);
    let dir = kept.unwrap_or_else(|| temporary.path().join("full"));
    if !dir.exists() {
        let file = temporary.path().join("lines.ndjson");
        write_lines(&file, messages, authors, channels);
        import(&dir, &file).await.close().await.expect("close");
    }
    let start = Instant::now();
    let database = Database::builder(&dir).open().await.expect("open");
    println!("opened in {:.1} ms; the first of each is cold", start.elapsed().as_secs_f64() * 1e3);
    let chat = database.chat();
    look(&chat).await;
    for channel in 0..channels {
        chat.join(&format!("channel-{channel}")).await.expect("join");
    }
    measure("unread, in all channels, none read", 11, |_| unread(&chat)).await;
    for channel in 0..channels {
        chat.mark_read(&format!("channel-{channel}"), None).await.expect("mark");
    }
    measure("unread, in all channels, all read", 21, |_| unread(&chat)).await;
    database.close().await.expect("close");
    println!("peak memory {} MiB", peak_memory_mib());
}
