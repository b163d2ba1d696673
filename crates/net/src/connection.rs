//! A channel whose ends have told each other who they are: frames in, frames out.
//!
//! Each end's first 96 bytes are its `Auth` (see [`crate::Identity`]). The dialer sends its own at once and does
//! not wait for the listener's, so that a first question travels in the same flight; what it reads is handed out
//! only after the listener's `Auth` was checked. The listener waits: it serves nobody unknown.

use crate::error::ChannelError;
use crate::framing::{moving, read_frame, write_frames};
use crate::identity::{AUTH_LEN, verify_auth};
use crate::transport::{Binding, Channel, Role};
use crate::{Allowance, Identity, Traffic};
use kappadb_core::{FeedKey, SecretKey};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A connection to a peer, over whatever transport.
pub struct Connection {
    pub(crate) reader: FrameReader,
    writer: FrameWriter,
    role: Role,
    hello: Vec<u8>,
    traffic: Arc<Traffic>,
    identity: Identity,
}

impl Connection {
    /// Shows `identity` to the other end of `channel`. A listener then waits for the dialer's; a dialer gives the
    /// identity that it expects, which is checked when the first frame is read.
    pub async fn open<C: Channel>(
        channel: C,
        identity: &Identity,
        expected: Option<FeedKey>,
        allowance: &Allowance,
    ) -> Result<Connection, ChannelError> {
        let (role, binding, hello, traffic) =
            (channel.role(), channel.binding(), channel.hello().to_vec(), channel.traffic());
        let (read, write) = channel.split();
        let mut writer = FrameWriter { stream: Box::new(write), stall: allowance.stall };
        writer.show(&identity.auth(&binding, role)).await?;
        let peer = Peer::Unknown { binding, role: role.other(), expected };
        let mut reader = FrameReader { stream: Box::new(read), peer };
        if role == Role::Listener {
            reader.peer().await?;
        }
        Ok(Connection { reader, writer, role, hello, traffic, identity: identity.clone() })
    }

    /// By whom this end signs what it states.
    pub(crate) fn signer(&self) -> SecretKey {
        self.identity.secret()
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What the peer's session said in the handshake, not yet decoded.
    pub fn hello(&self) -> &[u8] {
        &self.hello
    }

    /// What the connection has cost so far.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// The two directions.
    pub fn split(self) -> (FrameReader, FrameWriter) {
        (self.reader, self.writer)
    }
}

enum Peer {
    Unknown { binding: Binding, role: Role, expected: Option<FeedKey> },
    Known(FeedKey),
}

/// Frames from the peer.
pub struct FrameReader {
    stream: Box<dyn AsyncRead + Unpin + Send>,
    peer: Peer,
}

impl FrameReader {
    /// Who the peer is. Waits for its proof where that has not come yet. Not safe to cancel.
    pub async fn peer(&mut self) -> Result<FeedKey, ChannelError> {
        let (binding, role, expected) = match self.peer {
            Peer::Known(peer) => return Ok(peer),
            Peer::Unknown { binding, role, expected } => (binding, role, expected),
        };
        let known = self.read_auth(&binding, role, expected).await;
        match known {
            Ok(peer) => self.peer = Peer::Known(peer),
            // Nothing that follows a false proof is ever looked at.
            Err(_) => self.stream = Box::new(tokio::io::empty()),
        }
        known
    }

    async fn read_auth(
        &mut self,
        binding: &Binding,
        role: Role,
        expected: Option<FeedKey>,
    ) -> Result<FeedKey, ChannelError> {
        let mut auth = [0; AUTH_LEN];
        self.stream.read_exact(&mut auth).await?;
        let found = verify_auth(&auth, binding, role)?;
        match expected {
            Some(expected) if expected != found => Err(ChannelError::WrongPeer { expected, found }),
            _ => Ok(found),
        }
    }

    /// The body of the next frame, of a peer whose identity was checked; `None` at the end. Not safe to cancel.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ChannelError> {
        self.peer().await?;
        read_frame(&mut *self.stream).await
    }
}

/// Frames to the peer.
pub struct FrameWriter {
    stream: Box<dyn AsyncWrite + Unpin + Send>,
    stall: Duration,
}

impl FrameWriter {
    async fn show(&mut self, auth: &[u8]) -> Result<(), ChannelError> {
        moving(self.stall, self.stream.write_all(auth)).await?;
        moving(self.stall, self.stream.flush()).await
    }

    /// Sends the bodies as frames, in order, and flushes. Empty ones and those above the limit are refused.
    pub async fn send(&mut self, frames: &[Vec<u8>]) -> Result<(), ChannelError> {
        write_frames(&mut *self.stream, frames, self.stall).await
    }

    /// Ends this direction; the peer reads the end of the stream.
    pub async fn close(&mut self) -> Result<(), ChannelError> {
        moving(self.stall, self.stream.shutdown()).await
    }
}
