//! The command line, word for word. Scripts rely on these names.

mod chat;
mod kv;

pub use chat::{AskArgs, ChatCommand, Flag, FlagArgs, ModerateCommand, ReadArgs, Role, WatchArgs};
pub use kv::{KvCommand, KvListArgs, KvWatchArgs, WriterCommand};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use kappadb::{Cursor, EntryId, Extent, FeatureKind, RangeSet, TagFilter};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

/// A multi-writer database of map features, keys and values that peers can query without replicating it.
#[derive(Parser)]
#[command(name = "kappa", version, propagate_version = true)]
pub struct Args {
    /// The database directory.
    #[arg(long, global = true, env = "KAPPA_DB", default_value = "./kappa-db", value_name = "DIR")]
    pub db: PathBuf,
    /// Write results as JSON lines.
    #[arg(long, global = true)]
    pub json: bool,
    /// Write as this writer of the replica; see `kappa writer`.
    #[arg(long, global = true, value_name = "NAME")]
    pub writer: Option<String>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make a new, empty database with a writer feed.
    Init,
    /// Make the directory a sparse replica of the database that a ticket names. Needs no network. Done again with a
    /// newer ticket, it learns where the peer is now.
    Join {
        /// What `kappa serve` printed on its first line.
        ticket: String,
    },
    /// Answer other replicas until interrupted. The first line of stdout is a ticket.
    Serve {
        /// Address and port to listen on; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR")]
        listen: SocketAddr,
    },
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
        /// The feed: its key in hex, or the beginning of it.
        feed: String,
        /// Numbers of blocks, such as 0-99,150,200- ; all by default.
        #[arg(value_parser = ranges, default_value = "0-")]
        ranges: RangeSet,
    },
    /// Give back the disk that cleared payloads and dropped feeds take up.
    Compact,
    /// What this replica holds.
    Status,
    /// Check every hash, signature, checksum and index. Exits with 1 if anything is wrong.
    Verify,
    /// Make all derived data anew from the journal.
    Rebuild,
    /// The main job on a bundled piece of Helsinki: two replicas, a real connection, a box.
    Demo(DemoArgs),
}

#[derive(Subcommand)]
pub enum FeedCommand {
    /// List all feeds, those on the block list too.
    List,
    /// Begin a new feed for what is written here from now on; it names the one before.
    New,
    /// Put a feed on the block list: nothing of it counts, is passed on, or is taken in. `compact` takes away what is held of it.
    Drop {
        /// Its key in hex, or the beginning of it.
        feed: String,
    },
    /// Take a feed off the block list.
    Allow {
        /// Its key in hex, or the beginning of it.
        feed: String,
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

#[derive(Subcommand)]
pub enum MapCommand {
    /// Import an .osm.pbf, .osm, .osc, GeoJSON, newline-delimited GeoJSON or GeoJSONSeq file. Importing it again appends
    /// nothing.
    Import {
        /// The file; its content tells its format.
        file: PathBuf,
    },
    /// Create or replace a feature.
    Put {
        /// A file with one GeoJSON Feature, or `-` for stdin.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Delete a feature.
    Delete {
        /// Its id, such as n1, w1, r1 or a GeoJSON id.
        id: String,
    },
    /// Attach a file, such as a photo, to a feature: the file becomes a blob, and the feature names it.
    Attach {
        /// The feature's id.
        id: String,
        /// The file, or `-` for stdin.
        file: PathBuf,
        /// What the feature calls it; the file's name by default.
        #[arg(long)]
        name: Option<String>,
        /// Its media type, such as image/jpeg.
        #[arg(long = "type", value_name = "TYPE")]
        media_type: Option<String>,
    },
    /// Print a feature as GeoJSON; all of its versions if they are in conflict.
    Get {
        /// Its id.
        id: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Print all versions of a feature, the latest first.
    History {
        /// Its id.
        id: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Make one of several versions of a feature that were written without knowledge of each other.
    Merge {
        /// Its id.
        id: String,
    },
    /// Print the ids of the features that refer to one: the ways of a node, the relations of a member.
    Referrers {
        /// Its id.
        id: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Print a feature and all that it is made of, as GeoJSON; relations of relations too.
    Expand {
        /// Its id.
        id: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Write all features, or those of a box, to a file or stdout.
    Export(ExportArgs),
    /// Find the features whose extent touches a box. Asks the known peers first and fetches what is missing.
    Query(QueryArgs),
}

#[derive(Subcommand)]
pub enum BlobCommand {
    /// Store a file and print the id of its blob.
    Put {
        /// The file, or `-` for stdin.
        file: PathBuf,
        /// Its media type, such as image/jpeg.
        #[arg(long = "type", value_name = "TYPE")]
        media_type: Option<String>,
        /// What it is called; the file's name by default.
        #[arg(long)]
        name: Option<String>,
    },
    /// Write a blob, or a part of it, to stdout or a file. Asks the known peers for what is missing.
    Get(BlobGetArgs),
    /// Print what is known of a blob.
    Info {
        /// Its id: <feed>/<seq>.
        id: EntryId,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
}

#[derive(ClapArgs)]
pub struct BlobGetArgs {
    /// Its id: <feed>/<seq>.
    pub id: EntryId,
    /// Bytes A to B, counted from 0, both included; A- to the end; -N the last N. Only what they lie in is fetched.
    #[arg(long, value_name = "A-B", allow_hyphen_values = true)]
    pub range: Option<ByteRange>,
    /// Where to write it.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Ask no peer.
    #[arg(long)]
    pub local: bool,
}

/// A range of bytes as HTTP writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// The first and the last.
    Within(u64, u64),
    /// From there to the end.
    From(u64),
    /// So many at the end.
    Last(u64),
}

impl ByteRange {
    pub const ALL: ByteRange = ByteRange::From(0);

    /// Which bytes of so many these are; what lies beyond the end is left out.
    pub fn of(self, bytes: u64) -> Range<u64> {
        let (start, end) = match self {
            ByteRange::Within(first, last) => (first, last.saturating_add(1)),
            ByteRange::From(first) => (first, bytes),
            ByteRange::Last(count) => (bytes.saturating_sub(count), bytes),
        };
        start.min(bytes)..end.min(bytes)
    }
}

impl FromStr for ByteRange {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "expected A-B, A- or -N, with A not above B";
        let number = |text: &str| text.parse::<u64>().map_err(|_| wanted);
        match text.split_once('-').ok_or(wanted)? {
            ("", count) => Ok(ByteRange::Last(number(count)?)),
            (first, "") => Ok(ByteRange::From(number(first)?)),
            (first, last) => match (number(first)?, number(last)?) {
                (first, last) if first <= last => Ok(ByteRange::Within(first, last)),
                _ => Err(wanted),
            },
        }
    }
}

#[derive(ClapArgs)]
pub struct QueryArgs {
    /// west,south,east,north in degrees; west greater than east crosses the antimeridian.
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true)]
    pub bbox: Extent,
    /// Ask no peer.
    #[arg(long)]
    pub local: bool,
    /// Print at most this many. In the order of the ids, what is fetched is not limited; with --largest it is.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// The largest first, and of points a thinned-out sample: what a map shows from far away. With --limit the peers are
    /// asked for no more than that needs.
    #[arg(long)]
    pub largest: bool,
    /// Go on after an earlier page: the cursor that it ended with.
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<Cursor>,
    /// Only these kinds of features: node, way, relation, free.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<FeatureKind>,
    /// Only features with this tag: key, key=value, key!=value or !key. Repeated: all must hold.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<TagFilter>,
    /// Only features at least this wide or high, in degrees.
    #[arg(long, value_name = "DEGREES", value_parser = units)]
    pub min_extent: Option<u32>,
    /// Answer as OpenStreetMap's API 0.6 does: the nodes inside, the ways with one of them, all nodes of these ways, and the
    /// relations that refer to any of them.
    #[arg(long, conflicts_with_all = ["limit", "largest", "after", "kind", "tag", "min_extent"])]
    pub osm_api: bool,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Ids)]
    pub format: Format,
    /// Print one JSON line about the query on stderr.
    #[arg(long)]
    pub stats: bool,
}

#[derive(ClapArgs)]
pub struct ExportArgs {
    /// Only what touches this box: west,south,east,north in degrees.
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true)]
    pub bbox: Option<Extent>,
    /// What belongs to the box by the rule of OpenStreetMap's API 0.6.
    #[arg(long, requires = "bbox")]
    pub osm_api: bool,
    /// What to write.
    #[arg(long, value_enum, default_value_t = ExportFormat::Geojson)]
    pub format: ExportFormat,
    /// Where to write it; stdout by default. A file that is there is replaced, once all is written.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Ask no peer.
    #[arg(long)]
    pub local: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One GeoJSON FeatureCollection.
    Geojson,
    /// A GeoJSON text sequence (RFC 8142).
    Geojsonseq,
    /// One GeoJSON Feature a line.
    Ndjson,
    /// OSM XML.
    Osm,
}

/// Degrees as the map's units of 1e-7 degrees.
fn units(text: &str) -> Result<u32, String> {
    let degrees: f64 = text.parse().map_err(|_| format!("{text:?} is no number of degrees"))?;
    let units = (degrees * 1e7).round();
    if !(0.0..=3.6e9).contains(&units) {
        return Err(format!("{text} degrees are not within 0 to 360"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    Ok(units as u32)
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One id a line.
    Ids,
    /// How many.
    Count,
    /// One GeoJSON Feature a line.
    Ndjson,
    /// One GeoJSON FeatureCollection.
    Geojson,
    /// A GeoJSON text sequence (RFC 8142).
    Geojsonseq,
    /// OSM XML, with the nodes of the ways.
    Osm,
    /// A picture.
    Svg,
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
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn byte_ranges_are_those_of_http() {
        let of = |text: &str| text.parse::<ByteRange>().map(|range| range.of(100));
        for (text, range) in [
            ("0-0", 0..1),
            ("5-", 5..100),
            ("-5", 95..100),
            ("90-200", 90..100),
            ("-200", 0..100),
            ("100-", 100..100),
        ] {
            assert_eq!(of(text), Ok(range), "{text}");
        }
        for text in ["", "-", "5", "7-6", "a-b", "--5", "1-2-3"] {
            assert!(of(text).is_err(), "{text}");
        }
    }
}
