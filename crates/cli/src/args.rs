//! The command line, word for word. Scripts rely on these names.

mod ask;
mod blob;
mod chat;
mod globals;
mod kv;
mod map;
mod names;
mod peer;

pub use ask::{AskArgs, Limit};
pub use blob::{BlobCommand, BlobGetArgs, ByteRange};
pub use chat::{
    ChatCommand, DmArgs, Flag, FlagArgs, ModerateCommand, PageArgs, PinCommand, ReadArgs, Role, SearchArgs,
    WatchArgs,
};
pub use globals::Globals;
pub use kv::{Heads, KvCommand, KvListArgs, KvWatchArgs, WriterCommand};
pub use map::{ExportArgs, ExportFormat, Format, MapCommand, QueryArgs};
pub use names::{EntryText, FeedText};
pub use peer::{FollowCommand, PeerCommand, ServeArgs, SyncArgs, TicketArgs};

use clap::error::ErrorKind;
use clap::{Args as ClapArgs, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use kappadb::{Extent, RangeSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// A multi-writer database of map features, keys and values that peers can query without replicating it.
#[derive(Parser)]
#[command(name = "kappa", version, propagate_version = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    /// The database directory.
    #[arg(long, global = true, env = "KAPPA_DB", default_value = "./kappa-db", value_name = "DIR")]
    pub db: PathBuf,
    /// Write every line as JSON, on stdout and on stderr.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print and read times in UTC. Else those without a zone are local, and so is what a terminal shows.
    #[arg(long, global = true)]
    pub utc: bool,
    /// How long to wait for a folder that another process has open.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "0", value_parser = wait)]
    pub wait: Duration,
    /// Write as this writer of the replica; see `kappa writer`.
    #[arg(long, global = true, value_name = "NAME")]
    pub writer: Option<String>,
    /// For how many seconds a peer may let a question wait before it is left behind. Default: 2, or what KAPPA_PATIENCE says.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub patience: Option<Duration>,
    /// Stay up to so many seconds for peers to take what was written, and tell how many hold it and how many were still waited for.
    #[arg(long, global = true, value_name = "SECONDS", value_parser = wait)]
    pub deliver: Option<Duration>,
    /// Carry out the commands on stdin, one on each line, in this process: as a shell would with `set -e`. What was given before this counts for each
    /// line, unless it says otherwise. With --json each line is followed by one that has its number and exit code.
    #[arg(long)]
    batch: bool,
    /// Go on after a command that failed. The exit code is that of the first.
    #[arg(long, requires = "batch")]
    pub keep_going: bool,
    #[command(subcommand)]
    given: Option<Command>,
    #[arg(skip = Command::Batch)]
    pub command: Command,
    /// The command's name, such as `kappa kv put`: nothing of what it was given.
    #[arg(skip)]
    pub name: String,
}

/// What a command line has in the place of a command if it is a batch.
const BATCH: &str = "--batch";

impl Args {
    /// What a process was called with; the first word is the program.
    pub fn of(words: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
        let words: Vec<OsString> = words.into_iter().collect();
        let mut command = Args::command().subcommand_required(!words.iter().any(|word| word == BATCH));
        let matches = command.try_get_matches_from_mut(words)?;
        let mut name = "kappa".to_owned();
        let mut rest = &matches;
        while let Some((word, more)) = rest.subcommand() {
            name = format!("{name} {word}");
            rest = more;
        }
        let mut args = Args { name, ..Args::from_arg_matches(&matches)? };
        match args.given.take() {
            Some(_) if args.batch => {
                let text = "a batch has its commands on stdin, and none on the command line";
                Err(command.error(ErrorKind::ArgumentConflict, text))
            }
            Some(given) => Ok(Args { command: given, ..args }),
            None => Ok(args),
        }
    }
}

fn wait(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("{text:?} is no number of seconds from 0 to 86400")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f32>().map_err(|error| error.to_string())?;
    let patience = Duration::try_from_secs_f32(seconds).map_err(|error| error.to_string())?;
    if patience.is_zero() { Err("it must be more than 0".to_owned()) } else { Ok(patience) }
}

/// What `serve` tells of itself on stderr: who came, what was asked and what was refused.
#[derive(ClapArgs)]
pub struct LogArgs {
    /// Tell only of what was refused or failed.
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Tell more; twice for everything.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How: lines of text, or of JSON. Default: text, with --json JSON.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make a new, empty database with a writer feed.
    Init,
    /// Make the directory a sparse replica of the database that a ticket names. Needs no network. Done again with a
    /// newer ticket, it learns where the peer is now.
    Join(TicketArgs),
    /// Take part until interrupted: answer other replicas, keep sessions to the known peers, follow what is to be followed. The first line of stdout is
    /// a ticket.
    Serve(ServeArgs),
    /// What is followed whenever this replica is served.
    #[command(subcommand)]
    Follow(FollowCommand),
    /// Fetch all that peers have, or some of it.
    Sync(SyncArgs),
    /// End the `serve` that runs on the folder, and wait until it has ended.
    Stop,
    /// Print the ticket of this replica, also while it is served: who has it may read and write.
    Ticket,
    /// The peers that questions are put to.
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Import, change and query map features.
    #[command(subcommand)]
    Map(MapCommand),
    /// Keys and values: put, get, list, watch, import and export them.
    #[command(subcommand)]
    Kv(KvCommand),
    /// Messages in channels: post, read, search, watch, moderate, import.
    #[command(subcommand)]
    Chat(ChatCommand),
    /// The writers of this replica: each has a feed of its own, and a name that is known here alone.
    #[command(subcommand)]
    Writer(WriterCommand),
    /// Store and read files of any size.
    #[command(subcommand)]
    Blob(BlobCommand),
    /// The feeds of this replica: which there are, which are wanted.
    #[command(subcommand)]
    Feed(FeedCommand),
    /// Clear the payloads of blocks that are held: what entries say goes, what they mean stays. Other replicas keep theirs.
    Clear {
        /// The feed: its key in hex, or the beginning of that or of its fingerprint.
        feed: FeedText,
        /// Numbers of blocks, such as 0-99,150,200- ; all by default.
        #[arg(value_parser = ranges, default_value = "0-")]
        ranges: RangeSet,
        /// Also of a feed that is written here, though nobody else may hold what it says.
        #[arg(long)]
        force: bool,
    },
    /// Give back the disk that cleared payloads and dropped feeds take up.
    Compact,
    /// Go on writing after damage to the journal, which `verify` tells of, or in a folder that may be a copy of another. Feeds of which there may be
    /// more than is here are printed: their writers go on in new ones.
    Settle {
        /// Nobody writes another copy of this folder, newer or older: go on with the same feeds, but for those that are known to have lost blocks.
        #[arg(long)]
        only_copy: bool,
    },
    /// What this replica holds.
    Status,
    /// Check every hash, signature, checksum and index. Exits with 1 if anything is wrong.
    Verify,
    /// Make all derived data anew from the journal.
    Rebuild,
    /// Print what makes a shell complete the words of this program, for its start-up files.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Write the manual, a page for each command, into a folder such as ~/.local/share/man/man1.
    Man {
        /// The folder; made if it is not there.
        folder: PathBuf,
    },
    /// The main job on a bundled piece of Helsinki: two replicas, a real connection, a box.
    Demo(DemoArgs),
    /// The commands on stdin.
    #[command(skip)]
    Batch,
}

impl Command {
    /// True if a node on the folder carries it out; else it needs no open folder, or one of its own.
    pub fn is_for_node(&self) -> bool {
        use Command::{Batch, Completions, Demo, Init, Man, Serve, Ticket};
        !matches!(self, Init | Serve(_) | Ticket | Demo(_) | Completions { .. } | Man { .. } | Batch)
    }
}

#[derive(Subcommand)]
pub enum FeedCommand {
    /// List all feeds, those on the block list too.
    List,
    /// Begin a new feed for what is written here from now on; it names the one before.
    New,
    /// Put a feed on the block list: nothing of it counts, is passed on, or is taken in. `compact` takes away what is held of it.
    Drop {
        /// Its key in hex, or the beginning of that or of its fingerprint.
        feed: FeedText,
    },
    /// Take a feed off the block list.
    Allow {
        /// Its key in hex, or the beginning of that or of its fingerprint.
        feed: FeedText,
    },
    /// Append again, to the feed that goes on, what was written here to a feed at or beyond its fork, where it counts nowhere. What was appended again
    /// before is not. Exits with 1 if anything was left out.
    Recover {
        /// Its key in hex, or the beginning of that or of its fingerprint.
        feed: FeedText,
        /// Only show what there is, and what became of it.
        #[arg(long)]
        list: bool,
    },
}

/// Block numbers: `7`, `0-99`, `200-`, or several of these with commas between.
fn ranges(text: &str) -> Result<RangeSet, String> {
    let number = |text: &str| text.parse::<u64>().ok();
    let part = |part: &str| match part.split_once('-') {
        None => number(part).and_then(|n| Some(n..n.checked_add(1)?)),
        Some((from, "")) => number(from).map(|from| from..u64::MAX),
        Some((from, to)) => {
            let (from, to) = (number(from)?, number(to)?.checked_add(1)?);
            (from < to).then_some(from..to)
        }
    };
    let ranges = text.split(',').map(part).collect::<Option<RangeSet>>();
    ranges.ok_or_else(|| {
        format!("{text:?} are no block numbers: write 7, 0-99, 200- or several with commas between")
    })
}

#[derive(ClapArgs)]
pub struct DemoArgs {
    /// The box to ask for; a part of the bundled map by default.
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true)]
    pub bbox: Option<Extent>,
    /// Where to draw the map with what was fetched in colour.
    #[arg(long, default_value = "kappa-demo.svg", value_name = "FILE")]
    pub svg: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
