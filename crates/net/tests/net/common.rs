//! Peers, pipes, and an attacker in the middle.

use kappadb_core::{DatabaseId, FeedKey, SecretKey};
use kappadb_net::transport::Link;
use kappadb_net::{
    Access, AccessKey, Allowance, ChannelError, Connection, Credentials, HandshakeError, Identity, noise,
};
use kappadb_sync::Hello;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, copy, duplex, split};

/// Peer number `n` of one database.
pub fn credentials(n: u8) -> Credentials {
    let access = Access { database: DatabaseId([7; 32]), epoch: 1, key: AccessKey::new([8; 32]) };
    let identity = Identity::new(SecretKey::from_seed(&[n; 32]));
    Credentials { hello: hello(n), ..Credentials::new(access, identity) }
}

/// What peer `n` says first.
pub fn hello(n: u8) -> Hello {
    Hello { extra: vec![n], ..Hello::default() }
}

pub fn key(n: u8) -> FeedKey {
    credentials(n).identity.public()
}

#[derive(Debug)]
pub enum Failed {
    Handshake(HandshakeError),
    Channel(ChannelError),
}

pub async fn dial<S: Link>(link: S, who: &Credentials, peer: FeedKey) -> Result<Connection, Failed> {
    let channel = noise::dial(link, &who.access, &who.identity, &who.hello.encode())
        .await
        .map_err(Failed::Handshake)?;
    Connection::open(channel, &who.identity, Some(peer), &Allowance::default()).await.map_err(Failed::Channel)
}

pub async fn listen<S: Link>(link: S, who: &Credentials) -> Result<Connection, Failed> {
    let channel = noise::accept(link, &who.access, &who.identity, &who.hello.encode())
        .await
        .map_err(Failed::Handshake)?;
    Connection::open(channel, &who.identity, None, &Allowance::default()).await.map_err(Failed::Channel)
}

async fn pair_over(a: DuplexStream, b: DuplexStream) -> (Connection, Connection) {
    let (alice, bob) = (credentials(1), credentials(2));
    let (dialer, listener) = tokio::join!(dial(a, &alice, key(2)), listen(b, &bob));
    (dialer.unwrap(), listener.unwrap())
}

/// Peer 1 connected to peer 2.
pub async fn pair() -> (Connection, Connection) {
    let (a, b) = duplex(1 << 20);
    pair_over(a, b).await
}

/// What the listener makes of a dialer whose stream ends after `cut` bytes.
pub async fn listen_to_a_cut(cut: usize) -> Result<Connection, Failed> {
    let (a, middle_a) = duplex(1 << 16);
    let (middle_b, b) = duplex(1 << 16);
    let (mut from_a, mut to_a) = split(middle_a);
    let (mut from_b, mut to_b) = split(middle_b);
    let back = tokio::spawn(async move { copy(&mut from_b, &mut to_a).await });
    let forth = tokio::spawn(async move {
        copy(&mut (&mut from_a).take(cut as u64), &mut to_b).await.unwrap();
        to_b.shutdown().await.unwrap();
    });
    let dialer = tokio::spawn(async move { dial(a, &credentials(1), key(2)).await.map(Connection::split) });
    let outcome = listen(b, &credentials(2)).await;
    [back.abort_handle(), forth.abort_handle(), dialer.abort_handle()].iter().for_each(|task| task.abort());
    outcome
}

/// Frames that [`probes_through`] sends, each in a message of its own.
pub const PROBES: usize = 6;

pub fn probe(i: usize) -> Vec<u8> {
    vec![u8::try_from(i).unwrap(); 40 * (i + 1)]
}

/// What the attacker does to one of the encrypted messages.
#[derive(Debug, Clone)]
pub enum Damage {
    Flip { message: usize, byte: prop::sample::Index, bit: u8 },
    Repeat { message: usize },
    Drop { message: usize },
    Swap { message: usize },
}

/// Never only to the last message: a stream that ends between two messages is for the session to notice.
pub fn damages() -> impl Strategy<Value = Damage> {
    let message = 0..PROBES - 1;
    prop_oneof![
        (message.clone(), any::<prop::sample::Index>(), 0u8..8)
            .prop_map(|(message, byte, bit)| Damage::Flip { message, byte, bit }),
        message.clone().prop_map(|message| Damage::Repeat { message }),
        message.clone().prop_map(|message| Damage::Drop { message }),
        message.prop_map(|message| Damage::Swap { message }),
    ]
}

fn inflict(damage: &Damage, messages: &mut Vec<Vec<u8>>) {
    match *damage {
        Damage::Flip { message, ref byte, bit } => {
            let bytes = messages.get_mut(message).unwrap();
            let at = byte.index(bytes.len());
            *bytes.get_mut(at).unwrap() ^= 1 << bit;
        }
        Damage::Repeat { message } => messages.insert(message, messages.get(message).unwrap().clone()),
        Damage::Drop { message } => drop(messages.remove(message)),
        Damage::Swap { message } => messages.swap(message, message + 1),
    }
}

async fn next_message(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut message = vec![0; 2];
    from.read_exact(&mut message).await.ok()?;
    let len = usize::from(u16::from_le_bytes(message.clone().try_into().unwrap()));
    from.take(len as u64).read_to_end(&mut message).await.ok()?;
    Some(message)
}

/// The listener of a channel on which a dialer sent all probes, after an attacker was at them.
pub async fn probes_through(damage: Damage) -> Connection {
    let (a, middle_a) = duplex(1 << 16);
    let (middle_b, b) = duplex(1 << 16);
    let (mut from_a, mut to_a) = split(middle_a);
    let (mut from_b, mut to_b) = split(middle_b);
    tokio::spawn(async move { copy(&mut from_b, &mut to_a).await });
    tokio::spawn(async move {
        // Two messages of the handshake and the dialer's identity pass as they are.
        for _ in 0..3 {
            to_b.write_all(&next_message(&mut from_a).await.unwrap()).await.unwrap();
        }
        let mut messages = Vec::new();
        while let Some(message) = next_message(&mut from_a).await {
            messages.push(message);
        }
        assert_eq!(messages.len(), PROBES);
        inflict(&damage, &mut messages);
        // The listener may hang up as soon as it sees the damage.
        let _ = to_b.write_all(&messages.concat()).await;
        let _ = to_b.shutdown().await;
    });
    let (dialer, listener) = pair_over(a, b).await;
    let (_reader, mut writer) = dialer.split();
    for i in 0..PROBES {
        writer.send(&[probe(i)]).await.unwrap();
    }
    writer.close().await.unwrap();
    listener
}
