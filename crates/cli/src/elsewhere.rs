//! Commands that another process carries out: the node on their folder, or a server that is to outlive this one.

use crate::args::{Args, Command};
use crate::beside::{self, Wanted};
use crate::console::Console;
use crate::exit::Exit;
use crate::outside::Outside;
use crate::{background, times};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Instant;

/// Where a command was carried out.
pub enum Elsewhere {
    /// Elsewhere, and it has ended so.
    Done(Exit),
    /// It is for this process; of the time that it may wait for the folder some has passed.
    Not(Box<Args>),
}

/// Has a command carried out elsewhere, if that is where it belongs.
pub fn elsewhere(
    outside: &dyn Outside,
    console: &Console,
    mut args: Args,
    words: Vec<OsString>,
) -> anyhow::Result<Elsewhere> {
    if matches!(&args.command, Command::Serve(serve) if serve.background) {
        return background::serve(console, &args.db, words).map(Elsewhere::Done);
    }
    if !args.command.is_for_node() {
        return Ok(Elsewhere::Not(Box::new(args)));
    }
    let (started, wait) = (Instant::now(), args.wait);
    let Some(node) = beside::find(&args.db, wait)? else {
        args.wait = wait.saturating_sub(started.elapsed());
        return Ok(Elsewhere::Not(Box::new(args)));
    };
    let wanted = wanted(&args, words, outside);
    let exit = match args.command {
        Command::Stop => node.stop(&wanted, outside, &args.db)?,
        _ => node.carry_out(&wanted, outside)?,
    };
    Ok(Elsewhere::Done(exit))
}

/// What a node is told of this process.
fn wanted(args: &Args, words: Vec<OsString>, outside: &dyn Outside) -> Wanted {
    Wanted {
        args: words.into_iter().map(OsString::into_vec).collect(),
        dir: args.db.as_os_str().as_bytes().to_vec(),
        patience: args.patience.unwrap_or_else(kappadb::usual_patience),
        zone: times::name_of_zone(),
        terminals: outside.terminals(),
    }
}
