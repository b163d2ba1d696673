//! `kv ...` and `writer ...`.

use super::{AskArgs, Limit};
use clap::{Args as ClapArgs, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum KvCommand {
    /// Give a key a value, in place of every version of it that is held here. Prints the id of the entry.
    Put {
        /// The key: 1 to 1,024 bytes of text.
        key: String,
        /// The value, or `-` for stdin, whatever its bytes.
        value: OsString,
    },
    /// Write the value of a key to stdout, byte for byte. With --json: a line that has the value as `value`, or as
    /// `value_base64` if it is no UTF-8.
    Get(KvGetArgs),
    /// Take the value of a key away. Asks the known peers first what they know of it.
    Delete {
        /// The key.
        key: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Give a key in conflict one value in place of all of its heads. Asks the known peers first what they know of it.
    Merge {
        /// The key.
        key: String,
        /// The value, or `-` for stdin.
        value: OsString,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Print the keys that have a value, in the order of their bytes; with --json their values too.
    List(KvListArgs),
    /// Print all versions of a key, the latest first.
    History {
        /// The key.
        key: String,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print each key as it is now, then whenever it changes, as JSON lines, until interrupted.
    Watch(KvWatchArgs),
    /// Import JSON lines: {"key","value"}, with `value_base64` in place of `value` for other bytes than UTF-8, and with
    /// "writer" to write as that writer, who is made if there is none. Lines that cannot be read are told with their
    /// number and left out; then the exit code is 1.
    Import {
        /// The file, or `-` for stdin.
        file: PathBuf,
    },
    /// Print all keys that have a value with their values, as lines that `kv import` takes.
    Export {
        /// Only keys that start with this.
        #[arg(long, value_name = "P", default_value = "")]
        prefix: String,
        #[command(flatten)]
        ask: AskArgs,
    },
}

#[derive(ClapArgs)]
pub struct KvGetArgs {
    /// The key.
    pub key: String,
    /// Print all heads, a line each, deletes too; the one shown by default first.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(ClapArgs)]
pub struct KvListArgs {
    /// Only keys that start with this.
    #[arg(long, value_name = "P", default_value = "")]
    pub prefix: String,
    /// Print at most this many, or `all`; the peers are asked for about as many.
    #[arg(long, value_name = "N", default_value_t = Limit::ALL)]
    pub limit: Limit,
    /// The last key first.
    #[arg(long)]
    pub backwards: bool,
    /// Go on after this key: the last one of an earlier page.
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(ClapArgs)]
pub struct KvWatchArgs {
    /// The keys. Each is printed first as it is, also if it has no value.
    #[arg(required_unless_present = "prefix", value_name = "KEY")]
    pub keys: Vec<String>,
    /// All keys that start with this, instead.
    #[arg(long, value_name = "P", conflicts_with = "keys")]
    pub prefix: Option<String>,
    /// Ask the known peers again after this many seconds: peers do not yet tell of changes by themselves.
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = super::seconds_from::<1>)]
    pub every: f64,
    /// Ask no peer.
    #[arg(long)]
    pub local: bool,
}

#[derive(Subcommand)]
pub enum WriterCommand {
    /// Print the names of the writers, and their feeds.
    List,
    /// Make a writer with a feed of its own.
    New {
        /// Its name: 1 to 64 bytes without white space.
        name: String,
    },
}
