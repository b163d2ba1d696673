//! `sync` fetches what peers have, once, or goes on; and tells how far it has come.

use super::Context;
use crate::args::SyncArgs;
use crate::console::{Console, count};
use crate::exit::Exit;
use crate::outside::Shown;
use kappadb::{Database, Holdings, Interest};
use serde_json::json;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// How often people see how far it has come, and how often programs are told.
const TICK: Duration = Duration::from_millis(100);
const LINES: Duration = Duration::from_secs(1);
/// What the bar is about.
const TASK: &str = "fetching";

pub async fn sync(context: &Context, args: &SyncArgs) -> anyhow::Result<Exit> {
    let (interest, interrupted) = (args.interest()?, context.console.interrupt()?);
    context
        .read(args.ask, async |database, question| {
            let mut meter = Meter::new(&context.console, database, &interest).await?;
            let done = meter.run_during(question.read(database.replicate(&interest))).await?;
            meter.end();
            let _all = done?;
            let holdings = match question.holdings() {
                None if meter.of_all => Some(database.holdings().await?),
                holdings => holdings,
            };
            // Also of those who then failed.
            tell(&context.console, meter.fetched(), holdings)?;
            if args.follow && question.asks() {
                let _following = database.follow(&interest);
                meter.run_during(interrupted).await?;
                meter.end();
            }
            Ok(1)
        })
        .await
}

/// What came of it. What is there is known where everything was asked for.
fn tell(console: &Console, fetched: u64, holdings: Option<Holdings>) -> anyhow::Result<()> {
    let blocks = format!("{} fetched", count(fetched, "block"));
    let Some(Holdings { blocks: known, feeds, held, lacking, .. }) = holdings else {
        return console.result(&json!({ "fetched": fetched }), &blocks);
    };
    let unavailable = known.saturating_sub(held);
    let value = json!({
        "fetched": fetched,
        "known": known,
        "known_feeds": feeds,
        "unavailable": unavailable,
        "unavailable_feeds": lacking,
    });
    let lack = match unavailable {
        0 => String::new(),
        blocks => format!(", {} of {} held by nobody asked", count(blocks, "block"), count(lacking, "feed")),
    };
    let all = format!("{blocks}; {} in {} known{lack}", count(known, "block"), count(feeds, "feed"));
    console.result(&value, &all)
}

/// Tells how far it has come.
struct Meter<'a> {
    console: &'a Console,
    database: &'a Database,
    /// What is fetched is all that there is, so it is known how much that is.
    of_all: bool,
    before: Holdings,
    last: Holdings,
    told: Option<Instant>,
}

impl<'a> Meter<'a> {
    async fn new(
        console: &'a Console,
        database: &'a Database,
        interest: &Interest,
    ) -> anyhow::Result<Meter<'a>> {
        let (before, of_all) = (database.holdings().await?, *interest == Interest::Everything);
        Ok(Meter { console, database, of_all, before, last: before, told: None })
    }

    /// Tells it time and again until this is done.
    async fn run_during<T>(&mut self, job: impl Future<Output = T>) -> anyhow::Result<T> {
        let (mut job, mut ticks) = (pin!(job), interval(TICK));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                done = &mut job => {
                    self.last = self.database.holdings().await?;
                    return Ok(done);
                }
                _ = ticks.tick() => self.tick().await?,
            }
        }
    }

    async fn tick(&mut self) -> anyhow::Result<()> {
        let now = self.database.holdings().await?;
        let changed = now != self.last;
        self.last = now;
        if changed {
            self.console.show(&self.shown());
            if self.told.is_none_or(|told| told.elapsed() >= LINES) {
                self.told = Some(Instant::now());
                self.tell_programs();
            }
        }
        Ok(())
    }

    fn fetched(&self) -> u64 {
        self.last.fetched.saturating_sub(self.before.fetched)
    }

    fn shown(&self) -> Shown {
        let fetched = self.fetched();
        // What was known and not held before may come, too.
        let known = self.last.blocks.saturating_sub(self.before.held);
        let (total, more) = match self.of_all {
            true => (Some(known), format!("{fetched} of {} known", count(known, "block"))),
            false => (None, count(fetched, "block")),
        };
        Shown { task: TASK.to_owned(), done: fetched, total, more }
    }

    fn tell_programs(&self) {
        let mut line = json!({ "fetched": self.fetched() });
        if let (true, Some(line)) = (self.of_all, line.as_object_mut()) {
            line.insert("known".to_owned(), json!(self.last.blocks));
            line.insert("known_feeds".to_owned(), json!(self.last.feeds));
        }
        self.console.progress(&line);
    }

    /// The bar goes.
    fn end(&self) {
        let done = self.fetched();
        self.console.show(&Shown { task: TASK.to_owned(), done, total: Some(done), more: String::new() });
    }
}
