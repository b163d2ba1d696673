//! One file a command.

mod asked;
mod blob;
mod chat;
mod database;
mod demo;
mod inspect;
mod kv;
mod log;
mod map;
mod serve;
mod writer;

use crate::args::{Args, BlobCommand, Command};
use crate::output;
use crate::progress::Bar;
use kappadb::{Builder, Database};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// What every command gets.
pub struct Context {
    pub dir: PathBuf,
    pub json: bool,
    /// Under which name to write, if not the default one.
    pub writer: Option<String>,
    /// For how long a peer is waited for, if not as long as usual.
    pub patience: Option<Duration>,
}

impl Context {
    /// A builder for `dir` that shows progress.
    pub fn builder(&self) -> Builder {
        let bar = Arc::new(Bar::new());
        let builder = Database::builder(&self.dir).progress(move |p| bar.show(p));
        match self.patience {
            Some(patience) => builder.patience(patience),
            None => builder,
        }
    }

    /// The database, opened.
    pub async fn open(&self) -> anyhow::Result<Database> {
        let database = self.builder().open().await?;
        database.warnings().iter().for_each(|warning| output::warn(warning));
        match &self.writer {
            Some(name) => Ok(database.with_writer(name).await?),
            None => Ok(database),
        }
    }
}

pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let context = Context { dir: args.db, json: args.json, writer: args.writer, patience: args.patience };
    match args.command {
        Command::Init => database::init(&context).await?,
        Command::Join { ticket } => database::join(&context, &ticket).await?,
        Command::Serve { listen, log } => serve::serve(&context, listen, &log).await?,
        Command::Map(command) => map::run(&context, &command).await?,
        Command::Chat(command) => return chat::run(&context, &command).await,
        Command::Kv(command) => return kv::run(&context, &command).await,
        Command::Writer(command) => writer::run(&context, &command).await?,
        Command::Blob(BlobCommand::Put { file, media_type, name }) => {
            blob::put(&context, &file, media_type, name).await?;
        }
        Command::Blob(BlobCommand::Get(get)) => blob::get(&context, &get).await?,
        Command::Blob(BlobCommand::Info { id, local }) => blob::info(&context, id, local).await?,
        Command::Feed(command) => log::feed(&context, &command).await?,
        Command::Clear { feed, ranges, force } => log::clear(&context, &feed, &ranges, force).await?,
        Command::Compact => log::compact(&context).await?,
        Command::Settle => log::settle(&context).await?,
        Command::Status => inspect::status(&context).await?,
        Command::Verify => return inspect::verify(&context).await,
        Command::Rebuild => inspect::rebuild(&context).await?,
        Command::Demo(demo) => demo::demo(&context, &demo).await?,
    }
    Ok(ExitCode::SUCCESS)
}
