//! `kv ...` and `writer ...`.

use super::{AskArgs, EntryText, Limit};
use clap::error::ErrorKind;
use clap::{ArgMatches, Args as ClapArgs, Command, FromArgMatches, Subcommand};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Subcommand)]
pub enum KvCommand {
    /// Give a key a value, in place of every version of it that is held here. Prints the id of the entry.
    Put {
        #[command(flatten)]
        said: KeyValueArgs,
        /// Only if the key's heads, as held here, are just these: ids with commas between, as `kv get` has them with --json, or `none`.
        #[arg(long = "if", value_name = "HEADS")]
        expected: Option<Heads>,
    },
    /// Write the value of a key to stdout, byte for byte. With --json: a line that has the value as `value`, or as
    /// `value_base64` if it is no UTF-8.
    Get(KvGetArgs),
    /// Take the value of a key away. Asks the known peers first what they know of it.
    Delete {
        #[command(flatten)]
        key: KeyArgs,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Give a key in conflict one value in place of all of its heads. Asks the known peers first what they know of it.
    Merge {
        #[command(flatten)]
        said: KeyValueArgs,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Print the keys that have a value, in the order of their bytes; with --json their values too.
    List(KvListArgs),
    /// Print all versions of a key, the latest first.
    History {
        #[command(flatten)]
        key: KeyArgs,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print each key as it is now, then whenever it changes, as JSON lines, until interrupted.
    Watch(KvWatchArgs),
    /// Import JSON lines: {"key","value"}, with `value_base64` in place of `value` for other bytes than UTF-8, and with
    /// "writer" to write as that writer, who is made if there is none. Lines that cannot be read are told with their
    /// number and left out, also those of more than 16 MiB; then the exit code is 1. What comes is kept, a second later at the latest,
    /// however the import ends.
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
    #[command(flatten)]
    pub key: KeyArgs,
    /// Print all heads, a line each, deletes too; the one shown by default first.
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Which key.
#[derive(ClapArgs)]
pub struct KeyArgs {
    /// The key: 1 to 1,024 bytes of text.
    #[arg(required_unless_present = "coded_key", conflicts_with = "coded_key")]
    key: Option<String>,
    #[command(flatten)]
    coded: CodedKey,
}

impl KeyArgs {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        let text = || self.key.as_deref().unwrap_or_default().as_bytes();
        self.coded.bytes().map_or_else(text, Vec::as_slice)
    }
}

/// A key that is no text.
#[derive(ClapArgs)]
#[group(id = "coded_key", multiple = false)]
struct CodedKey {
    /// The key in base64, whatever its bytes.
    #[arg(long, value_name = "BASE64")]
    key_base64: Option<Base64>,
    /// The key in hex, whatever its bytes.
    #[arg(long, value_name = "HEX")]
    key_hex: Option<Hex>,
}

impl CodedKey {
    fn bytes(&self) -> Option<&Vec<u8>> {
        self.key_base64.as_ref().map(|key| &key.0).or(self.key_hex.as_ref().map(|key| &key.0))
    }
}

/// A key, and the value that it is to have.
pub struct KeyValueArgs {
    pub key: Vec<u8>,
    pub value: OsString,
}

/// As they stand on the command line: in one list, because an optional argument before another takes nothing that comes after `--`.
#[derive(ClapArgs)]
struct KeyValueTexts {
    /// The key, 1 to 1,024 bytes of text, unless it is given in base64 or hex; and the value, or `-` for stdin, whatever its bytes.
    #[arg(required = true, num_args = 1..=2, value_names = ["KEY", "VALUE"])]
    texts: Vec<OsString>,
    #[command(flatten)]
    coded: CodedKey,
}

impl ClapArgs for KeyValueArgs {
    fn augment_args(command: Command) -> Command {
        KeyValueTexts::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        KeyValueTexts::augment_args_for_update(command)
    }
}

impl FromArgMatches for KeyValueArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let KeyValueTexts { texts, coded } = KeyValueTexts::from_arg_matches(matches)?;
        match (<[OsString; 1]>::try_from(texts), coded.bytes()) {
            (Ok([value]), Some(key)) => Ok(KeyValueArgs { key: key.clone(), value }),
            (Ok(_), None) => Err(usage("a key without a value: give both")),
            (Err(_), Some(_)) => Err(usage("two keys: give one as text, in base64 or in hex")),
            (Err(texts), None) => {
                let [key, value] =
                    <[OsString; 2]>::try_from(texts).map_err(|_| usage("give a key and a value"))?;
                let key = key
                    .into_string()
                    .map_err(|_| usage("a key that is no text: give it in base64 or hex"))?;
                Ok(KeyValueArgs { key: key.into_bytes(), value })
            }
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = KeyValueArgs::from_arg_matches(matches)?;
        Ok(())
    }
}

fn usage(why: &str) -> clap::Error {
    clap::Error::raw(ErrorKind::WrongNumberOfValues, format!("{why}\n"))
}

#[derive(Clone)]
struct Base64(Vec<u8>);

impl FromStr for Base64 {
    type Err = String;

    fn from_str(text: &str) -> Result<Base64, String> {
        BASE64.decode(text.as_bytes()).map(Base64).map_err(|_| format!("{text:?} is no base64"))
    }
}

#[derive(Clone)]
struct Hex(Vec<u8>);

impl FromStr for Hex {
    type Err = String;

    fn from_str(text: &str) -> Result<Hex, String> {
        HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map(Hex).map_err(|_| format!("{text:?} is no hex"))
    }
}

/// The heads that a key is expected to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heads(pub Vec<EntryText>);

impl FromStr for Heads {
    type Err = String;

    fn from_str(text: &str) -> Result<Heads, String> {
        if text == "none" {
            return Ok(Heads(Vec::new()));
        }
        let ids: Option<Vec<EntryText>> = text.split(',').map(|id| id.trim().parse().ok()).collect();
        ids.map(Heads)
            .ok_or_else(|| format!("{text:?} is neither `none` nor ids such as FEED/SEQ with commas between"))
    }
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
    /// Ask no peer, and follow none.
    #[arg(long)]
    pub local: bool,
}

#[derive(Subcommand)]
pub enum WriterCommand {
    /// Print the names of the writers, and their feeds.
    List,
    /// Make a writer with a feed of its own.
    New {
        /// Its name: 1 to 96 characters.
        name: String,
    },
}
