//! People in one room, a process each, who all write and watch, and a hub: every message is with everybody, in order, also when one of them is killed
//! and comes back time and again. What a process takes up does not grow with what was said.
//!
//! `KAPPA_ROOM="20 600"` is the long form: so many people, and seconds. It tells what it measured on stderr.

use crate::common::{Db, Server};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const ROOM: &str = "room";
/// Between two messages of one person.
const PAUSE: Duration = Duration::from_secs(1);
/// Kilobytes that a process may grow by, once it has begun: by what it keeps at hand, which is bounded, and by what it has to know of each message.
const MOST_GROWTH: f64 = 24_000.0;
const MOST_BY_MESSAGE: f64 = 0.5;

/// How many people, for how long, and how often one is killed.
fn setting() -> (usize, Duration, Duration) {
    let Ok(text) = std::env::var("KAPPA_ROOM") else {
        return (5, Duration::from_secs(12), Duration::from_secs(5));
    };
    let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
    let seconds = Duration::from_secs(numbers[1]);
    (numbers[0] as usize, seconds, (seconds / 3).min(Duration::from_secs(60)))
}

/// A command of a person's that goes on.
struct Going {
    child: Child,
    stdin: ChildStdin,
}

impl Going {
    fn start(db: &Db, args: &[&str]) -> (Going, Lines<BufReader<ChildStdout>>) {
        let mut command = db.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (Going { stdin: child.stdin.take().unwrap(), child }, lines)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process of a person's takes up, and what it was sent.
#[derive(Debug, Clone, Copy)]
struct Size {
    messages: usize,
    kilobytes: u64,
    received: u64,
}

/// Who writes by one command and hears by another; a third process, the one that serves the folder, carries both out.
struct Person {
    name: String,
    db: Db,
    server: Server,
    writer: Going,
    answers: Lines<BufReader<ChildStdout>>,
    _watcher: Going,
    heard: Arc<Mutex<Vec<String>>>,
    /// Ids of what was said.
    said: Vec<String>,
    kills: usize,
}

impl Person {
    fn join(name: String, ticket: &str) -> Person {
        Person::start(name, Db::join(ticket))
    }

    fn start(name: String, db: Db) -> Person {
        let server = Server::start(&db);
        let (watcher, lines) = Going::start(&db, &["chat", "watch", ROOM, "--past", "0"]);
        let (writer, answers) = Going::start(&db, &["--json", "--batch"]);
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let ear = heard.clone();
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| ear.lock().unwrap().push(line)));
        Person { name, db, server, writer, answers, _watcher: watcher, heard, said: Vec::new(), kills: 0 }
    }

    fn answer(&mut self) -> Value {
        serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap()
    }

    fn say(&mut self) {
        writeln!(self.writer.stdin, "chat post {ROOM} '{} {}'", self.name, self.said.len()).unwrap();
        let id = self.answer()["id"].as_str().unwrap().to_owned();
        assert_eq!(self.answer()["code"], 0);
        self.said.push(id);
    }

    /// Ends the process that serves, as a power cut would, and begins anew.
    fn killed(self) -> Person {
        let Person { name, db, server, said, kills, .. } = self;
        server.kill();
        Person { said, kills: kills + 1, ..Person::start(name, db) }
    }

    /// All that was said, as it is held here: author and text of each, and its id.
    fn read(&self) -> Vec<(String, String)> {
        let args = ["--json", "chat", "read", ROOM, "--local", "--oldest-first", "--limit", "all"];
        let field = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        let lines = self.db.ok(&args);
        let values = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        values.map(|line| (field(&line, "id"), field(&line, "text"))).collect()
    }

    fn size(&self, messages: usize) -> Size {
        let peers = self.db.ok(&["--json", "peer", "list"]);
        let bytes = |line: &str| serde_json::from_str::<Value>(line).unwrap()["bytes_received"].as_u64();
        let received = peers.lines().filter_map(bytes).sum();
        Size { messages, kilobytes: resident(self.server.id()), received }
    }
}

/// Kilobytes of memory that a process has.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What all share.
struct Evening {
    over: AtomicBool,
    said: AtomicUsize,
    /// Who is to be killed next.
    killed: Mutex<Option<usize>>,
    /// Everybody was measured for the first time.
    first_look: AtomicBool,
}

impl Evening {
    /// Says things until it is over. Who it was, and how large at the first look, unless killed since.
    fn spend(&self, number: usize, mut person: Person) -> (Person, Option<Size>) {
        let mut first = None;
        while !self.over.load(Ordering::Relaxed) {
            person.say();
            let said = self.said.fetch_add(1, Ordering::Relaxed) + 1;
            if self.killed.lock().unwrap().take_if(|killed| *killed == number).is_some() {
                (person, first) = (person.killed(), None);
            }
            if first.is_none() && person.kills == 0 && self.first_look.load(Ordering::Relaxed) {
                first = Some(person.size(said));
            }
            thread::sleep(PAUSE);
        }
        (person, first)
    }
}

/// Waits until everybody holds as much as was said.
fn all_have(people: &[Person], messages: usize) {
    let begun = Instant::now();
    for person in people {
        while person.read().len() < messages {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} lacks messages", person.name);
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Texts of each author in the order in which they were said.
fn in_order<'a>(texts: impl Iterator<Item = &'a str>) -> bool {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    texts.into_iter().all(|text| {
        let (name, number) = text.split_once(' ').unwrap();
        let number: usize = number.parse().unwrap();
        last.insert(name, number).is_none_or(|before| before < number)
    })
}

/// Who was there all the time has heard each message once, those of each author in order.
fn check_heard(person: &Person, ids: &BTreeSet<&str>) {
    let lines = person.heard.lock().unwrap().clone();
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let heard: Vec<&str> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(heard.len(), ids.len(), "{}", person.name);
    assert_eq!(heard.iter().copied().collect::<BTreeSet<_>>(), *ids);
    assert!(in_order(lines.iter().map(|line| line["text"].as_str().unwrap())), "{}", person.name);
}

/// Tells how a process has grown, and checks it.
#[expect(clippy::print_stderr, reason = "the long form is there to measure")]
fn check_size(name: &str, first: Size, last: Size) {
    let messages = (last.messages - first.messages) as f64;
    let grown = last.kilobytes as f64 - first.kilobytes as f64;
    let received = (last.received - first.received) as f64 / messages;
    let text = format!(
        "{name}: {} kB at {} messages, {} kB at {}: {:.2} kB each; {:.0} B received for each",
        first.kilobytes,
        first.messages,
        last.kilobytes,
        last.messages,
        grown / messages,
        received
    );
    if std::env::var("KAPPA_ROOM").is_ok() {
        eprintln!("{text}");
    }
    assert!(grown < MOST_GROWTH + MOST_BY_MESSAGE * messages, "{text}");
}

#[test]
fn everybody_hears_everything_in_order_and_nobody_grows_though_one_is_killed_time_and_again() {
    let (people, seconds, between_kills) = setting();
    let hub = Db::init();
    let server = Server::start_with(&hub, &["--listen", "127.0.0.1:0", "--follow", "everything"]);
    let room: Vec<Person> = (0..people).map(|n| Person::join(format!("person{n}"), &server.ticket)).collect();
    // Everybody watches by now.
    thread::sleep(Duration::from_secs(2));
    let evening =
        Evening { over: false.into(), said: 0.into(), killed: Mutex::default(), first_look: false.into() };
    let (begun, mut hub_first, mut kills) = (Instant::now(), None, 0);
    let hub_size = |messages| Size { messages, kilobytes: resident(server.id()), received: 0 };
    let spent: Vec<(Person, Option<Size>)> = thread::scope(|threads| {
        let spending: Vec<_> = room
            .into_iter()
            .enumerate()
            .map(|(number, person)| {
                threads.spawn({
                    let evening = &evening;
                    move || evening.spend(number, person)
                })
            })
            .collect();
        while begun.elapsed() < seconds {
            thread::sleep(Duration::from_millis(200));
            if hub_first.is_none() && begun.elapsed() > seconds / 4 {
                evening.first_look.store(true, Ordering::Relaxed);
                hub_first = Some(hub_size(evening.said.load(Ordering::Relaxed)));
            }
            if begun.elapsed() > between_kills * (kills + 1) {
                // Half of them are left alone.
                *evening.killed.lock().unwrap() = Some(kills as usize % people.div_ceil(2));
                kills += 1;
            }
        }
        evening.over.store(true, Ordering::Relaxed);
        spending.into_iter().map(|person| person.join().unwrap()).collect()
    });
    let (room, first): (Vec<Person>, Vec<Option<Size>>) = spent.into_iter().unzip();
    let messages = room.iter().map(|person| person.said.len()).sum();
    all_have(&room, messages);
    thread::sleep(Duration::from_secs(1));
    let said: BTreeSet<&str> = room.iter().flat_map(|person| &person.said).map(String::as_str).collect();
    let whole = room[0].read();
    assert_eq!(whole.iter().map(|(id, _)| id.as_str()).collect::<BTreeSet<_>>(), said);
    assert!(in_order(whole.iter().map(|(_, text)| text.as_str())));
    assert!(kills > 0 && room.iter().map(|person| person.kills).sum::<usize>() > 0);
    check_size("hub", hub_first.unwrap(), hub_size(messages));
    for (person, first) in room.iter().zip(first) {
        assert_eq!(person.read(), whole, "{}", person.name);
        if person.kills == 0 {
            check_heard(person, &said);
            check_size(&person.name, first.unwrap(), person.size(messages));
        }
    }
}
