//! From an address to a connection.

use crate::error::{DialError, HandshakeError, Phase};
use crate::transport::AnyLink;
use crate::{Allowance, Connection, Credentials, noise};
use futures::stream::{FuturesUnordered, StreamExt};
use kappadb_core::FeedKey;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long an address of a peer waits for the one before it, so that usually just one is called.
const STAGGER: Duration = Duration::from_millis(150);

/// Connects to `address` (`host:port`), where `peer` is expected to listen. Returns as soon as the first question can
/// be sent; whether it really is `peer` is checked before the first frame is read. Two round trips.
pub async fn dial(
    address: &str,
    credentials: &Credentials,
    peer: FeedKey,
    allowance: &Allowance,
) -> Result<Connection, DialError> {
    let Credentials { access, identity, transport, .. } = credentials;
    let connected = within(allowance.connect, address, Phase::Connect, transport.connect(address)).await?;
    let stream: AnyLink =
        connected.map_err(|source| DialError::Unreachable { address: address.to_owned(), source })?;
    let shake = async {
        let channel = noise::dial(stream, access, identity, &credentials.hello_now()).await?;
        Connection::open(channel, identity, Some(peer), allowance).await.map_err(HandshakeError::Channel)
    };
    let connection = within(allowance.handshake, address, Phase::Handshake, shake).await?;
    let connection =
        connection.map_err(|source| DialError::Handshake { address: address.to_owned(), source })?;
    connection.traffic().add_round_trips(1);
    Ok(connection)
}

/// As [`dial`], with all of a peer's addresses: the first that leads to a channel, and that channel. They are tried
/// side by side, each a little after the one before. If none does, the error of the one that came furthest.
pub async fn dial_any(
    addresses: &[String],
    credentials: &Credentials,
    peer: FeedKey,
    allowance: &Allowance,
) -> Result<(String, Connection), DialError> {
    let mut dials: FuturesUnordered<_> = addresses
        .iter()
        .zip(0u32..)
        .map(|(address, place)| async move {
            sleep(STAGGER * place).await;
            let connection = dial(address, credentials, peer, allowance).await?;
            Ok((address.clone(), connection))
        })
        .collect();
    let mut furthest = DialError::NoAddress;
    while let Some(outcome) = dials.next().await {
        match outcome {
            Ok(found) => return Ok(found),
            Err(error) if progress(&error) > progress(&furthest) => furthest = error,
            Err(_) => {}
        }
    }
    Err(furthest)
}

/// How far a dial came that failed so.
fn progress(error: &DialError) -> u8 {
    match error {
        DialError::NoAddress => 0,
        DialError::Unreachable { .. } => 1,
        DialError::Timeout { phase: Phase::Connect, .. } => 2,
        DialError::Timeout { phase: Phase::Handshake, .. } => 3,
        DialError::Handshake { .. } => 4,
    }
}

async fn within<T>(
    after: Duration,
    address: &str,
    phase: Phase,
    work: impl Future<Output = T>,
) -> Result<T, DialError> {
    timeout(after, work).await.map_err(|_| DialError::Timeout { address: address.to_owned(), phase, after })
}
