//! `kv ...` and `writer ...`.

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
    Get {
        /// The key.
        key: String,
        /// Print all heads, a line each, deletes too; the one shown by default first.
        #[arg(long)]
        all: bool,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
        /// Print one JSON line about the query on stderr.
        #[arg(long)]
        stats: bool,
    },
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
        /// Ask no peer.
        #[arg(long)]
        local: bool,
        /// Print one JSON line about the query on stderr.
        #[arg(long)]
        stats: bool,
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
        /// Ask no peer.
        #[arg(long)]
        local: bool,
        /// Print one JSON line about the query on stderr.
        #[arg(long)]
        stats: bool,
    },
}

#[derive(ClapArgs)]
pub struct KvListArgs {
    /// Only keys that start with this.
    #[arg(long, value_name = "P", default_value = "")]
    pub prefix: String,
    /// Print at most this many; the peers are asked for about as many.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The last key first.
    #[arg(long)]
    pub backwards: bool,
    /// Go on after this key: the last one of an earlier page.
    #[arg(long, value_name = "KEY")]
    pub after: Option<String>,
    /// Ask no peer.
    #[arg(long)]
    pub local: bool,
    /// Print one JSON line about the query on stderr.
    #[arg(long)]
    pub stats: bool,
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
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
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

pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err(format!("{text:?} is no number of seconds from 0.1 to 86400")),
    }
}
