//! What a replica brings to every connection: who it is, and what its peers may take of it.

use crate::tcp::Tcp;
use crate::transport::Transport;
use crate::{Access, Identity};
use kappadb_core::{Clock, limits};
use kappadb_sync::Hello;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a peer may take, and how much it may send. The defaults are those of [`limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// For a TCP connect. Default [`limits::CONNECT_MS`].
    pub connect: Duration,
    /// From connect to the end of the handshake. Default [`limits::HANDSHAKE_MS`].
    pub handshake: Duration,
    /// For something useful while it is asked. Default [`limits::PATIENCE_MS`].
    pub patience: Duration,
    /// Bytes of results that each question to its views may bring. Default [`limits::QUESTION_BYTES`].
    pub question_bytes: u64,
    /// For taking the next bytes that we send. Default [`limits::ANSWER_MS`].
    pub stall: Duration,
    /// For the last frames of a session that is being closed. Default 1 s.
    pub farewell: Duration,
}

impl Default for Allowance {
    fn default() -> Self {
        Allowance {
            connect: Duration::from_millis(limits::CONNECT_MS),
            handshake: Duration::from_millis(limits::HANDSHAKE_MS),
            patience: Duration::from_millis(limits::PATIENCE_MS),
            question_bytes: limits::QUESTION_BYTES,
            stall: Duration::from_millis(limits::ANSWER_MS),
            farewell: Duration::from_secs(1),
        }
    }
}

impl Allowance {
    /// Of who waits so long for a peer: to be reached, and for whatever it is asked.
    pub fn patient(patience: Duration) -> Allowance {
        let farewell = Allowance::default().farewell.min(patience / 4);
        Allowance { connect: patience, handshake: patience, patience, farewell, ..Allowance::default() }
    }
}

/// What a replica shows and demands at every handshake, and over what.
#[derive(Clone)]
pub struct Credentials {
    /// The database and its key.
    pub access: Access,
    /// Who we are.
    pub identity: Identity,
    /// Versions and limits of our sessions.
    pub hello: Hello,
    /// What our hellos say of the time; nothing if there is none.
    pub clock: Option<Arc<dyn Clock>>,
    /// How we reach others and are reached.
    pub transport: Arc<dyn Transport>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Credentials { access, identity, hello, .. } = self;
        f.debug_struct("Credentials")
            .field("access", access)
            .field("identity", identity)
            .field("hello", hello)
            .finish()
    }
}

impl Credentials {
    /// With the hello of this release, over TCP.
    pub fn new(access: Access, identity: Identity) -> Self {
        Credentials { access, identity, hello: Hello::default(), clock: None, transport: Arc::new(Tcp) }
    }

    /// The bytes of a hello that is sent now.
    pub(crate) fn hello_now(&self) -> Vec<u8> {
        let now = self.clock.as_ref().map_or(self.hello.now, |clock| clock.now().0);
        Hello { now, ..self.hello.clone() }.encode()
    }
}
