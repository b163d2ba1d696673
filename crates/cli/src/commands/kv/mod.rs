//! `kv ...`: keys and values.

mod edit;
mod import;
mod lines;
mod show;
mod watch;

pub use lines::safe;

use super::Context;
use super::asked::{self, report_failures};
use crate::args::KvCommand;
use kappadb::Asked;
use std::process::ExitCode;
use std::time::Instant;

pub async fn run(context: &Context, command: &KvCommand) -> anyhow::Result<ExitCode> {
    match command {
        KvCommand::Put { key, value } => edit::put(context, key, value).await?,
        KvCommand::Delete { key, local } => edit::delete(context, key, Asking::new(*local, false)).await?,
        KvCommand::Merge { key, value, local } => {
            edit::merge(context, key, value, Asking::new(*local, false)).await?;
        }
        KvCommand::Get { key, all: false, local, stats } => {
            show::get(context, key, Asking::new(*local, *stats)).await?;
        }
        KvCommand::Get { key, all: true, local, stats } => {
            show::heads(context, key, Asking::new(*local, *stats)).await?;
        }
        KvCommand::History { key, local, stats } => {
            show::history(context, key, Asking::new(*local, *stats)).await?;
        }
        KvCommand::List(args) => show::list(context, args).await?,
        KvCommand::Export { prefix, local, stats } => {
            show::export(context, prefix, Asking::new(*local, *stats)).await?;
        }
        KvCommand::Watch(args) => watch::watch(context, args).await?,
        KvCommand::Import { file } => return import::run(context, file).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// How a reading command asks the peers, and what it tells of that.
#[derive(Clone, Copy)]
pub struct Asking {
    local: bool,
    stats: bool,
    started: Instant,
}

impl Asking {
    pub fn new(local: bool, stats: bool) -> Asking {
        Asking { local, stats, started: Instant::now() }
    }

    /// Does what asks the peers, if it is to be done.
    pub async fn ask<E>(&self, question: impl Future<Output = Result<Asked, E>>) -> Result<Option<Asked>, E> {
        if self.local {
            return Ok(None);
        }
        let asked = question.await?;
        report_failures(&asked);
        Ok(Some(asked))
    }

    /// Tells of it, if that was wanted.
    pub fn tell(&self, results: usize, asked: Option<&Asked>) {
        if self.stats {
            eprintln!("{}", asked::stats(results, asked, self.started.elapsed().as_secs_f64()));
        }
    }
}
