//! README, run from its first line to its last: what its console blocks show is what a reader gets.
//!
//! A line that begins with `$ ` is typed into a shell, with the lines after it that begin with `> `; what follows is all that it prints.
//! A comment may name the exit code; without it the command succeeds. `kappa serve` runs until its folder is used by another command, as
//! if one had pressed Ctrl-C. The names of keys and tickets, times, sizes, durations and ports differ from run to run; nothing else may.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// How long a server may take to say that it serves.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn every_command_of_the_readme_prints_what_the_readme_says() {
    let readme = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let steps = steps(&readme);
    assert!(steps.len() > 30, "{} commands found", steps.len());
    let mut shell = Shell::new();
    steps.iter().for_each(|step| shell.run(step));
}

/// A command, and what README says that it prints.
struct Step {
    line: usize,
    command: String,
    prints: Vec<String>,
}

fn steps(readme: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (n, line) in readme.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: n + 1, command: command.to_owned(), prints: Vec::new() });
            continue;
        }
        let step = steps.last_mut().unwrap_or_else(|| panic!("line {}: printed by no command", n + 1));
        match line.strip_prefix("> ") {
            Some(more) if step.prints.is_empty() => step.command = format!("{}\n{more}", step.command),
            _ => step.prints.push(line.to_owned()),
        }
    }
    steps
}

/// Where the commands run, and what they have in common.
struct Shell {
    dir: tempfile::TempDir,
    variables: HashMap<String, String>,
    servers: HashMap<PathBuf, Serving>,
    /// What README calls keys and tickets, and what they are here.
    names: Vec<(String, String)>,
}

impl Shell {
    fn new() -> Shell {
        let dir = tempfile::tempdir().unwrap();
        // As in a fresh clone.
        symlink(Path::new(ROOT).join("crates"), dir.path().join("crates")).unwrap();
        Shell { dir, variables: HashMap::new(), servers: HashMap::new(), names: Vec::new() }
    }

    fn run(&mut self, step: &Step) {
        if let Some((name, value)) = step.command.strip_prefix("export ").and_then(|set| set.split_once('='))
        {
            self.variables.insert(name.to_owned(), value.to_owned());
            return;
        }
        let folder = PathBuf::from(self.variables.get("KAPPA_DB").map_or("kappa-db", String::as_str));
        self.servers.remove(&folder);
        let printed = match step.command.starts_with("kappa serve") {
            true => self.serve(step, folder),
            false => self.finish(step),
        };
        let differs = || format!("README.md:{}: $ {}\n{}", step.line, step.command, printed.join("\n"));
        assert_eq!(printed.len(), step.prints.len(), "{}", differs());
        for (said, is) in step.prints.iter().zip(&printed) {
            assert_eq!(shape(said), shape(is), "{}", differs());
            self.names.extend(words(said).map(str::to_owned).zip(words(is).map(str::to_owned)));
        }
    }

    /// Both streams of a command that ends, as a terminal shows them.
    fn finish(&self, step: &Step) -> Vec<String> {
        let output = self.bash("", step).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let code = step.command.split_once("exit code ").map_or("0", |(_, rest)| &rest[..1]);
        let place = format!("README.md:{}: $ {}\n{text}", step.line, step.command);
        assert_eq!(output.status.code(), code.parse().ok(), "{place}");
        text.lines().map(str::to_owned).collect()
    }

    /// As many lines of a server as README shows; then it goes on.
    fn serve(&mut self, step: &Step, folder: PathBuf) -> Vec<String> {
        let serving = Serving::start(&mut self.bash("exec ", step));
        let line = |_: &String| serving.lines.recv_timeout(PATIENCE).unwrap();
        let printed = step.prints.iter().map(line).collect();
        self.servers.insert(folder, serving);
        printed
    }

    fn bash(&self, before: &str, step: &Step) -> Command {
        let program = Path::new(env!("CARGO_BIN_EXE_kappa")).parent().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut bash = Command::new("bash");
        bash.arg("-c").arg(format!("exec 2>&1\n{before}{}", self.translated(&step.command)));
        bash.current_dir(self.dir.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        bash.env_remove("KAPPA_DB").envs(&self.variables);
        bash.env("PATH", format!("{}:{path}", program.display()));
        bash
    }

    /// The command with the names that keys and tickets have here; beginnings of keys, too.
    fn translated(&self, command: &str) -> String {
        let mut text = command.to_owned();
        for word in words(command).filter(|word| word.len() >= 8 && is_name(word)) {
            let known = self.names.iter().rev().find(|(said, _)| said.starts_with(word));
            if let Some((said, is)) = known {
                text = text.replace(word, if said == word { is } else { &is[..word.len()] });
            }
        }
        text
    }
}

/// A `kappa serve`; ended in order when dropped.
struct Serving {
    child: Child,
    lines: Receiver<String>,
}

impl Serving {
    fn start(bash: &mut Command) -> Serving {
        let mut child = bash.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = channel();
        // To the end, so that the server is never held up; nobody may want to know by then.
        std::thread::spawn(move || out.lines().map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        Serving { child, lines }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status());
        drop(self.child.wait());
    }
}

/// What a line is made of, without what is between.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let ends = |c: char| !c.is_ascii_alphanumeric() && !".:-_".contains(c);
    line.split(ends).map(|word| word.trim_matches([':', '-'])).filter(|word| !word.is_empty())
}

/// A line with what differs from run to run replaced by what it is.
pub fn shape(line: &str) -> String {
    let mut out = String::new();
    let mut before = "";
    let mut rest = line;
    for word in words(line) {
        let (between, after) = rest.split_once(word).unwrap();
        out.push_str(between);
        out.push_str(&shape_of(word, before));
        (before, rest) = (word, after);
    }
    out + rest
}

fn shape_of(word: &str, before: &str) -> String {
    let number = word.parse::<f64>().is_ok();
    match word {
        _ if word.starts_with("kappa1") => "TICKET".to_owned(),
        _ if word.len() >= 8 && is_name(word) => "KEY".to_owned(),
        _ if word.starts_with("20") && word.ends_with('Z') => "TIME".to_owned(),
        // What lies in derived data depends on what was tidied by then.
        "KiB" | "MiB" if before.contains('.') && before.parse::<f64>().is_ok() => "UNIT".to_owned(),
        _ if number && (word.contains('.') || before.starts_with("bytes_")) => "NUMBER".to_owned(),
        _ => match word.split_once(':') {
            Some((host @ "127.0.0.1", _)) => format!("{host}:PORT"),
            _ => word.to_owned(),
        },
    }
}

/// A key or the beginning of one, a fingerprint, or a ticket.
fn is_name(word: &str) -> bool {
    word.starts_with("kappa1") || word.bytes().all(is_hex) || is_fingerprint(word)
}

fn is_fingerprint(word: &str) -> bool {
    let is_group =
        |group: &str| group.len() == 4 && group.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
    word.split('-').count() == 4 && word.split('-').all(is_group)
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
