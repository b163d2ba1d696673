//! The program `kappa`: glue between a command line and the library `kappadb`. `design/cli.md` says what it promises to scripts.

mod args;
mod commands;
mod exit;
mod interrupt;
mod logging;
mod output;
mod progress;
mod streams;
mod times;

use exit::Exit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Duration;

/// Indexing makes and drops very many small pieces of memory: the system's allocator took a third of an import.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What may still be under way in the background gets as long to end; all that was promised is durable by then.
const GRACE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    save_memory();
    if streams::keep().is_err() {
        // There is nowhere to say so.
        return Exit::Failed.into();
    }
    // Before the command line is understood: what is wrong with it is told in JSON as well.
    if std::env::args_os().skip(1).take_while(|arg| arg != "--").any(|arg| arg == "--json") {
        output::use_json();
    }
    output::tame_panics();
    // What a panic is told as has been printed by then.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Exit::Failed).into()
}

/// Pieces of memory of 2 MiB each would be twice what most commands need. Where that cannot be turned off they are taken.
fn save_memory() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

fn run() -> Exit {
    let args = match args::Args::of_process() {
        Ok(args) => args,
        Err(error) => return output::usage(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(&error.into()),
    };
    let exit = match runtime.block_on(commands::run(args)) {
        Ok(exit) => exit,
        Err(error) if output::is_closed_pipe(&error) => Exit::Done,
        Err(error) => output::fail(&error),
    };
    runtime.shutdown_timeout(GRACE);
    exit
}
