//! All that a command prints: results on stdout, everything else on stderr. `design/cli.md` has the words.
//!
//! Nothing here panics. A stderr that takes nothing any more ends nothing: nobody is left to be told. A stdout whose reader has gone
//! is an error that [`is_closed_pipe`] knows.

use crate::exit::Exit;
use crate::outside::{Interrupt, Outside, Shown, Source};
use crate::times::Times;
use anyhow::Context as _;
use kappadb::{Progress, visible, visible_json};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::any::Any;
use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;

/// The system's number for a disk that is full, on Linux and elsewhere.
const NO_ROOM: i32 = 28;

thread_local! {
    /// Who is told of a panic on this thread.
    static PANICS: RefCell<Option<Console>> = const { RefCell::new(None) };
}

/// How a command talks to whoever called it. Clones are the same.
#[derive(Clone)]
pub struct Console {
    outside: Arc<dyn Outside>,
    /// True if every line is to be JSON.
    json: bool,
    times: Times,
}

/// What something says of itself, by the names of its fields.
pub fn fields(said: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(said) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

impl Console {
    /// Talks to people, by the clock on their wall.
    pub fn new(outside: Arc<dyn Outside>) -> Console {
        Console { outside, json: false, times: Times::default() }
    }

    /// The same, with every line in JSON, or none.
    pub fn with_json(self, json: bool) -> Console {
        Console { json, ..self }
    }

    /// The same, with these times.
    pub fn with_times(self, times: Times) -> Console {
        Console { times, ..self }
    }

    /// True if every line is to be JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// What times are by.
    pub fn times(&self) -> &Times {
        &self.times
    }

    /// A time for people: on a terminal by the clock on their wall, elsewhere in UTC.
    pub fn time(&self, time: kappadb::Timestamp) -> String {
        self.times.shown(time, self.is_terminal())
    }

    /// Prints a result: `value` for programs, `text` for people. A line each.
    pub fn result(&self, value: &impl Serialize, text: &str) -> anyhow::Result<()> {
        if self.json { self.json_line(value) } else { self.line(text) }
    }

    /// Prints `value` as one JSON line on stdout, for people too.
    pub fn json_line(&self, value: &impl Serialize) -> anyhow::Result<()> {
        self.form(&visible_json(&serde_json::to_string(value)?))
    }

    /// Prints one line on stdout for people, of which nothing acts on a terminal, whoever wrote it.
    pub fn line(&self, text: &str) -> anyhow::Result<()> {
        self.form(&visible(text))
    }

    /// Prints what has a form of its own, such as a picture, as it is.
    pub fn form(&self, text: &str) -> anyhow::Result<()> {
        Ok(self.outside.out(format!("{text}\n").as_bytes())?)
    }

    /// Where the bytes of a result go that are no lines of ours. To be flushed.
    pub fn stdout(&self) -> BufWriter<Out> {
        buffered(Out(self.outside.clone()))
    }

    /// Waits until all that was printed was taken: before something is done because of it.
    pub fn flush(&self) -> anyhow::Result<()> {
        Ok(self.outside.flush()?)
    }

    /// True if a person looks at the results.
    pub fn is_terminal(&self) -> bool {
        self.outside.terminals().stdout
    }

    /// Tells something that belongs to a result but is none.
    pub fn note(&self, value: &Value, text: &str) {
        if self.json { self.tell(&value.to_string()) } else { self.tell(&visible(text)) }
    }

    /// Tells programs how far something has come; people see a bar. Does not wait for them.
    pub fn progress(&self, value: &Value) {
        if self.json {
            self.outside.err_soon(format!("{value}\n").as_bytes());
        }
    }

    /// Shows people how far something has come.
    pub fn bar(&self, Progress { task, done, total }: Progress) {
        self.show(&Shown { task: task.to_owned(), done, total: Some(total), more: String::new() });
    }

    /// The same with more to say of it.
    pub fn show(&self, shown: &Shown) {
        self.outside.bar(shown);
    }

    /// Asks people a question on the terminal that is answered with yes or no. None if there is none.
    pub fn ask(&self, question: &str) -> io::Result<Option<bool>> {
        let terminals = self.outside.terminals();
        if self.json || !terminals.stdin || !terminals.stderr {
            return Ok(None);
        }
        // Its lines are ours, and what is in them was made visible.
        let answer = self.outside.ask(question)?;
        Ok(Some(["y", "yes"].contains(&answer.trim().to_lowercase().as_str())))
    }

    /// Tells people something that programs have no use for.
    pub fn say(&self, text: &str) {
        if !self.json {
            self.tell(&visible(text));
        }
    }

    /// Tells something that does not end the command.
    pub fn warn(&self, text: &str) {
        self.note(&json!({ "warning": text }), &format!("kappa: warning: {text}"));
    }

    /// Tells what does not hold any more, or not of everything, with `value` for programs.
    pub fn remark(&self, value: &Value, text: &str) {
        self.note(value, &format!("kappa: {text}"));
    }

    /// Tells what a question cost, as JSON for everybody.
    pub fn stats(&self, value: &Value) {
        self.tell(&value.to_string());
    }

    /// Tells what went wrong.
    pub fn error(&self, text: &str) {
        self.remark(&json!({ "error": text }), text);
    }

    /// Tells why a line of an import is left out.
    pub fn bad_line(&self, number: u64, why: &impl Display) {
        self.remark(&json!({ "line": number, "error": why.to_string() }), &format!("line {number}: {why}"));
    }

    /// Tells what went wrong, with its causes, and gives the exit code for it.
    pub fn fail(&self, failure: &anyhow::Error) -> Exit {
        self.error(&chain(failure));
        Exit::of(failure)
    }

    /// Prints what `--help` and `--version` ask for, or tells what is wrong with the command line.
    pub fn usage(&self, parsed: &clap::Error) -> Exit {
        let text = parsed.render().to_string();
        let text = text.trim_end();
        if parsed.use_stderr() {
            let text = text.strip_prefix("error: ").unwrap_or(text);
            // These texts have lines.
            let told =
                if self.json { json!({ "error": text }).to_string() } else { format!("kappa: {text}") };
            self.tell(&told);
            return Exit::Usage;
        }
        let printed = if self.json { self.json_line(&json!({ "help": text })) } else { self.form(text) };
        match printed {
            Err(failure) if !is_closed_pipe(&failure) => self.fail(&failure),
            _ => Exit::Done,
        }
    }

    /// A line on stderr, JSON already if it is to be. In one write, so that lines of several threads do not mix.
    fn tell(&self, line: &str) {
        self.log_line(format!("{line}\n").as_bytes());
    }

    /// Writes a line of the log as it is, its end included.
    pub fn log_line(&self, line: &[u8]) {
        self.outside.err(line);
    }

    /// A file to be read; stdin for `-`.
    pub fn open(&self, path: &Path) -> anyhow::Result<Source> {
        self.outside.open(path).with_context(|| match path == Path::new("-") {
            true => "cannot read stdin".to_owned(),
            false => format!("cannot read {}", path.display()),
        })
    }

    /// What comes on stdin.
    pub fn stdin(&self) -> anyhow::Result<Source> {
        self.open(Path::new("-"))
    }

    /// Writes a file that takes the place of the one at `path` once all of it is there: no half of it ever does. A pipe or the like is written to as it is.
    pub async fn replace<T>(
        &self,
        path: &Path,
        write: impl AsyncFnOnce(Box<dyn Write + Send>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let failed = || format!("cannot write {}", path.display());
        let new = self.outside.create(path).with_context(failed)?;
        let done = write(new.writer).await?;
        (new.keep)().with_context(failed)?;
        Ok(done)
    }

    /// From now on being asked to end (SIGINT, SIGTERM) does not end the process by itself, but what comes of this. To be called before anything is printed: who
    /// reads it may end us at once.
    pub fn interrupt(&self) -> io::Result<Interrupt> {
        self.outside.interrupt()
    }

    /// Whoever panics on this thread tells it here.
    pub fn hear_panics(&self) {
        PANICS.set(Some(self.clone()));
    }
}

/// Stdout, not buffered.
pub struct Out(Arc<dyn Outside>);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.out(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Writes large pieces, however small those are that it is given. To be flushed.
pub fn buffered<W: Write>(out: W) -> BufWriter<W> {
    BufWriter::with_capacity(64 << 10, out)
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

/// From now on a panic is one sentence, wherever it happens; of threads that have no console of their own it is told here.
pub fn tame_panics(console: Console) {
    std::panic::set_hook(Box::new(move |panic| {
        let what = reason(panic.payload());
        let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
        let place = place.unwrap_or_default();
        let text = format!("this is a fault in kappa itself, please report it: {what}{place}");
        PANICS.with_borrow(|own| own.as_ref().unwrap_or(&console).error(&text));
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
