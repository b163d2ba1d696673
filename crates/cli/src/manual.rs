//! What shells and readers of manuals are told of the command line, made from its definition.

use crate::args::Args;
use crate::console::Console;
use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;
use std::fs;
use std::path::Path;

/// Prints what makes this shell complete words.
pub fn completions(console: &Console, shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "kappa", &mut script);
    console.form(String::from_utf8_lossy(&script).trim_end())
}

/// Writes the manual into a folder: a page for each command.
pub fn pages(folder: &Path) -> anyhow::Result<()> {
    let unwritten = || format!("cannot write the manual into {}", folder.display());
    fs::create_dir_all(folder).with_context(unwritten)?;
    clap_mangen::generate_to(Args::command(), folder).with_context(unwritten)
}
