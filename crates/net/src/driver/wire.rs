//! The two tasks that move frames, and how the session's task talks to them.

use crate::error::ChannelError;
use crate::{FrameReader, FrameWriter};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Frames that were read and wait for the session. Small: the session itself holds what it wants to hold.
const READ_AHEAD: usize = 4;

/// What the reader found.
pub(super) enum Incoming {
    /// A frame of the peer, whose identity was checked.
    Frame(Vec<u8>),
    /// The stream's end; nothing follows.
    End(Result<(), ChannelError>),
}

/// The moving ends of a connection. Dropping it ends both tasks.
pub(super) struct Wire {
    pub(super) incoming: mpsc::Receiver<Incoming>,
    /// Takes the next batch of frames when the one before is on its way. Closing it ends this direction.
    pub(super) outgoing: Option<mpsc::Sender<Vec<Vec<u8>>>>,
    pub(super) writer: JoinHandle<Result<(), ChannelError>>,
    reader: JoinHandle<()>,
}

impl Wire {
    pub(super) fn spawn(reader: FrameReader, writer: FrameWriter) -> Wire {
        let (to_session, incoming) = mpsc::channel(READ_AHEAD);
        let (outgoing, batches) = mpsc::channel(1);
        let reader = tokio::spawn(read(reader, to_session));
        let writer = tokio::spawn(write(writer, batches));
        Wire { incoming, outgoing: Some(outgoing), writer, reader }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

async fn read(mut frames: FrameReader, to_session: mpsc::Sender<Incoming>) {
    loop {
        let found = match frames.next().await {
            Ok(Some(frame)) => Incoming::Frame(frame),
            Ok(None) => Incoming::End(Ok(())),
            Err(error) => Incoming::End(Err(error)),
        };
        let last = matches!(found, Incoming::End(_));
        if to_session.send(found).await.is_err() || last {
            return;
        }
    }
}

async fn write(
    mut frames: FrameWriter,
    mut batches: mpsc::Receiver<Vec<Vec<u8>>>,
) -> Result<(), ChannelError> {
    while let Some(batch) = batches.recv().await {
        frames.send(&batch).await?;
    }
    frames.close().await
}
