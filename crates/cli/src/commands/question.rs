//! Reading commands: they ask the peers, answer, and end with what the answer may lack. All of them go through [`Context::read`],
//! which gives the exit code: so none can forget it.

use super::Context;
use crate::args::AskArgs;
use crate::exit::Exit;
use crate::output::{self, count};
use kappadb::{Asked, Database};
use serde_json::{Value, json};
use std::time::Instant;

/// With `--require-complete`: the answer may lack something, so nothing of it is printed.
#[derive(Debug, thiserror::Error)]
#[error("the answer may lack something")]
struct Withheld;

/// What a reading command has asked so far, and what came of it.
pub struct Question {
    args: AskArgs,
    started: Instant,
    asked: Option<Asked>,
    next: Option<String>,
}

impl Context {
    /// Opens the database for a command that reads, and ends it: with the line of `--stats`, with what the answer lacks, and with the exit
    /// code for that. `job` says how many results it printed.
    pub async fn read(
        &self,
        args: AskArgs,
        job: impl AsyncFnOnce(&Database, &mut Question) -> anyhow::Result<usize>,
    ) -> anyhow::Result<Exit> {
        let mut question = Question { args, started: Instant::now(), asked: None, next: None };
        let database = self.open().await?;
        let done = job(&database, &mut question).await;
        database.close().await?;
        question.end(done)
    }
}

impl Question {
    /// Does what asks the peers, if they are to be asked. To be called before anything is printed.
    pub async fn ask<E>(&mut self, asking: impl Future<Output = Result<Asked, E>>) -> anyhow::Result<()>
    where
        anyhow::Error: From<E>,
    {
        if self.args.local {
            return Ok(());
        }
        let mut asked = asking.await?;
        if let Some(before) = self.asked.take() {
            add(&mut asked, before);
        }
        let withheld = self.args.require_complete && !is_complete(&asked);
        self.asked = Some(asked);
        if withheld { Err(Withheld.into()) } else { Ok(()) }
    }

    /// The same for what has a name of its own, of which it is known by itself whether it is whole: if all peers have answered, nothing more
    /// is to be had.
    pub async fn fetch<E>(&mut self, asking: impl Future<Output = Result<Asked, E>>) -> anyhow::Result<()>
    where
        anyhow::Error: From<E>,
    {
        self.ask(async {
            let mut asked = asking.await?;
            asked.complete |= asked.failures.is_empty();
            Ok::<_, E>(asked)
        })
        .await
    }

    /// There is more: with which cursor to go on.
    pub fn go_on_with(&mut self, next: impl ToString) {
        self.next = Some(next.to_string());
    }

    fn end(self, done: anyhow::Result<usize>) -> anyhow::Result<Exit> {
        let lacks = self.asked.as_ref().is_some_and(|asked| !is_complete(asked));
        let results = match done {
            Ok(results) => results,
            Err(failure) if failure.is::<Withheld>() => 0,
            // Not found here, and who might have it did not answer.
            Err(failure) if lacks && Exit::of(&failure) == Exit::NotFound => {
                output::fail(&failure);
                0
            }
            Err(failure) => return Err(failure),
        };
        match &self.next {
            Some(next) if !self.args.stats => {
                output::note(&json!({ "next": next }), &format!("more with --after '{next}'"));
            }
            _ => {}
        }
        if self.args.stats {
            output::stats(&self.stats(results));
        }
        self.asked.iter().for_each(tell);
        Ok(if lacks { Exit::Incomplete } else { Exit::Done })
    }

    /// The line of `--stats`. Without peers asked nothing is said of completeness.
    fn stats(&self, results: usize) -> Value {
        let none = Asked::default();
        let asked = self.asked.as_ref().unwrap_or(&none);
        let mut stats = json!({
            "results": results,
            "complete": self.asked.as_ref().map(is_complete),
            "peers": asked.peers,
            "blocks_fetched": asked.blocks_fetched,
            "bytes_received": asked.bytes_received,
            "bytes_sent": asked.bytes_sent,
            "round_trips": asked.round_trips,
            "seconds": self.started.elapsed().as_secs_f64(),
        });
        if let (Some(next), Some(stats)) = (&self.next, stats.as_object_mut()) {
            stats.insert("next".to_owned(), json!(next));
        }
        stats
    }
}

/// True if nothing of the answer can be elsewhere.
fn is_complete(asked: &Asked) -> bool {
    asked.complete && asked.missing == 0
}

/// Two questions as one.
fn add(asked: &mut Asked, before: Asked) {
    let Asked { complete, peers, blocks_fetched, bytes_received, bytes_sent, missing, round_trips, failures } =
        before;
    asked.complete &= complete;
    asked.peers = asked.peers.max(peers);
    asked.blocks_fetched += blocks_fetched;
    asked.bytes_received += bytes_received;
    asked.bytes_sent += bytes_sent;
    asked.missing += missing;
    asked.round_trips += round_trips;
    let known = std::mem::replace(&mut asked.failures, failures);
    for failure in known {
        if !asked.failures.iter().any(|told| told.peer == failure.peer) {
            asked.failures.push(failure);
        }
    }
}

/// Says what an answer may lack, and who did not answer and why. Nothing if all is well.
pub fn tell(asked: &Asked) {
    let complete = is_complete(asked);
    let silent = |failure: &kappadb::Failure| {
        format!("peer {:.8} did not answer: {}", failure.peer.to_string(), failure.error)
    };
    let mut reasons: Vec<String> = asked.failures.iter().map(silent).collect();
    if asked.missing > 0 {
        reasons.push(format!("the content of {} could not be had", count(asked.missing, "entry")));
    }
    if complete && reasons.is_empty() {
        return;
    }
    if reasons.is_empty() {
        reasons.push("the peers that answered do not hold all that there may be".to_owned());
    }
    let missing = |failure: &kappadb::Failure| json!({ "peer": failure.peer.to_string(), "error": failure.error.to_string() });
    let missing: Vec<Value> = asked.failures.iter().map(missing).collect();
    let mut value = json!({ "complete": complete, "missing": missing });
    if let (true, Some(value)) = (asked.missing > 0, value.as_object_mut()) {
        value.insert("contents".to_owned(), json!(asked.missing));
    }
    let standing = if complete { "complete without one peer or more" } else { "not complete" };
    output::remark(&value, &format!("{standing}: {}", reasons.join("; ")));
}
