//! One file a command.

mod blob;
mod chat;
mod database;
mod demo;
mod follow;
mod input;
mod inspect;
mod kept;
mod kv;
mod log;
mod map;
mod peer;
mod question;
mod recover;
mod serve;
mod sync;
mod watching;
mod writer;

use crate::args::{Args, BlobCommand, Command};
use crate::console::{Console, count, is_closed_pipe};
use crate::exit::Exit;
use crate::manual;
use anyhow::bail;
use kappadb::{Builder, Database, Delivery, EntryId, FeedKey, Ticket};
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::Duration;

/// How long a process that has written stays for peers that are taking it.
const LINGER: Duration = Duration::from_secs(1);

pub use input::Input;
pub use kept::Kept;

/// Where the database of a command is.
pub enum Home {
    /// In a folder that this process is to open for it.
    Folder,
    /// The same, but it stays open for the next command, and may be open already.
    Kept(Kept),
    /// It is open in this process, the node on the folder.
    Node(Database),
}

/// What every command gets: the one thing that knows in which process it is carried out.
pub struct Context {
    pub console: Console,
    pub dir: PathBuf,
    home: Home,
    /// What was warned of when the database was opened.
    warned: RefCell<Vec<String>>,
    /// What others who find the folder in use are told.
    name: String,
    wait: Duration,
    /// Under which name to write, if not the default one.
    writer: Option<String>,
    /// For how long a peer is waited for, if not as long as usual.
    patience: Option<Duration>,
    /// For how long to stay until peers have what was written, if it is to be told.
    deliver: Option<Duration>,
    /// What was written last before this command.
    before: Cell<Option<EntryId>>,
}

impl Context {
    /// A builder for `dir` that shows progress.
    pub fn builder(&self) -> Builder {
        let (bars, warnings) = (self.console.clone(), self.console.clone());
        let builder = Database::builder(&self.dir).command(self.name.clone()).wait(self.wait);
        let builder = builder.progress(move |p| bars.bar(p)).warned(move |text| warnings.warn(text));
        match self.patience {
            Some(patience) => builder.patience(patience),
            None => builder,
        }
    }

    /// The database, opened.
    pub async fn open(&self) -> anyhow::Result<Database> {
        self.open_as(|builder| builder).await
    }

    /// The same with other settings, where it is not open already.
    pub async fn open_as(&self, set: impl FnOnce(Builder) -> Builder) -> anyhow::Result<Database> {
        let database = match self.at_hand() {
            Some(database) => database,
            None => self.keep(set(self.builder()).open().await?).await?,
        };
        self.warn(&database);
        self.before.set(database.last_written().await?);
        match &self.writer {
            Some(name) => Ok(database.with_writer(name).await?),
            None => Ok(database),
        }
    }

    /// The database with all derived data made anew; views may still be at it.
    pub async fn open_rebuilt(&self) -> anyhow::Result<Database> {
        let database = match self.at_hand() {
            Some(database) => {
                database.rebuild(None).await?;
                database
            }
            None => self.keep(self.builder().rebuild().open().await?).await?,
        };
        // That it could not be put on the disk, for one.
        self.warn(&database);
        Ok(database)
    }

    /// Tells of what was not told yet.
    fn warn(&self, database: &Database) {
        let warnings = database.warnings();
        let told = self.warned.replace(warnings.clone());
        warnings.iter().filter(|text| !told.contains(text)).for_each(|text| self.console.warn(text));
    }

    /// The database of a ticket: a new replica, or the one that is there, which learns of the ticket's peer.
    pub async fn join(&self, ticket: &Ticket) -> anyhow::Result<Database> {
        match self.at_hand() {
            Some(database) => {
                database.meet(ticket).await?;
                Ok(database)
            }
            None => self.keep(self.builder().join(ticket).await?).await,
        }
    }

    /// Ends with the database. Who opened it closes it.
    pub async fn close(&self, database: Database) -> anyhow::Result<()> {
        let last = database.last_written().await?;
        let written = last.filter(|_| last != self.before.get());
        match (written, self.deliver) {
            (Some(written), Some(within)) => self.tell_delivery(&database, written, within).await?,
            // Who follows what was written here gets it before this process goes.
            (Some(written), None) if self.is_alone() => drop(database.deliver(written, LINGER).await?),
            _ => {}
        }
        match self.home {
            Home::Folder => Ok(database.close().await?),
            // Where it is not opened nobody would hear of it.
            Home::Kept(_) | Home::Node(_) => {
                self.warn(&database);
                Ok(())
            }
        }
    }

    /// Waits for peers to take what was written, also those that are not connected yet, and tells what came of it.
    async fn tell_delivery(
        &self,
        database: &Database,
        written: EntryId,
        within: Duration,
    ) -> anyhow::Result<()> {
        let _kept = database.peers().keep();
        let Delivery { held_by, awaited } = database.deliver(written, within).await?;
        let value = json!({ "reached": held_by.len(), "awaited": awaited.len() });
        self.console.note(&value, &format!("kappa: {}", in_words(held_by.len(), awaited.len())));
        Ok(())
    }

    /// The database, if it is open already, as this command uses it.
    fn at_hand(&self) -> Option<Database> {
        let database = match &self.home {
            Home::Folder => return None,
            Home::Kept(kept) => kept.get()?,
            Home::Node(database) => database.clone(),
        };
        let bars = self.console.clone();
        let database = database.with_progress(move |p| bars.bar(p));
        Some(self.patience.map_or(database.clone(), |patience| database.with_patience(patience)))
    }

    /// The database, which was just opened; it stays open if the next command is to find it so.
    async fn keep(&self, database: Database) -> anyhow::Result<Database> {
        if let Home::Kept(kept) = &self.home {
            kept.keep(&database).await?;
        }
        Ok(database)
    }

    /// True if the database is open for this command alone.
    fn is_alone(&self) -> bool {
        matches!(self.home, Home::Folder)
    }

    /// True if the process is the node on the folder, and not the one that was called.
    pub fn is_node(&self) -> bool {
        matches!(self.home, Home::Node(_))
    }

    /// The feed that is written here; none if nothing was yet. Reading makes none.
    pub async fn own_feed(&self, database: &Database) -> anyhow::Result<Option<FeedKey>> {
        let name = self.writer.as_deref().unwrap_or("default");
        let writers = database.writers().await?;
        Ok(writers.into_iter().find(|writer| writer.name == name).map(|writer| writer.feed))
    }
}

/// How many peers hold an entry, and how many that follow it have not said so.
pub fn in_words(held: usize, awaited: usize) -> String {
    let peers = |number: usize| count(number as u64, "peer");
    let held = match held {
        0 => "no peer has said that it holds it".to_owned(),
        held => format!("held by {}", peers(held)),
    };
    if awaited == 0 {
        held
    } else {
        format!("{held}; {} asked for it and did not say so yet", peers(awaited))
    }
}

/// Carries a command out, and tells what went wrong.
pub async fn carry_out(args: Args, console: Console, home: Home) -> Exit {
    let done = run(args, console.clone(), home).await;
    // What was printed last may still be on its way to somebody who does not want it.
    match done.and_then(|exit| console.flush().map(|()| exit)) {
        Ok(exit) => exit,
        Err(error) if is_closed_pipe(&error) => Exit::Done,
        Err(error) => console.fail(&error),
    }
}

async fn run(args: Args, console: Console, home: Home) -> anyhow::Result<Exit> {
    let Args { db: dir, name, wait, patience, deliver, writer, command, .. } = args;
    let (warned, before) = (RefCell::default(), Cell::default());
    let context = Context { console, dir, home, warned, name, wait, writer, patience, deliver, before };
    match command {
        Command::Init => database::init(&context).await?,
        Command::Join(ticket) => database::join(&context, &ticket).await?,
        Command::Serve(args) => serve::serve(&context, &args).await?,
        Command::Follow(command) => follow::run(&context, &command).await?,
        Command::Sync(args) => return sync::sync(&context, &args).await,
        Command::Stop => serve::stop(&context)?,
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
        Command::Completions { shell } => manual::completions(&context.console, shell)?,
        Command::Man { folder } => manual::pages(&folder)?,
        Command::Demo(demo) => demo::demo(&context.console, &demo).await?,
        Command::Batch => bail!("a batch is no command of another"),
    }
    Ok(Exit::Done)
}
