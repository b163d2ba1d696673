//! The program `kappa`: glue between a command line and the library `kappadb`. `design/cli.md` says what it promises to scripts.

mod args;
mod background;
mod beside;
mod commands;
mod console;
mod exit;
mod logging;
mod manual;
mod outside;
mod times;

use args::{Args, Command};
use beside::Wanted;
use commands::Home;
use console::Console;
use exit::Exit;
use outside::{Outside, Process};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use times::Times;

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

fn run(process: &Process, console: Console, words: Vec<OsString>) -> Exit {
    let mut args = match Args::of(words.clone()) {
        Ok(args) => args,
        Err(error) => return console.usage(&error),
    };
    if matches!(&args.command, Command::Serve(serve) if serve.background) {
        let started = background::serve(&console, &args.db, words);
        return started.unwrap_or_else(|error| console.fail(&error));
    }
    if args.command.is_for_node() {
        let (started, wait) = (Instant::now(), args.wait);
        match beside::find(&args.db, wait) {
            Ok(Some(node)) => {
                let wanted = wanted(&args, words, process);
                let done = match args.command {
                    Command::Stop => node.stop(&wanted, process, &args.db),
                    _ => node.carry_out(&wanted, process),
                };
                return done.unwrap_or_else(|error| console.fail(&error));
            }
            Ok(None) => args.wait = wait.saturating_sub(started.elapsed()),
            Err(error) => return console.fail(&error),
        }
    }
    let console = console.with_times(Times { utc: args.utc, zone: None });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return console.fail(&error.into()),
    };
    let exit = runtime.block_on(commands::carry_out(args, console, Home::Folder));
    runtime.shutdown_timeout(GRACE);
    exit
}

/// What a node is told of this process.
fn wanted(args: &Args, words: Vec<OsString>, process: &Process) -> Wanted {
    Wanted {
        args: words.into_iter().map(OsString::into_vec).collect(),
        dir: args.db.as_os_str().as_bytes().to_vec(),
        patience: args.patience.unwrap_or_else(kappadb::usual_patience),
        zone: times::name_of_zone(),
        terminals: process.terminals(),
    }
}
