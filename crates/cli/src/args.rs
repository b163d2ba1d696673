//! The command line, word for word. Scripts rely on these names.

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use kappadb::Extent;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A multi-writer map database that peers can query without replicating it.
#[derive(Parser)]
#[command(name = "kappa", version, propagate_version = true)]
pub struct Args {
    /// The database directory.
    #[arg(long, global = true, env = "KAPPA_DB", default_value = "./kappa-db", value_name = "DIR")]
    pub db: PathBuf,
    /// Write results as JSON lines.
    #[arg(long, global = true)]
    pub json: bool,
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
pub enum MapCommand {
    /// Import an .osm.pbf, GeoJSON or newline-delimited GeoJSON file. Importing it again appends nothing.
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
    /// Print a feature as GeoJSON; all of its versions if they are in conflict.
    Get {
        /// Its id.
        id: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Find the features whose extent touches a box. Asks the known peers first and fetches what is missing.
    Query(QueryArgs),
}

#[derive(ClapArgs)]
pub struct QueryArgs {
    /// west,south,east,north in degrees; west greater than east crosses the antimeridian.
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true)]
    pub bbox: Extent,
    /// Ask no peer.
    #[arg(long)]
    pub local: bool,
    /// Print at most this many, in the order of their ids. What is fetched is not limited.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Ids)]
    pub format: Format,
    /// Print one JSON line about the query on stderr.
    #[arg(long)]
    pub stats: bool,
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
}
