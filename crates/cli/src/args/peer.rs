//! `serve`, `join` and `peer ...`: who is reached where.

use super::{AskArgs, LogArgs};
use clap::{Args as ClapArgs, Subcommand};
use kappadb::{Interest, InterestError};
use std::path::PathBuf;

/// A ticket holds the access key. On the command line everybody on this machine can see it while the command runs.
#[derive(ClapArgs)]
pub struct TicketArgs {
    /// What `kappa ticket` printed, or `kappa serve` on its first line; `-` for stdin.
    #[arg(required_unless_present = "file")]
    pub ticket: Option<String>,
    /// A file that holds the ticket.
    #[arg(long, value_name = "FILE", conflicts_with = "ticket")]
    pub file: Option<PathBuf>,
}

#[derive(ClapArgs)]
pub struct ServeArgs {
    /// Where to listen: an address or name, and a port. What is left out is as it was; port 0 takes a free one, this time only. Until it is
    /// said otherwise, it listens there from now on. At first that is a port of this machine alone that was free when the database was made.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub listen: Option<String>,
    /// Where others reach this replica, if not where it listens: a name in the DNS, or a port that is forwarded. Tickets say this from now on,
    /// until `--listen` is given without it.
    #[arg(long, value_name = "HOST[:PORT]", value_delimiter = ',')]
    pub advertise: Vec<String>,
    /// What to follow while it serves, beside what `kappa follow` says: as there, in one word, such as "channel garden". May be given more than once.
    #[arg(long, value_name = "WHAT")]
    pub follow: Vec<Interest>,
    /// Say to nobody where this replica listens, nor of others of whom it heard, and call nobody of whom others tell. Else who joined by one ticket
    /// finds the others by itself.
    #[arg(long)]
    pub no_introductions: bool,
    /// As a process of its own, once it serves: what it tells is in the folder's `serve.log` then.
    #[arg(long)]
    pub background: bool,
    #[command(flatten)]
    pub log: LogArgs,
}

/// What is followed: `everything`, `key NAME`, `prefix TEXT`, `box WEST,SOUTH,EAST,NORTH`, `map`, `channel NAME`, `chat`, `private` or `blobs`.
#[derive(ClapArgs)]
pub struct InterestArgs {
    /// everything | key NAME | prefix TEXT | box WEST,SOUTH,EAST,NORTH | map | channel NAME | chat | private | blobs
    #[arg(required = true, value_name = "WHAT", allow_hyphen_values = true)]
    what: Vec<String>,
}

impl InterestArgs {
    pub fn interest(&self) -> Result<Interest, InterestError> {
        self.what.join(" ").parse()
    }
}

#[derive(Subcommand)]
pub enum FollowCommand {
    /// Print what is followed whenever this replica is served.
    List,
    /// Follow something whenever this replica is served: what peers have of it, and what is written later, is here within moments.
    Add(InterestArgs),
    /// Do not follow something any more. What came stays.
    Remove(InterestArgs),
}

#[derive(ClapArgs)]
pub struct SyncArgs {
    /// What to fetch, as for `kappa follow add`. Default: everything.
    #[arg(value_name = "WHAT", allow_hyphen_values = true)]
    what: Vec<String>,
    /// Fetch everything, which is the default too: for scripts that say what they mean.
    #[arg(long, conflicts_with = "what")]
    everything: bool,
    /// Then go on: fetch what comes later, until interrupted.
    #[arg(long)]
    pub follow: bool,
    #[command(flatten)]
    pub ask: AskArgs,
}

impl SyncArgs {
    pub fn interest(&self) -> Result<Interest, InterestError> {
        if self.what.is_empty() { Ok(Interest::Everything) } else { self.what.join(" ").parse() }
    }
}

#[derive(Subcommand)]
pub enum PeerCommand {
    /// Print the known peers in the order in which they are asked, and those who called. While the folder is served: who is connected, what flows,
    /// and why who is not is not.
    List,
    /// Learn of the peer that a ticket names, or where it is now.
    Add {
        #[command(flatten)]
        ticket: TicketArgs,
        /// What to call it here.
        #[arg(long)]
        name: Option<String>,
    },
    /// Ask a peer no more, and count on its word no more, whoever passed that on. It can still ask this replica: it has the access key.
    Remove {
        /// Its name, its key in hex, or the beginning of that; of one that was never asked, all of its key.
        peer: String,
    },
    /// Call a peer something else; without a name, nothing.
    Rename {
        /// Its name, its key in hex, or the beginning of that.
        peer: String,
        /// What to call it here: 1 to 64 bytes.
        name: Option<String>,
    },
}
