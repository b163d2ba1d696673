//! The three messages that two members exchange to get a channel.

use super::{MAX_HANDSHAKE_MESSAGE, NoiseReader, NoiseWriter};
use crate::error::HandshakeError;
use crate::traffic::Counted;
use crate::transport::{Binding, Channel, Link, Role};
use crate::{Access, Identity, Traffic};
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

const PATTERN: &str = "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b";
/// First part of the prologue; the public form of the database id follows.
const PROTOCOL: &[u8] = b"kappadb session v1";
/// Bytes of a session's hello.
pub const MAX_HELLO: usize = kappadb_core::limits::MAX_HELLO;

/// A channel over Noise. Nothing about it is generic above: see [`Channel`].
pub struct NoiseChannel<S> {
    link: Counted<S>,
    keys: Arc<StatelessTransportState>,
    /// The dialer's last handshake message: it leaves together with the first bytes of the channel.
    unsent: Vec<u8>,
    role: Role,
    binding: Binding,
    hello: Vec<u8>,
    traffic: Arc<Traffic>,
}

/// Makes the dialer's end of a channel on `link`. One round trip. `hello` has at most [`MAX_HELLO`] bytes. The
/// caller bounds the time.
pub async fn dial<S: Link>(
    link: S,
    access: &Access,
    identity: &Identity,
    hello: &[u8],
) -> Result<NoiseChannel<S>, HandshakeError> {
    let mut shake = Handshake::new(link, access, identity, Role::Dialer, hello)?;
    let first = shake.seal(hello)?;
    shake.send(&first).await?;
    // A listener that cannot open the first message hangs up without a word.
    let answer =
        shake.receive().await.map_err(|e| if is_hang_up(&e) { HandshakeError::WrongKey } else { e })?;
    let theirs = shake.open(&answer).map_err(|_| HandshakeError::WrongKey)?;
    shake.traffic.add_round_trips(1);
    let last = shake.seal(&[])?;
    shake.finish(theirs, framed(&last)?)
}

/// Makes the listener's end of a channel on `link`. `hello` has at most [`MAX_HELLO`] bytes. The caller bounds
/// the time.
pub async fn accept<S: Link>(
    link: S,
    access: &Access,
    identity: &Identity,
    hello: &[u8],
) -> Result<NoiseChannel<S>, HandshakeError> {
    let mut shake = Handshake::new(link, access, identity, Role::Listener, hello)?;
    let first = shake.receive().await?;
    let theirs = shake.open(&first).map_err(|_| HandshakeError::Stranger)?;
    let answer = shake.seal(hello)?;
    shake.send(&answer).await?;
    let last = shake.receive().await?;
    shake.open(&last)?;
    shake.finish(theirs, Vec::new())
}

fn is_hang_up(error: &HandshakeError) -> bool {
    let reset =
        |e: &io::Error| matches!(e.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe);
    matches!(error, HandshakeError::Closed) || matches!(error, HandshakeError::Io(e) if reset(e))
}

fn framed(message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
    let len = u16::try_from(message.len()).map_err(|_| HandshakeError::Length { len: message.len() })?;
    Ok([&len.to_le_bytes(), message].concat())
}

/// A handshake under way.
struct Handshake<S> {
    link: Counted<S>,
    state: HandshakeState,
    role: Role,
    traffic: Arc<Traffic>,
}

impl<S: Link> Handshake<S> {
    fn new(
        link: S,
        access: &Access,
        identity: &Identity,
        role: Role,
        hello: &[u8],
    ) -> Result<Self, HandshakeError> {
        if hello.len() > MAX_HELLO {
            return Err(HandshakeError::HelloTooLong { len: hello.len(), limit: MAX_HELLO });
        }
        let state = state(access, identity, role).map_err(HandshakeError::Setup)?;
        let traffic = Arc::new(Traffic::default());
        Ok(Handshake { link: Counted::new(link, traffic.clone()), state, role, traffic })
    }

    fn seal(&mut self, payload: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let mut message = vec![0; MAX_HANDSHAKE_MESSAGE];
        let len = self.state.write_message(payload, &mut message).map_err(HandshakeError::Setup)?;
        message.truncate(len);
        Ok(message)
    }

    fn open(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        let mut payload = vec![0; MAX_HANDSHAKE_MESSAGE];
        let len = self.state.read_message(message, &mut payload).map_err(|_| HandshakeError::Tampered)?;
        payload.truncate(len);
        if len > MAX_HELLO {
            Err(HandshakeError::HelloTooLong { len, limit: MAX_HELLO })
        } else {
            Ok(payload)
        }
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), HandshakeError> {
        self.link.write_all(&framed(message)?).await.map_err(HandshakeError::Io)?;
        self.link.flush().await.map_err(HandshakeError::Io)
    }

    async fn receive(&mut self) -> Result<Vec<u8>, HandshakeError> {
        let ended = |e: io::Error| match e.kind() {
            io::ErrorKind::UnexpectedEof => HandshakeError::Closed,
            _ => HandshakeError::Io(e),
        };
        let len = usize::from(self.link.read_u16_le().await.map_err(ended)?);
        if len > MAX_HANDSHAKE_MESSAGE {
            return Err(HandshakeError::Length { len });
        }
        let mut message = vec![0; len];
        self.link.read_exact(&mut message).await.map_err(ended)?;
        Ok(message)
    }

    fn finish(self, hello: Vec<u8>, unsent: Vec<u8>) -> Result<NoiseChannel<S>, HandshakeError> {
        let Handshake { link, state, role, traffic } = self;
        let mut binding = Binding([0; 64]);
        // BLAKE2b's 64 bytes fill the binding; a shorter hash would leave zeros at its end.
        binding.0.iter_mut().zip(state.get_handshake_hash()).for_each(|(to, from)| *to = *from);
        let keys = Arc::new(state.into_stateless_transport_mode().map_err(HandshakeError::Setup)?);
        Ok(NoiseChannel { link, keys, unsent, role, binding, hello, traffic })
    }
}

fn state(access: &Access, identity: &Identity, role: Role) -> Result<HandshakeState, snow::Error> {
    let (psk, secret) = (access.psk(), identity.noise_static());
    let prologue = [PROTOCOL, &access.public_id()].concat();
    let builder =
        Builder::new(PATTERN.parse()?).psk(0, &psk)?.local_private_key(&*secret)?.prologue(&prologue)?;
    match role {
        Role::Dialer => builder.build_initiator(),
        Role::Listener => builder.build_responder(),
    }
}

impl<S: Link> Channel for NoiseChannel<S> {
    type Read = NoiseReader<ReadHalf<Counted<S>>>;
    type Write = NoiseWriter<WriteHalf<Counted<S>>>;

    fn role(&self) -> Role {
        self.role
    }

    fn binding(&self) -> Binding {
        self.binding
    }

    fn hello(&self) -> &[u8] {
        &self.hello
    }

    fn traffic(&self) -> Arc<Traffic> {
        self.traffic.clone()
    }

    fn split(self) -> (Self::Read, Self::Write) {
        let (read, write) = tokio::io::split(self.link);
        (NoiseReader::new(read, self.keys.clone()), NoiseWriter::new(write, self.keys, self.unsent))
    }
}
