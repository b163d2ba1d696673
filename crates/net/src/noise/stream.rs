//! The two directions of a Noise channel as byte streams.
//!
//! Each direction counts its messages; the count is the nonce. So a message that was changed, repeated, left out or
//! put elsewhere does not open, and ends the stream with [`ChannelError::Tampered`].

use super::{MAX_CONTENT, MAX_MESSAGE, TAG};
use crate::error::ChannelError;
use snow::StatelessTransportState;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};

/// Bytes of the length before each message.
const PREFIX: usize = 2;

/// What arrives, decrypted.
pub struct NoiseReader<R> {
    wire: BufReader<R>,
    keys: Arc<StatelessTransportState>,
    nonce: u64,
    /// The length word of the message that is arriving, then the message.
    prefix: Vec<u8>,
    sealed: Vec<u8>,
    /// The last message's content, and how much of it was handed out.
    content: Vec<u8>,
    taken: usize,
}

impl<R: AsyncRead + Unpin> NoiseReader<R> {
    pub(super) fn new(wire: R, keys: Arc<StatelessTransportState>) -> Self {
        let wire = BufReader::with_capacity(PREFIX + MAX_MESSAGE, wire);
        let (prefix, sealed, content) = (Vec::with_capacity(PREFIX), Vec::new(), Vec::new());
        NoiseReader { wire, keys, nonce: 0, prefix, sealed, content, taken: 0 }
    }

    /// Reads and opens one message into `content`. False if the stream ended before it began.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, ChannelError>> {
        if !ready!(poll_fill(&mut self.wire, &mut self.prefix, PREFIX, cx))? {
            let whole = self.prefix.is_empty();
            return Poll::Ready(if whole { Ok(false) } else { Err(ChannelError::Truncated) });
        }
        let len = self.prefix.iter().rev().fold(0, |len, &byte| len << 8 | usize::from(byte));
        if len <= TAG {
            return Poll::Ready(Err(ChannelError::BadLength(len)));
        }
        if !ready!(poll_fill(&mut self.wire, &mut self.sealed, len, cx))? {
            return Poll::Ready(Err(ChannelError::Truncated));
        }
        self.open()?;
        Poll::Ready(Ok(true))
    }

    fn open(&mut self) -> Result<(), ChannelError> {
        self.content.resize(self.sealed.len(), 0);
        let opened = self.keys.read_message(self.nonce, &self.sealed, &mut self.content);
        let len = opened.map_err(|_| ChannelError::Tampered)?;
        self.content.truncate(len);
        self.nonce += 1;
        self.taken = 0;
        self.prefix.clear();
        self.sealed.clear();
        Ok(())
    }
}

/// Appends what arrives to `to` until it has `len` bytes; false if the stream ends before.
fn poll_fill<R: AsyncRead + Unpin>(
    wire: &mut BufReader<R>,
    to: &mut Vec<u8>,
    len: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    while to.len() < len {
        let there = ready!(Pin::new(&mut *wire).poll_fill_buf(cx))?;
        if there.is_empty() {
            return Poll::Ready(Ok(false));
        }
        let some = there.get(..len - to.len()).unwrap_or(there);
        to.extend_from_slice(some);
        let used = some.len();
        Pin::new(&mut *wire).consume(used);
    }
    Poll::Ready(Ok(true))
}

impl<R: AsyncRead + Unpin> AsyncRead for NoiseReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.taken == self.content.len() {
            if !ready!(self.poll_message(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
        let rest = self.content.get(self.taken..).unwrap_or_default();
        let some = rest.get(..out.remaining()).unwrap_or(rest);
        out.put_slice(some);
        self.taken += some.len();
        Poll::Ready(Ok(()))
    }
}

/// What is sent. Small writes are gathered into one message until flushed; large ones are cut.
pub struct NoiseWriter<W> {
    wire: W,
    keys: Arc<StatelessTransportState>,
    nonce: u64,
    /// Not yet encrypted.
    content: Vec<u8>,
    /// Encrypted, with lengths, and how much of it was sent.
    sealed: Vec<u8>,
    sent: usize,
}

impl<W: AsyncWrite + Unpin> NoiseWriter<W> {
    /// `unsent` goes out before everything else, as it is.
    pub(super) fn new(wire: W, keys: Arc<StatelessTransportState>, unsent: Vec<u8>) -> Self {
        NoiseWriter { wire, keys, nonce: 0, content: Vec::new(), sealed: unsent, sent: 0 }
    }

    /// Appends the content as one message to what is to be sent.
    fn seal(&mut self) -> Result<(), ChannelError> {
        let len = self.content.len() + TAG;
        let prefix = u16::try_from(len).map_err(|_| ChannelError::BadLength(len))?;
        let start = self.sealed.len() + PREFIX;
        self.sealed.extend_from_slice(&prefix.to_le_bytes());
        self.sealed.resize(start + len, 0);
        let place = self.sealed.get_mut(start..).unwrap_or_default();
        // Fails only for a message that is too long, excluded above, or after 2^64 messages.
        self.keys
            .write_message(self.nonce, &self.content, place)
            .map_err(|_| ChannelError::BadLength(len))?;
        self.nonce += 1;
        self.content.clear();
        Ok(())
    }

    /// Sends all that is encrypted.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.sealed.len() {
            let rest = self.sealed.get(self.sent..).unwrap_or_default();
            match ready!(Pin::new(&mut self.wire).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                some => self.sent += some,
            }
        }
        self.sealed.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for NoiseWriter<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.content.len() == MAX_CONTENT {
            ready!(self.poll_drain(cx))?;
            self.seal()?;
        }
        let some = data.get(..MAX_CONTENT - self.content.len()).unwrap_or(data);
        self.content.extend_from_slice(some);
        Poll::Ready(Ok(some.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.content.is_empty() {
            self.seal()?;
        }
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
