//! What people and programs see: JSON lines, warnings, errors.

use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Prints `value` as one JSON line on stdout.
pub fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Prints one line on stdout. A reader that has gone is an error that [`is_closed_pipe`] knows.
pub fn line(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// Tells people something that does not end the command.
pub fn warn(text: &str) {
    eprintln!("kappa: warning: {text}");
}

/// Tells on stderr what belongs to a result but is none: a JSON line for programs, a sentence for people.
pub fn note(json: bool, line: &serde_json::Value, text: &str) {
    if json { eprintln!("{line}") } else { eprintln!("{text}") }
}

/// Tells what went wrong, with its causes, and gives the exit code for it.
pub fn fail(json: bool, error: &anyhow::Error) -> ExitCode {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many errors repeat their source in their own text.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    if json {
        eprintln!("{}", serde_json::json!({ "error": text }));
    } else {
        eprintln!("kappa: {text}");
    }
    ExitCode::FAILURE
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
        Some(stem) if !noun.ends_with("ey") => format!("{n} {stem}ies"),
        _ => format!("{n} {noun}s"),
    }
}

/// A size for people.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
