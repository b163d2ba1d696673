//! Being asked to end: Ctrl-C or `kill`.

use super::Interrupt;
use std::io;
use std::process;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// While the future lives, SIGINT and SIGTERM do not end the process by themselves. To be made before anything is printed: whoever reads it may end
/// us at once. After the first, a second one ends the process, whatever it is doing: what was promised durable is.
pub fn interrupt() -> io::Result<Interrupt> {
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(Box::pin(async move {
        next(&mut signals).await;
        tokio::spawn(async move {
            next(&mut signals).await;
            process::exit(1);
        });
    }))
}

async fn next((int, term): &mut (Signal, Signal)) {
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}
