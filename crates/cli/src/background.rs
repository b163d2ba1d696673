//! `serve --background`: the same command as a process of its own, which outlives the terminal.

use crate::console::Console;
use crate::exit::Exit;
use anyhow::Context as _;
use rustix::fs::OFlags;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What it tells of itself, in the folder.
const LOG: &str = "serve.log";
const FLAG: &str = "--background";

/// Starts what these words say, without the one that brought us here, and waits until it serves. Its ticket is printed; if it fails, what it told.
pub fn serve(console: &Console, dir: &Path, words: Vec<OsString>) -> anyhow::Result<Exit> {
    let path = dir.join(LOG);
    let mut log = open(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let begin = log.seek(SeekFrom::End(0))?;
    let mut command = Command::new(std::env::current_exe().context("cannot find this program")?);
    command.args(words.into_iter().skip(1).filter(|word| word != FLAG));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log.try_clone()?);
    // No signal of this terminal is for it.
    let mut child = command.process_group(0).spawn().context("cannot start the server")?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    if line.is_empty() {
        let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok());
        let mut told = Vec::new();
        log.seek(SeekFrom::Start(begin))?;
        log.read_to_end(&mut told)?;
        console.log_line(&told);
        return Ok(code.map_or(Exit::Failed, Exit::from));
    }
    console.form(line.trim_end())?;
    let (pid, path) = (child.id(), path.display());
    console.say(&format!(
        "Process {pid} serves in the background, and tells of it in {path}. `kappa stop` ends it."
    ));
    Ok(Exit::Done)
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}
