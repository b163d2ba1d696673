//! The program `kappa`: glue between a command line and the library `kappadb`. `design/cli.md` says what it promises to scripts.

mod args;
mod background;
mod batch;
mod beside;
mod commands;
mod console;
mod elsewhere;
mod exit;
mod logging;
mod manual;
mod outside;
mod times;

use args::{Args, Command};
use commands::Home;
use console::Console;
use elsewhere::{Elsewhere, elsewhere};
use exit::Exit;
use outside::Process;
use std::ffi::OsString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use times::Times;
use tokio::runtime::{Builder, Runtime};

/// Indexing makes and drops very many small pieces of memory: the system's allocator took a third of an import.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What may still be under way in the background gets as long to end; all that was promised is durable by then.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    save_memory();
    let Ok(process) = Process::begin().map(Arc::new) else {
        // There is nowhere to say so.
        return Exit::Failed.into();
    };
    let words: Vec<OsString> = std::env::args_os().collect();
    // Before the command line is understood: what is wrong with it is told in JSON as well.
    let json = words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--json");
    let console = Console::new(process.clone()).with_json(json);
    console::tame_panics(console.clone());
    // What a panic is told as has been printed by then.
    catch_unwind(AssertUnwindSafe(|| run(&process, console, words))).unwrap_or(Exit::Failed).into()
}

/// Pieces of memory of 2 MiB each would be twice what most commands need. Where that cannot be turned off they are taken.
fn save_memory() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn run(process: &Arc<Process>, console: Console, words: Vec<OsString>) -> Exit {
    let args = match Args::of(words.clone()) {
        Ok(args) => args,
        Err(error) => return console.usage(&error),
    };
    let done = match args.command {
        Command::Batch => batch::run(process, &console, &words, args.keep_going),
        _ => one(process, &console, args, words),
    };
    done.unwrap_or_else(|error| console.fail(&error))
}

/// Carries out one command.
fn one(process: &Arc<Process>, console: &Console, args: Args, words: Vec<OsString>) -> anyhow::Result<Exit> {
    let args = match elsewhere(&**process, console, args, words)? {
        Elsewhere::Done(exit) => return Ok(exit),
        Elsewhere::Not(args) => args,
    };
    let console = console.clone().with_times(Times { utc: args.utc, zone: None });
    let runtime = runtime()?;
    let exit = runtime.block_on(commands::carry_out(*args, console, Home::Folder));
    runtime.shutdown_timeout(GRACE);
    Ok(exit)
}

/// What commands that this process carries out run on.
fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}
