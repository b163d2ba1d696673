//! Running the program as a user does.
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The bundled piece of Helsinki.
pub const EXTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/helsinki-centre.osm.pbf");
/// Some blocks around its railway station.
pub const STATION: &str = "24.9390,60.1695,24.9440,60.1725";

/// A database directory that goes away with the test.
pub struct Db {
    dir: tempfile::TempDir,
}

impl Db {
    /// A directory without a database.
    pub fn none() -> Db {
        Db { dir: tempfile::tempdir().unwrap() }
    }

    /// A new database.
    pub fn init() -> Db {
        let db = Db::none();
        db.ok(&["init"]);
        db
    }

    /// An empty replica.
    pub fn join(ticket: &str) -> Db {
        let db = Db::none();
        db.ok(&["join", ticket]);
        db
    }

    /// A new database with the extract in it.
    pub fn helsinki() -> Db {
        let db = Db::init();
        db.ok(&["map", "import", EXTRACT]);
        db
    }

    /// Where it lies.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("db")
    }

    /// `kappa --db ... args`, not started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kappa"));
        command.arg("--db").arg(self.path()).args(args).env_remove("KAPPA_DB").stdin(Stdio::null());
        command
    }

    /// Runs to the end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs to a good end; stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs to a good end; the one JSON line of stdout.
    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[&["--json"], args].concat())).unwrap()
    }

    /// Runs to a bad end with exit code 1; stderr.
    pub fn fails(&self, args: &[&str]) -> String {
        self.ends(1, args).1
    }

    /// Runs to an end with exit code 4: there is no such thing; stderr.
    pub fn lacks(&self, args: &[&str]) -> String {
        self.ends(4, args).1
    }

    /// Runs to an end with this exit code; stdout and stderr.
    pub fn ends(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// Runs with this on stdin, to a good end; stdout.
    pub fn feed(&self, args: &[&str], input: &str) -> String {
        let mut child = self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{args:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The ids that a local query for the box gives.
    pub fn ids(&self, bbox: &str) -> Vec<String> {
        let out = self.ok(&["map", "query", "--bbox", bbox, "--local"]);
        out.lines().map(str::to_owned).collect()
    }

    /// Asks the peers for the box; the ids and the stats line.
    pub fn ask(&self, bbox: &str) -> (Vec<String>, Value) {
        let output = self.run(&["map", "query", "--bbox", bbox, "--stats"]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let stats =
            stderr.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no stats: {stderr}"));
        let stats: Value = serde_json::from_str(stats).unwrap();
        let code = if stats["complete"] == true || stats["as_of"].is_number() { 0 } else { 3 };
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        let ids = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        (ids, stats)
    }
}

/// A `kappa serve` that runs; ended with the test.
pub struct Server {
    child: Child,
    /// The first line that it printed.
    pub ticket: String,
}

impl Server {
    /// Serves the database on a free port of this machine.
    pub fn start(db: &Db) -> Server {
        Server::start_at(db, "127.0.0.1:0")
    }

    /// Serves the database at this address.
    pub fn start_at(db: &Db, address: &str) -> Server {
        Server::start_with(db, &["--listen", address])
    }

    /// Serves the database where its tickets say.
    pub fn start_plain(db: &Db) -> Server {
        Server::start_with(db, &[])
    }

    /// Serves the database with these arguments.
    pub fn start_with(db: &Db, args: &[&str]) -> Server {
        Server::of(db.command(&[&["serve"], args].concat()))
    }

    /// What this command serves.
    pub fn of(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut ticket = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ticket).unwrap();
        Server { child, ticket: ticket.trim().to_owned() }
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        let ticket: kappadb::Ticket = self.ticket.parse().unwrap();
        ticket.addresses[0].clone()
    }

    /// Ends it as Ctrl-C would; true if it ended well.
    pub fn interrupt(mut self) -> bool {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        status.success() && self.child.wait().unwrap().success()
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs on a terminal where somebody types this; whether it ended well, and what was on the terminal.
pub fn on_a_terminal(db: &Db, args: &[&str], typed: &str) -> (bool, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let end = File::options().read(true).write(true).open(path).unwrap();
    let mut command = db.command(args);
    command.stdin(end.try_clone().unwrap()).stderr(end.try_clone().unwrap()).stdout(Stdio::null());
    let mut terminal = File::from(terminal);
    terminal.write_all(typed.as_bytes()).unwrap();
    let mut child = command.spawn().unwrap();
    drop((end, command));
    let mut shown = Vec::new();
    // Where the other end is closed, Linux says that as an error.
    let _ = terminal.read_to_end(&mut shown);
    let done = child.wait().unwrap().success();
    (done, String::from_utf8(shown).unwrap())
}

/// Sends a process a signal.
pub fn signal(id: u32, name: &str) {
    assert!(Command::new("kill").args([name, &id.to_string()]).status().unwrap().success());
}

/// The files below a directory, with their content.
pub fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => out.extend(files(&entry.path())),
            false => out.push((entry.path(), std::fs::read(entry.path()).unwrap())),
        }
    }
    out.sort();
    out
}
