//! `chat ...`.

use super::{AskArgs, EntryText, FeedText, Limit};
use crate::times::When;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use kappadb::ChatCursor;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum ChatCommand {
    /// Post a message to a channel and print its id. The channel is there from then on.
    Post {
        /// The channel: 1 to 64 characters, whatever their case.
        channel: String,
        /// The text: up to 4 KiB, or `-` for stdin.
        text: String,
        /// Post it as an action: `* anna waves`.
        #[arg(long)]
        emote: bool,
        /// As an answer to this message of the channel.
        #[arg(long, value_name = "ID")]
        reply_to: Option<EntryText>,
        /// With a blob (`kappa blob put`), by its id; up to 16 times.
        #[arg(long, value_name = "BLOB")]
        attach: Vec<EntryText>,
    },
    /// Say something else in an own message. What it said before stays: `chat history`.
    Edit {
        /// Its id: FEED/SEQ.
        id: EntryText,
        /// What it is to say, or `-` for stdin.
        text: String,
        /// With these blobs instead of those that it has; up to 16 times.
        #[arg(long, value_name = "BLOB", conflicts_with = "detach")]
        attach: Vec<EntryText>,
        /// Without those that it has.
        #[arg(long)]
        detach: bool,
    },
    /// Print all that a message said, from the first on.
    History {
        /// Its id: FEED/SEQ.
        id: EntryText,
    },
    /// Print the messages of a channel, the latest first. Times are order times: --since is included, --until is not.
    Read(ReadArgs),
    /// Print the channels that somebody posted to or joined.
    Channels(AskArgs),
    /// Print who joined, posted to or set the topic of a channel and has not left since.
    Members {
        /// The channel.
        channel: String,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print the topic of a channel, or set it.
    Topic {
        /// The channel.
        channel: String,
        /// What it is to be, up to 512 characters; an empty one clears it.
        text: Option<String>,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print this writer's nickname, or set it.
    Nick {
        /// 1 to 32 characters.
        name: Option<String>,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print what a writer says of itself, or set a field of it.
    Profile {
        /// The field to set, such as `status`.
        #[arg(requires = "value")]
        field: Option<String>,
        /// What it is to be; an empty one clears it.
        value: Option<String>,
        /// Whose profile; this writer's by default.
        #[arg(long, value_name = "FEED", conflicts_with = "field")]
        of: Option<FeedText>,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Write privately, or print private messages to and from this writer, the latest first.
    Dm(DmArgs),
    /// Say which feed a name stands for here, so that private messages to the name go to that feed. No peer learns of it.
    #[command(subcommand)]
    Pin(PinCommand),
    /// Join a channel.
    Join {
        /// The channel.
        channel: String,
    },
    /// Leave a channel.
    Leave {
        /// The channel.
        channel: String,
    },
    /// Mark a channel as archived, for everybody.
    Archive {
        /// The channel.
        channel: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        /// Open it again.
        #[arg(long)]
        undo: bool,
    },
    /// Delete an own message, or take an own topic and the like back: the one before shows again.
    Delete {
        /// Its id: FEED/SEQ.
        id: EntryText,
    },
    /// Find messages by all of their words, the latest first; `word*` finds what begins so. What is not held here of the channel, or of all
    /// channels, is fetched first; with --local it is not.
    Search(SearchArgs),
    /// Print for each channel that this writer is in, and each feed that writes to it privately, how many messages came that were not marked as
    /// read, whenever they were written, and how many of them mention this writer's nickname. Of channels that are not held here whole so
    /// many are counted as were asked for, and that there may be more is said.
    Unread(AskArgs),
    /// Mark all of a channel that is due as read.
    MarkRead {
        /// The channel.
        channel: String,
        /// Only up to this message, in reading order.
        #[arg(long, value_name = "ID")]
        up_to: Option<EntryText>,
    },
    /// Hide, mute and block, and say whose moderation to trust. Moderation is subjective: it counts for those who trust it.
    #[command(subcommand)]
    Moderate(ModerateCommand),
    /// Print the latest messages of some channels, or of all, then each that comes or changes anywhere, as JSON lines, until interrupted.
    Watch(WatchArgs),
    /// Import what `chat export` printed, or JSON lines {"author","channel","timestamp","text"}, the timestamp in ms. Each author gets a feed of its own
    /// here, as whose nickname its name is; none of them is this replica's own writer. Lines that cannot be read are told with their number and left
    /// out; then the exit code is 1. Importing again appends nothing, also of what was deleted since.
    Import {
        /// The file, or `-` for stdin.
        file: PathBuf,
    },
    /// Print all of chat as JSON lines that `chat import` takes: messages, private ones that can be read here, and what is said of channels and writers,
    /// also what moderation hides; nothing that was deleted. What was cleared here is left out; then the exit code is 1.
    Export(AskArgs),
}

/// Which messages.
#[derive(ClapArgs)]
pub struct PageArgs {
    /// From this time on: a day such as 2026-11-29, which is its beginning, a time such as "2026-11-29 14:30", one with a zone, or milliseconds
    /// since 1970.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub since: Option<When>,
    /// Before this time, or this day.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    pub until: Option<When>,
    /// At most this many, or `all`.
    #[arg(long, value_name = "N", default_value_t = Limit::at_most(50))]
    pub limit: Limit,
    /// Begin with the oldest instead of the latest.
    #[arg(long)]
    pub oldest_first: bool,
    /// Go on after an earlier page: the cursor that it ended with.
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<ChatCursor>,
    /// Show also what moderation hides, marked.
    #[arg(long)]
    pub hidden: bool,
    /// Mark what is printed as read, and nothing else.
    #[arg(long)]
    pub mark: bool,
}

#[derive(ClapArgs)]
pub struct ReadArgs {
    /// The channel.
    pub channel: String,
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(ClapArgs)]
pub struct SearchArgs {
    /// The words.
    pub query: String,
    /// Only in this channel.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Print at most this many, or `all`.
    #[arg(long, value_name = "N", default_value_t = Limit::at_most(50))]
    pub limit: Limit,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(ClapArgs)]
pub struct DmArgs {
    /// With whom: a name that is pinned to a feed, or that only one feed has or ever had: then, on a terminal, you are asked whether it is that one. Not
    /// with --to.
    #[arg(value_name = "NICK")]
    pub with: Option<String>,
    /// What to write: up to 4 KiB, or `-` for stdin. Only the two can read it. Without it, messages are printed.
    #[arg(conflicts_with_all = ["to", "since", "until", "limit", "oldest_first", "after", "hidden", "mark"])]
    pub text: Option<String>,
    /// Answer this private message between the two: its id, or the beginning of it.
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "until", "limit", "oldest_first", "after", "hidden", "mark"])]
    pub reply_to: Option<EntryText>,
    /// With whom, for scripts: a feed. `chat dm --to FEED TEXT`.
    #[arg(long, value_name = "FEED")]
    pub to: Option<FeedText>,
    #[command(flatten)]
    pub page: PageArgs,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(ClapArgs)]
pub struct WatchArgs {
    /// The channels. Without any: all, also those that are new, and private messages.
    pub channels: Vec<String>,
    /// Private messages to and from this writer as well.
    #[arg(long)]
    pub private: bool,
    /// How many of the latest messages of each to begin with; 0 is none. Of those that come later all are printed.
    #[arg(long, value_name = "N", default_value_t = 10, alias = "limit")]
    pub past: usize,
    /// Ask no peer, and follow none.
    #[arg(long)]
    pub local: bool,
}

#[derive(Subcommand)]
pub enum PinCommand {
    /// Print the names, and the feeds that they stand for.
    List,
    /// Let a name stand for a feed.
    Add {
        /// The name: 1 to 32 characters.
        name: String,
        /// The feed: its key or fingerprint, or the beginning.
        feed: FeedText,
    },
    /// Let a name stand for nobody.
    Remove {
        /// The name.
        name: String,
    },
}

#[derive(Subcommand)]
pub enum ModerateCommand {
    /// Set the flags of a writer to these and no others; none clears them.
    Set(FlagArgs),
    /// Add flags to those set.
    Add(FlagArgs),
    /// Take flags away.
    Remove(FlagArgs),
    /// Print all flags that are set here and whether they count.
    List(AskArgs),
    /// Trust a writer's moderation, on this replica and on those that join with its tickets.
    Trust {
        /// Its feed.
        feed: FeedText,
        /// As what.
        #[arg(long = "as", value_enum, default_value_t = Role::Mod)]
        role: Role,
    },
    /// Trust it no more, whoever named it, and whatever tickets say.
    Distrust {
        /// Its feed.
        feed: FeedText,
    },
    /// Print whose moderation is trusted.
    Trusted,
}

#[derive(ClapArgs)]
pub struct FlagArgs {
    /// Whose flags.
    pub target: FeedText,
    /// hide, mute, block, allow, mod or admin.
    pub flags: Vec<Flag>,
    /// In this channel; everywhere by default.
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Why.
    #[arg(long, default_value = "")]
    pub reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// May hide, mute and block, and name admins and mods.
    Admin,
    /// May hide, mute and block.
    Mod,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Flag {
    /// Its messages are left out; --hidden shows them.
    Hide,
    /// The same, and its topics, archives and memberships do not count.
    Mute,
    /// Nothing of it is shown, counts, or, if that is everywhere, is asked for.
    Block,
    /// It may hide, mute and block.
    Mod,
    /// It may also name admins and mods.
    Admin,
    /// What others say of it does not count for this writer.
    Allow,
}
