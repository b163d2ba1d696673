//! Many commands in one process: a command line on each line of stdin. Each is carried out as if it had been called by itself, but that the database
//! stays open from one to the next.

use crate::args::{Args, Command, Globals};
use crate::commands::{self, Home, Input, Kept};
use crate::console::Console;
use crate::elsewhere::{Elsewhere, elsewhere};
use crate::exit::Exit;
use crate::outside::{Process, WithoutStdin};
use crate::times::Times;
use anyhow::bail;
use kappadb::lines::MAX_LINE;
use serde_json::json;
use std::ffi::OsString;
use std::io::{BufRead, ErrorKind, Read};
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// What a line may begin with, as on a command line.
const PROGRAM: &str = "kappa";

/// Carries out the lines of stdin. Ends with the first that fails, unless it is to go on; the exit code is that of the first that failed.
pub fn run(
    process: &Arc<Process>,
    console: &Console,
    words: &[OsString],
    keep_going: bool,
) -> anyhow::Result<Exit> {
    let runtime = crate::runtime()?;
    let inside = runtime.enter();
    let (mut lines, stopped) = Input::open(console, Path::new("-"))?;
    drop(inside);
    let outside = Arc::new(WithoutStdin(process.clone()));
    let (globals, open) = (Globals::of(words), None);
    let mut batch = Batch { runtime, outside, console, globals, open };
    let (mut number, mut first_failure) = (0, None);
    while let Some(line) = next_line(&mut lines)? {
        number += 1;
        let Some(exit) = batch.line(&line) else { continue };
        batch.tell(number, exit);
        if exit != Exit::Done {
            first_failure.get_or_insert(exit);
            if !keep_going {
                break;
            }
        }
    }
    batch.close()?;
    batch.runtime.shutdown_timeout(crate::GRACE);
    Ok(first_failure.unwrap_or(Exit::done_if(!stopped.tell(console))))
}

/// The next line without its end; none after the last.
fn next_line(lines: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    while line.len() < MAX_LINE {
        let room = (MAX_LINE - line.len()) as u64;
        match lines.by_ref().take(room).read_until(b'\n', &mut line) {
            // What was read before nothing came for a while stays in it.
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(error) => return Err(error.into()),
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(_) if line.pop_if(|last| *last == b'\n').is_some() || line.len() < MAX_LINE => {
                return Ok(Some(line));
            }
            Ok(_) => {}
        }
    }
    bail!("a line of more than {} MiB", MAX_LINE >> 20)
}

struct Batch<'a> {
    runtime: Runtime,
    outside: Arc<WithoutStdin>,
    console: &'a Console,
    globals: Globals,
    /// The folder that was open last.
    open: Option<(PathBuf, Kept)>,
}

impl Batch<'_> {
    /// How a line ended; none if there is nothing on it.
    fn line(&mut self, line: &[u8]) -> Option<Exit> {
        let console = Console::new(self.outside.clone()).with_json(self.console.is_json());
        let Some(words) = shlex::bytes::split(line) else {
            console.error("a quote is not closed, or the line ends with \\");
            return Some(Exit::Usage);
        };
        let mut words: Vec<OsString> = words.into_iter().map(OsString::from_vec).collect();
        if words.is_empty() {
            return None;
        }
        if words.first().is_none_or(|word| word != PROGRAM) {
            words.insert(0, PROGRAM.into());
        }
        // What a panic is told as has been printed by then.
        let done = catch_unwind(AssertUnwindSafe(|| self.words(&console, self.globals.before(words))));
        Some(done.unwrap_or(Ok(Exit::Failed)).unwrap_or_else(|error| console.fail(&error)))
    }

    fn words(&mut self, console: &Console, words: Vec<OsString>) -> anyhow::Result<Exit> {
        let args = match Args::of(words.clone()) {
            Ok(args) => args,
            Err(error) => return Ok(console.usage(&error)),
        };
        let console = console.clone().with_json(args.json).with_times(Times { utc: args.utc, zone: None });
        if matches!(args.command, Command::Batch) {
            console.error("a batch cannot be a line of another");
            return Ok(Exit::Usage);
        }
        let kept = match self.kept(&args)? {
            Some(kept) => (args, kept),
            None => match elsewhere(&*self.outside, &console, args, words)? {
                Elsewhere::Done(exit) => return Ok(exit),
                Elsewhere::Not(args) => (*args, Kept::default()),
            },
        };
        Ok(self.here(console, kept))
    }

    /// The folder, if it is open. Another one is closed; this one too for a command that must find it free.
    fn kept(&mut self, args: &Args) -> anyhow::Result<Option<Kept>> {
        let is_open = |(dir, kept): &(PathBuf, Kept)| *dir == args.db && kept.get().is_some();
        match self.open.as_ref().filter(|open| args.command.is_for_node() && is_open(open)) {
            Some((_, kept)) => Ok(Some(kept.clone())),
            None => self.close().map(|()| None),
        }
    }

    /// Carries it out in this process.
    fn here(&mut self, console: Console, (mut args, kept): (Args, Kept)) -> Exit {
        let home = if args.command.is_for_node() { Home::Kept(kept.clone()) } else { Home::Folder };
        self.open = Some((args.db.clone(), kept));
        // Whoever opens it does so for all.
        let patience = Some(args.patience.unwrap_or_else(kappadb::usual_patience));
        (args.patience, args.name) = (patience, format!("{PROGRAM} --batch"));
        self.runtime.block_on(commands::carry_out(args, console, home))
    }

    fn close(&mut self) -> anyhow::Result<()> {
        let open = self.open.take();
        open.map_or(Ok(()), |(_, kept)| self.runtime.block_on(kept.close()))
    }

    /// Tells programs that a line has been carried out, and people if it failed.
    fn tell(&self, number: u64, exit: Exit) {
        let code = exit as u8;
        if self.console.is_json() {
            // Whoever does not read it has not asked for it.
            let _ = self.console.json_line(&json!({ "line": number, "code": code }));
        } else if exit != Exit::Done {
            self.console.say(&format!("kappa: line {number} ended with code {code}"));
        }
    }
}
