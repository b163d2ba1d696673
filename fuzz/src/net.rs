//! What comes over a wire before a session, and tickets.

use crate::Input;
use data_encoding::BASE32_NOPAD;
use kappadb_core::{DatabaseId, SecretKey, blake2b256};
use kappadb_net::framing::read_frame;
use kappadb_net::transport::{Binding, Channel, Role};
use kappadb_net::{Access, AccessKey, Allowance, Connection, Identity, Ticket, Traffic, noise};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A ticket: first 0 and its text, or another byte and what is to be put under a checksum.
pub fn ticket(data: &[u8]) {
    let mut input = Input::new(data);
    let sealed = input.byte() != 0;
    let text =
        if sealed { seal_ticket(input.rest()) } else { String::from_utf8_lossy(input.rest()).into_owned() };
    let Ok(ticket) = text.parse::<Ticket>() else { return };
    assert_eq!(ticket.to_string(), text.trim());
    let made = Ticket::new(&ticket.access(), ticket.peer, ticket.addresses.clone())
        .and_then(|made| made.trusting(ticket.admins.clone(), ticket.mods.clone()));
    assert_eq!(made.as_ref(), Ok(&ticket));
}

/// The text of a ticket with this body.
pub fn seal_ticket(body: &[u8]) -> String {
    let sum = blake2b256(&[b"kappadb ticket v1", body]);
    format!("kappa1{}", BASE32_NOPAD.encode(&[body, &sum.0[..4]].concat()).to_ascii_lowercase())
}

/// A peer that has said all that it says.
struct Said(Vec<u8>, usize);

impl AsyncRead for Said {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.0[self.1..];
        let len = rest.len().min(out.remaining());
        out.put_slice(&rest[..len]);
        self.1 += len;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Said {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A channel of a member, so that what is inside the encryption is reached.
struct Open(Vec<u8>, Role);

impl Channel for Open {
    type Read = Said;
    type Write = Said;

    fn role(&self) -> Role {
        self.1
    }

    fn binding(&self) -> Binding {
        Binding([4; 64])
    }

    fn hello(&self) -> &[u8] {
        &[]
    }

    fn traffic(&self) -> Arc<Traffic> {
        Arc::new(Traffic::default())
    }

    fn split(self) -> (Said, Said) {
        (Said(self.0, 0), Said(Vec::new(), 0))
    }
}

/// The bytes that a peer sends: first to whom (0, 1 a listener or a dialer before the handshake; 2, 3 the same after it; else
/// what signs itself as our peer and goes on with frames).
pub fn wire(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(speak(data));
}

async fn speak(data: &[u8]) {
    let mut input = Input::new(data);
    let whom = input.byte();
    let said = input.rest().to_vec();
    let access = Access { database: DatabaseId([7; 32]), epoch: 0, key: AccessKey::new([8; 32]) };
    let identity = Identity::new(SecretKey::from_seed(&[1; 32]));
    match whom {
        0 => assert!(
            noise::accept(Said(said, 0), &access, &identity, b"hello").await.is_err(),
            "a handshake forged"
        ),
        1 => assert!(
            noise::dial(Said(said, 0), &access, &identity, b"hello").await.is_err(),
            "a handshake forged"
        ),
        2 => frames(Open(said, Role::Listener), &identity).await,
        3 => frames(Open(said, Role::Dialer), &identity).await,
        _ => {
            let mut rest = &said[..];
            while let Ok(Some(frame)) = read_frame(&mut rest).await {
                assert!(!frame.is_empty());
            }
        }
    }
}

async fn frames(channel: Open, identity: &Identity) {
    let allowance = Allowance::default();
    let Ok(connection) = Connection::open(channel, identity, None, &allowance).await else { return };
    let (mut reader, _) = connection.split();
    while let Ok(Some(frame)) = reader.next().await {
        assert!(!frame.is_empty());
    }
}
