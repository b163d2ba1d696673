//! All that the program prints: results on stdout, everything else on stderr. `design/cli.md` has the words.
//!
//! Nothing here panics. A stderr that takes nothing any more ends nothing: nobody is left to be told. A stdout whose reader has gone
//! is an error that [`is_closed_pipe`] knows.

use crate::exit::Exit;
use crate::streams::{self, Out};
use kappadb::{visible, visible_json};
use serde::Serialize;
use serde_json::{Value, json};
use std::any::Any;
use std::fmt::Display;
use std::io::{self, BufRead, BufWriter, ErrorKind, IsTerminal, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// The system's number for a disk that is full, on Linux and elsewhere.
const NO_ROOM: i32 = 28;

/// Bytes of an answer that are looked at.
const MAX_ANSWER: u64 = 1024;

/// True if every line is to be JSON. One for the process: panics and errors of the command line are told in it, too.
static JSON: AtomicBool = AtomicBool::new(false);

/// Every line is JSON from now on.
pub fn use_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// True if every line is to be JSON.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Prints a result: `value` for programs, `text` for people. A line each.
pub fn result(value: &impl Serialize, text: &str) -> anyhow::Result<()> {
    if is_json() { json_line(value) } else { line(text) }
}

/// Prints `value` as one JSON line on stdout, for people too.
pub fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    form(&visible_json(&serde_json::to_string(value)?))
}

/// Prints one line on stdout for people, of which nothing acts on a terminal, whoever wrote it.
pub fn line(text: &str) -> anyhow::Result<()> {
    form(&visible(text))
}

/// Prints what has a form of its own, such as a picture, as it is.
pub fn form(text: &str) -> anyhow::Result<()> {
    Ok(Out.write_all(format!("{text}\n").as_bytes())?)
}

/// Where the bytes of a result go that are no lines of ours. To be flushed.
pub fn stdout() -> BufWriter<Out> {
    buffered(Out)
}

/// Writes large pieces, however small those are that it is given. To be flushed.
pub fn buffered<W: Write>(out: W) -> BufWriter<W> {
    BufWriter::with_capacity(64 << 10, out)
}

/// True if a person looks at the results.
pub fn is_terminal() -> bool {
    streams::out_is_terminal()
}

/// Tells something that belongs to a result but is none.
pub fn note(value: &Value, text: &str) {
    if is_json() { tell(&value.to_string()) } else { tell(&visible(text)) }
}

/// Tells programs how far something has come; people see a bar.
pub fn progress(value: &Value) {
    if is_json() {
        tell(&value.to_string());
    }
}

/// Asks people a question on the terminal that is answered with yes or no. None if there is none.
pub fn ask(question: &str) -> io::Result<Option<bool>> {
    let stdin = io::stdin();
    if is_json() || !stdin.is_terminal() || streams::err_terminal().is_none() {
        return Ok(None);
    }
    // Its lines are ours, and what is in them was made visible.
    log_line(question.as_bytes());
    let mut answer = String::new();
    stdin.lock().take(MAX_ANSWER).read_line(&mut answer)?;
    Ok(Some(["y", "yes"].contains(&answer.trim().to_lowercase().as_str())))
}

/// Tells people something that programs have no use for.
pub fn say(text: &str) {
    if !is_json() {
        tell(&visible(text));
    }
}

/// Tells something that does not end the command.
pub fn warn(text: &str) {
    note(&json!({ "warning": text }), &format!("kappa: warning: {text}"));
}

/// Tells what does not hold any more, or not of everything, with `value` for programs.
pub fn remark(value: &Value, text: &str) {
    note(value, &format!("kappa: {text}"));
}

/// Tells what a question cost, as JSON for everybody.
pub fn stats(value: &Value) {
    tell(&value.to_string());
}

/// Tells what went wrong.
pub fn error(text: &str) {
    remark(&json!({ "error": text }), text);
}

/// Tells why a line of an import is left out.
pub fn bad_line(number: u64, why: &impl Display) {
    remark(&json!({ "line": number, "error": why.to_string() }), &format!("line {number}: {why}"));
}

/// Tells what went wrong, with its causes, and gives the exit code for it.
pub fn fail(failure: &anyhow::Error) -> Exit {
    error(&chain(failure));
    Exit::of(failure)
}

/// Prints what `--help` and `--version` ask for, or tells what is wrong with the command line.
pub fn usage(parsed: &clap::Error) -> Exit {
    let text = parsed.render().to_string();
    let text = text.trim_end();
    if parsed.use_stderr() {
        let text = text.strip_prefix("error: ").unwrap_or(text);
        // These texts have lines.
        let told = if is_json() { json!({ "error": text }).to_string() } else { format!("kappa: {text}") };
        tell(&told);
        return Exit::Usage;
    }
    let printed = if is_json() { json_line(&json!({ "help": text })) } else { form(text) };
    match printed {
        Err(failure) if !is_closed_pipe(&failure) => fail(&failure),
        _ => Exit::Done,
    }
}

/// An error with its causes, each once: many repeat their source in their own text.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    in_words(&text)
}

/// What the system says of a full disk, in the words in which the journal says it.
fn in_words(text: &str) -> String {
    let full = io::Error::from_raw_os_error(NO_ROOM).to_string();
    text.replace(&full, "the disk is full")
}

/// A line on stderr, JSON already if it is to be. In one write, so that lines of several threads do not mix.
fn tell(line: &str) {
    log_line(format!("{line}\n").as_bytes());
}

/// Writes a line of the log as it is, its end included.
pub fn log_line(line: &[u8]) {
    let _ = streams::tell(line);
}

/// From now on a panic is one sentence, wherever it happens.
pub fn tame_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let what = reason(panic.payload());
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        error(&format!(
            "this is a fault in kappa itself, please report it: {what}{}",
            place.unwrap_or_default()
        ));
    }));
}

fn reason(payload: &(dyn Any + Send)) -> &str {
    let owned = || payload.downcast_ref::<String>().map(String::as_str);
    payload.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("no reason given")
}

/// True if the reader of our output went away, as `head` does: not an error of ours.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let is_broken = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
    };
    error.chain().any(is_broken)
}

/// A count with its noun, in the plural where it belongs.
pub fn count(n: u64, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if n == 1 => format!("{n} {noun}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{n} {stem}ies"),
        _ => format!("{n} {noun}s"),
    }
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_things_have_their_plurals() {
        for (n, noun, text) in
            [(1, "entry", "1 entry"), (2, "entry", "2 entries"), (2, "way", "2 ways"), (0, "key", "0 keys")]
        {
            assert_eq!(count(n, noun), text);
        }
    }
}
