//! A whole copy: how fast a new replica fetches everything from another process, and what a block costs on the wire.
//!
//! `cargo bench -p kappadb-benches --bench replicate [-- BLOCKS WRITERS]`. Values of 100 B under new keys. Both processes have a folder on the disk and talk
//! over TCP on loopback, encrypted. The copy is made without views, with that of keys alone, and with all; it is timed until all is durable here, and until
//! its views have it too.

use kappadb::{BuiltIn, Database, Interest, KvOp, Source, Ticket};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const VALUE: usize = 100;
/// Values written at a time.
const BATCH: u64 = 1_000;
/// The word by which this program is told to serve a folder.
const SERVE: &str = "serve-folder";

/// A process that serves.
struct Server(Child, Ticket);

impl Server {
    fn start(folder: &Path) -> Server {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(SERVE).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a second process");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("its output"));
        out.read_line(&mut line).expect("its ticket");
        Server(child, line.trim().parse().expect("a ticket"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves until its input ends.
async fn serve(folder: &str) {
    let database = Database::builder(folder).open().await.expect("a database");
    let server = database.serve(([127, 0, 0, 1], 0).into()).await.expect("serving");
    println!("{}", server.ticket());
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await;
}

async fn write(folder: &Path, blocks: u64, writers: u64) {
    let database = Database::builder(folder).create().await.expect("a database");
    for writer in 0..writers {
        let name = format!("writer{writer}");
        database.new_writer(&name).await.expect("a writer");
        let kv = database.with_writer(&name).await.expect("the writer").kv();
        let mut numbers = (0..blocks / writers).peekable();
        while numbers.peek().is_some() {
            let put = |n| KvOp::put(format!("{writer}/{n:08}"), vec![b'v'; VALUE]);
            let ops = numbers.by_ref().take(BATCH as usize).map(put).collect();
            kv.batch(ops).await.expect("written");
        }
    }
    database.close().await.expect("closed");
}

async fn copy(what: &str, views: &[BuiltIn], server: &Server, folder: &Path) {
    let builder = Database::builder(folder.join(what)).views(views.iter().copied());
    let database = builder.join(&server.1).await.expect("joined");
    let begun = Instant::now();
    let answer = database.replicate(&Interest::Everything).from(Source::Peers).await.expect("everything");
    let fetched = begun.elapsed().as_secs_f64();
    assert!(answer.is_complete(), "{:?}", answer.asked);
    if views.contains(&BuiltIn::Kv) {
        let _one = database.kv().get("0/00000007").await.expect("a value").one().expect("it is there");
    }
    let status = database.status().await.expect("a status");
    while database.status().await.expect("a status").views.iter().any(|view| view.lag > 0) {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let shown = begun.elapsed().as_secs_f64();
    let (blocks, asked) = (answer.asked.blocks_fetched as f64, &answer.asked);
    println!(
        "{what:10} {blocks} blocks in {fetched:.2} s, {:.0}/s; in the views after {shown:.2} s, {:.0}/s; {:.1} B a block received, {:.1} of them the block; {} on the disk",
        blocks / fetched,
        blocks / shown,
        asked.bytes_received as f64 / blocks,
        status.feeds.iter().map(|feed| feed.bytes).sum::<u64>() as f64 / blocks,
        status.disk.journal + status.disk.derived,
    );
    database.close().await.expect("closed");
}

async fn measure(blocks: u64, writers: u64) {
    let dir = tempfile::tempdir().expect("a folder");
    let folder = dir.path().join("full");
    write(&folder, blocks, writers).await;
    let server = Server::start(&folder);
    copy("no view", &[], &server, dir.path()).await;
    copy("keys", &[BuiltIn::Kv], &server, dir.path()).await;
    copy("all views", BuiltIn::ALL, &server, dir.path()).await;
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    if let [word, folder] = &words[..]
        && word == SERVE
    {
        return runtime.block_on(serve(folder));
    }
    let number = |n: usize, usual| words.get(n).map_or(usual, |word| word.parse().expect("a number"));
    runtime.block_on(measure(number(0, 300_000), number(1, 10)));
}
