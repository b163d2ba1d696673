//! What all reading commands have in common.

use clap::Args as ClapArgs;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How peers are asked, and what is told of it.
#[derive(ClapArgs, Clone, Copy)]
pub struct AskArgs {
    /// Ask no peer: answer from what is held here.
    #[arg(long)]
    pub local: bool,
    /// Print nothing, replace no file and import none, if the answer may lack something. The exit code is 3 then, as it is without this.
    #[arg(long, conflicts_with = "local")]
    pub require_complete: bool,
    /// Count on nobody's word who was not asked: peers say only what they hold whole themselves. What is complete on the word of others alone may lack
    /// something then.
    #[arg(long)]
    pub direct: bool,
    /// Wait for peers no longer than this in all; what has come by then is the answer.
    #[arg(long, value_name = "SECONDS", conflicts_with = "local", value_parser = super::seconds)]
    pub timeout: Option<Duration>,
    /// Print one JSON line about the query on stderr.
    #[arg(long)]
    pub stats: bool,
}

/// How many at most: a number, where 0 is none, or `all`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(Option<usize>);

impl Limit {
    pub const ALL: Limit = Limit(None);

    /// At most so many.
    pub const fn at_most(n: usize) -> Limit {
        Limit(Some(n))
    }

    /// The number; none if there is no limit.
    pub fn number(self) -> Option<usize> {
        self.0
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(n) => n.fmt(f),
            None => f.write_str("all"),
        }
    }
}

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Limit, Self::Err> {
        match text {
            "all" => Ok(Limit::ALL),
            _ => text.parse().map(Limit::at_most).map_err(|_| "expected a number, or `all`"),
        }
    }
}
