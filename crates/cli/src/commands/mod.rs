//! One file a command.

mod blob;
mod chat;
mod database;
mod demo;
mod file;
mod input;
mod inspect;
mod kv;
mod log;
mod map;
mod peer;
mod question;
mod recover;
mod serve;
mod watching;
mod writer;

use crate::args::{Args, BlobCommand, Command};
use crate::exit::Exit;
use crate::output;
use crate::progress::Bar;
use crate::times;
use kappadb::{Builder, Database, FeedKey};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What every command gets.
pub struct Context {
    pub dir: PathBuf,
    /// What others who find the folder in use are told.
    name: String,
    wait: Duration,
    /// Under which name to write, if not the default one.
    writer: Option<String>,
    /// For how long a peer is waited for, if not as long as usual.
    patience: Option<Duration>,
}

impl Context {
    /// A builder for `dir` that shows progress.
    pub fn builder(&self) -> Builder {
        let bar = Arc::new(Bar::new());
        let builder = Database::builder(&self.dir).command(self.name.clone()).wait(self.wait);
        let builder = builder.progress(move |p| bar.show(p)).warned(output::warn);
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

    /// The feed that is written here; none if nothing was yet. Reading makes none.
    pub async fn own_feed(&self, database: &Database) -> anyhow::Result<Option<FeedKey>> {
        let name = self.writer.as_deref().unwrap_or("default");
        let writers = database.writers().await?;
        Ok(writers.into_iter().find(|writer| writer.name == name).map(|writer| writer.feed))
    }
}

pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { db: dir, utc, name, wait, patience, writer, command, .. } = args;
    if utc {
        times::use_utc();
    }
    let context = Context { dir, name, wait: Duration::from_secs_f64(wait), writer, patience };
    match command {
        Command::Init => database::init(&context).await?,
        Command::Join(ticket) => database::join(&context, &ticket).await?,
        Command::Serve(args) => serve::serve(&context, &args).await?,
        Command::Ticket => serve::ticket(&context).await?,
        Command::Peer(command) => peer::run(&context, &command).await?,
        Command::Map(command) => return map::run(&context, &command).await,
        Command::Chat(command) => return chat::run(&context, &command).await,
        Command::Kv(command) => return kv::run(&context, &command).await,
        Command::Writer(command) => writer::run(&context, &command).await?,
        Command::Blob(BlobCommand::Put { file, media_type, name }) => {
            blob::put(&context, &file, media_type, name).await?;
        }
        Command::Blob(BlobCommand::Get(get)) => return blob::get(&context, &get).await,
        Command::Blob(BlobCommand::List { limit, after, ask }) => {
            return blob::list(&context, limit, after, ask).await;
        }
        Command::Blob(BlobCommand::Info { id, ask }) => return blob::info(&context, &id, ask).await,
        Command::Feed(command) => return log::feed(&context, &command).await,
        Command::Clear { feed, ranges, force } => log::clear(&context, &feed, &ranges, force).await?,
        Command::Compact => log::compact(&context).await?,
        Command::Settle { only_copy } => log::settle(&context, only_copy).await?,
        Command::Status => inspect::status(&context).await?,
        Command::Verify => return inspect::verify(&context).await,
        Command::Rebuild => inspect::rebuild(&context).await?,
        Command::Demo(demo) => demo::demo(&demo).await?,
    }
    Ok(Exit::Done)
}
