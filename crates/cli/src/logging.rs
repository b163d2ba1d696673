//! What `serve` tells of itself on stderr, line by line.
//!
//! Lines go through a thread of their own: who does not read them, or has closed stderr, holds up nothing. What does not fit into its
//! queue is left out.

use crate::args::{LogArgs, LogFormat};
use crate::console::Console;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written.
const QUEUE: usize = 1024;
/// How long the last ones are waited for.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Keeps the log going; waits a moment for its last lines when dropped.
pub struct Log {
    lines: Option<SyncSender<Vec<u8>>>,
    written: Receiver<()>,
}

impl Drop for Log {
    fn drop(&mut self) {
        // An empty line is the end.
        if let Some(lines) = self.lines.take() {
            let _ = lines.try_send(Vec::new());
        }
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}

/// Where one line goes.
#[derive(Clone)]
struct Lines(SyncSender<Vec<u8>>);

impl Write for Lines {
    /// The whole of a line comes at once.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

/// Begins to log. To be called once.
pub fn start(args: &LogArgs, console: &Console) -> Log {
    let (lines, queue) = sync_channel(QUEUE);
    let (done, written) = channel();
    let own = console.clone();
    thread::spawn(move || {
        write_lines(&own, &queue);
        let _ = done.send(());
    });
    let builder = tracing_subscriber::fmt().with_max_level(level(args)).with_writer(Lines(lines.clone()));
    let format = args.log_format.unwrap_or(if console.is_json() { LogFormat::Json } else { LogFormat::Text });
    // Fails only if there is a log already, which goes on then.
    let _ = match format {
        LogFormat::Json => {
            tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
        }
        LogFormat::Text => {
            tracing::subscriber::set_global_default(builder.with_ansi(false).with_target(false).finish())
        }
    };
    Log { lines: Some(lines), written }
}

fn write_lines(console: &Console, queue: &Receiver<Vec<u8>>) {
    while let Ok(line) = queue.recv() {
        if line.is_empty() {
            return;
        }
        console.log_line(&line);
    }
}

fn level(args: &LogArgs) -> LevelFilter {
    match (args.quiet, args.verbose) {
        (true, _) => LevelFilter::WARN,
        (false, 0) => LevelFilter::INFO,
        (false, 1) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    }
}
