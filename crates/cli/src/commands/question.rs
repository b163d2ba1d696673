//! Reading commands: they ask the peers, answer, and end with what the answer may lack. All of them go through [`Context::read`],
//! which gives the exit code: so none can forget it.

use super::Context;
use crate::args::AskArgs;
use crate::console::{self, Console};
use crate::exit::Exit;
use kappadb::{
    Answer, Asked, Completeness, Database, Failure, FeedKey, Holdings, MAX_AHEAD, Peer, Read, Source, Word,
    Words,
};
use serde_json::{Value, json};
use std::time::Instant;

/// With `--require-complete`: the answer may lack something, so nothing of it is printed.
#[derive(Debug, thiserror::Error)]
#[error("the answer may lack something")]
struct Withheld;

/// What a reading command has asked so far, and what came of it.
pub struct Question {
    console: Console,
    args: AskArgs,
    started: Instant,
    asked: Option<Asked>,
    next: Option<String>,
    ahead: usize,
}

impl Context {
    /// Opens the database for a command that reads, and ends it: with the line of `--stats`, with what the answer lacks, and with the exit
    /// code for that. `job` says how many results it printed.
    pub async fn read(
        &self,
        args: AskArgs,
        job: impl AsyncFnOnce(&Database, &mut Question) -> anyhow::Result<usize>,
    ) -> anyhow::Result<Exit> {
        let console = self.console.clone();
        let mut question =
            Question { console, args, started: Instant::now(), asked: None, next: None, ahead: 0 };
        let database = self.open().await?;
        let done = job(&database, &mut question).await;
        let peers = database.peers().list();
        self.close(database).await?;
        question.end(done, &peers)
    }
}

impl Question {
    /// Puts a question, to peers too if they are to be asked. To be called before anything is printed.
    pub async fn read<T, C, E>(&mut self, read: Read<Answer<T, C>, E>) -> anyhow::Result<Answer<T, C>>
    where
        anyhow::Error: From<E>,
    {
        let mut answer = self.put(read).await?;
        self.note(std::mem::take(&mut answer.asked))?;
        Ok(answer)
    }

    /// A question as it is to be put: to whom, for how long, and on whose word.
    pub fn put<T, E>(&self, read: Read<T, E>) -> Read<T, E> {
        let read = read.from(if self.args.local { Source::Local } else { Source::Peers });
        let read = if self.args.direct { read.direct() } else { read };
        match self.args.timeout {
            Some(timeout) => read.within(timeout),
            None => read,
        }
    }

    /// Takes note of what came of asking. Of an answer from here alone nothing is said.
    pub fn note(&mut self, asked: Asked) -> anyhow::Result<()> {
        if self.args.local {
            return Ok(());
        }
        let asked = match self.asked.take() {
            Some(before) => before.and(asked),
            None => asked,
        };
        let withheld = self.args.require_complete && !asked.completeness().is_complete();
        self.asked = Some(asked);
        if withheld { Err(Withheld.into()) } else { Ok(()) }
    }

    /// How much there is of all feeds, if everything was asked for.
    pub fn holdings(&self) -> Option<Holdings> {
        self.asked.as_ref().and_then(|asked| asked.holdings)
    }

    /// True if peers are to be asked.
    pub fn asks(&self) -> bool {
        !self.args.local
    }

    /// Fetches what has a name of its own, of which it is known by itself whether it is whole: if all peers have answered, nothing more is to be had.
    pub async fn fetch<T, E>(
        &mut self,
        fetching: impl Future<Output = Result<Answer<T>, E>>,
    ) -> anyhow::Result<()>
    where
        anyhow::Error: From<E>,
    {
        if self.args.local {
            return Ok(());
        }
        let mut asked = fetching.await?.asked;
        asked.complete |= asked.failures.is_empty();
        self.note(asked)
    }

    /// So many entries of the answer are dated after this machine's clock.
    pub fn note_ahead(&mut self, ahead: usize) {
        self.ahead += ahead;
    }

    /// There is more: with which cursor to go on.
    pub fn go_on_with(&mut self, next: impl ToString) {
        self.next = Some(next.to_string());
    }

    fn end(self, done: anyhow::Result<usize>, peers: &[Peer]) -> anyhow::Result<Exit> {
        let console = &self.console;
        tell_ahead(console, self.ahead);
        let lacks = self.asked.as_ref().is_some_and(|asked| asked.completeness() == Completeness::Partial);
        let results = match done {
            Ok(results) => results,
            Err(failure) if failure.is::<Withheld>() => {
                self.asked.iter().for_each(|asked| tell(console, asked, peers));
                return Ok(Exit::Incomplete);
            }
            // Not found here, and who might have it did not answer.
            Err(failure) if lacks && Exit::of(&failure) == Exit::NotFound => {
                console.fail(&failure);
                0
            }
            Err(failure) => {
                self.asked.iter().filter(|_| lacks).for_each(|asked| tell(console, asked, peers));
                return Err(failure);
            }
        };
        match &self.next {
            Some(next) if !self.args.stats => {
                console.note(&json!({ "next": next }), &format!("more with --after '{next}'"));
            }
            _ => {}
        }
        if self.args.stats {
            console.stats(&self.stats(results));
        }
        self.asked.iter().for_each(|asked| tell(console, asked, peers));
        Ok(if lacks { Exit::Incomplete } else { Exit::Done })
    }

    /// The line of `--stats`. Without peers asked nothing is said of completeness.
    fn stats(&self, results: usize) -> Value {
        let none = Asked::default();
        let asked = self.asked.as_ref().unwrap_or(&none);
        let mut stats = json!({
            "results": results,
            "complete": self.asked.as_ref().map(|asked| asked.completeness().is_complete()),
            "direct": self.asked.as_ref().map(|asked| asked.completeness().is_direct()),
            "peers": asked.peers,
            "blocks_fetched": asked.blocks_fetched,
            "bytes_received": asked.bytes_received,
            "bytes_sent": asked.bytes_sent,
            "round_trips": asked.round_trips,
            "seconds": self.started.elapsed().as_secs_f64(),
        });
        let as_of = self.asked.as_ref().and_then(|asked| asked.completeness().as_of());
        if let (Some(time), Some(stats)) = (as_of, stats.as_object_mut()) {
            stats.insert("as_of".to_owned(), json!(time.0));
        }
        if let (Some(next), Some(stats)) = (&self.next, stats.as_object_mut()) {
            stats.insert("next".to_owned(), json!(next));
        }
        stats
    }
}

/// Looks at what is about to be changed, at peers too unless `local`, and says who did not answer.
pub async fn look_first<T, C, E>(
    console: &Console,
    database: &Database,
    local: bool,
    read: Read<Answer<T, C>, E>,
) -> anyhow::Result<()>
where
    anyhow::Error: From<E>,
{
    if !local {
        tell(console, &read.from(Source::Peers).await?.asked, &database.peers().list());
    }
    Ok(())
}

/// Says how many entries of an answer are dated after this machine's clock.
pub fn tell_ahead(console: &Console, ahead: usize) {
    if ahead > 0 {
        let more = if ahead < MAX_AHEAD { "" } else { "at least " };
        let are = if ahead == 1 { "is" } else { "are" };
        let entries = format!("{more}{}", console::count(ahead as u64, "entry"));
        let text = format!("{entries} {are} dated after this machine's clock, which may be wrong");
        console.remark(&json!({ "ahead": ahead }), &text);
    }
}

/// Says what an answer may lack, and who did not answer and why. Nothing if all is well.
pub fn tell(console: &Console, asked: &Asked, peers: &[Peer]) {
    let standing = asked.completeness();
    let mut reasons: Vec<String> = asked.failures.iter().map(|failure| silence(failure, peers)).collect();
    if asked.missing > 0 {
        reasons.push(format!("the contents of {} could not be had", console::count(asked.missing, "result")));
    }
    if standing.is_complete() && standing.is_direct() && reasons.is_empty() {
        return;
    }
    reasons.extend(standing.words().filter(|words| !words.is_direct()).map(|words| relayed(words, peers)));
    if reasons.is_empty() {
        reasons.push("the peers that answered do not hold all that there may be".to_owned());
    }
    let how = match &standing {
        Completeness::Complete(_) => "complete by those who answered".to_owned(),
        Completeness::AsOf(time, _) => format!("complete as of {}", console.time(*time)),
        Completeness::Partial => "not complete".to_owned(),
    };
    console.remark(&lack(asked, &standing), &format!("{how}: {}", reasons.join("; ")));
}

/// On whose word an answer rests who was not asked.
fn relayed(words: &Words, peers: &[Peer]) -> String {
    let one = |word: &Word| {
        let hands = console::count(word.hands.into(), "hand");
        format!("{} through {hands}", name(&word.peer, peers))
    };
    let named: Vec<String> = words.indirect().map(one).collect();
    let more = if words.has_more() { ", and others" } else { "" };
    format!("on the word of peers that were not asked: {}{more}", named.join(", "))
}

fn silence(Failure { peer, error, .. }: &Failure, peers: &[Peer]) -> String {
    format!("peer {} did not answer: {error}", name(peer, peers))
}

/// What a peer is called here, or its fingerprint.
fn name(key: &FeedKey, peers: &[Peer]) -> String {
    let known = peers.iter().find(|peer| peer.key == *key).and_then(|peer| peer.name.as_deref());
    known.map_or_else(|| key.fingerprint(), |name| name.to_string())
}

fn lack(asked: &Asked, standing: &Completeness) -> Value {
    let mut value = console::fields(standing);
    value.insert("missing".to_owned(), json!(asked.failures));
    if asked.missing > 0 {
        value.insert("contents".to_owned(), json!(asked.missing));
    }
    value.into()
}
