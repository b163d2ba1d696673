//! Being asked to end: Ctrl-C or `kill`.

use std::io;
use std::process;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGINT and SIGTERM. While one of these lives, they do not end the process by themselves.
pub struct Interrupt {
    int: Signal,
    term: Signal,
}

impl Interrupt {
    /// To be made before anything is printed: whoever reads it may end us at once.
    pub fn new() -> io::Result<Interrupt> {
        Ok(Interrupt { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Waits until the process is to end. From then on a second request ends it at once, whatever it is doing: what was
    /// promised durable is.
    pub async fn wait(mut self) {
        self.next().await;
        tokio::spawn(async move {
            self.next().await;
            process::exit(1);
        });
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}
