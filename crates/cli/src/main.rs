//! The program `kappa`: glue between a command line and the library `kappadb`.
//!
//! Results go to stdout, people's messages and progress to stderr. Exit codes: 0 done; 1 failed, or `verify` found
//! something wrong; 2 the command line makes no sense.

mod args;
mod commands;
mod logging;
mod output;
mod progress;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let json = args.json;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::fail(json, &error.into()),
    };
    match runtime.block_on(commands::run(args)) {
        Ok(code) => code,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => output::fail(json, &error),
    }
}
