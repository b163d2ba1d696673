//! From an address to a session with the peer behind it.

use crate::dial::dial_any;
use crate::driver::{self, Backend, Peer, PeerHandle};
use crate::error::{DialError, HandshakeError};
use crate::{Access, Allowance, Connection, Credentials, Identity};
use kappadb_core::{FeedKey, Timestamp};
use kappadb_sync::{Agreed, Hello, HelloError};
use std::sync::Arc;

/// Dials `peer` at `address` (`host:port`) and starts a session, with the default allowance.
pub async fn connect(
    address: &str,
    access: &Access,
    identity: &Identity,
    peer: FeedKey,
    backend: Arc<dyn Backend>,
) -> Result<PeerHandle, DialError> {
    let addresses = [address.to_owned()];
    let credentials = Credentials::new(access.clone(), identity.clone());
    connect_any(&addresses, &credentials, peer, backend, &Allowance::default()).await
}

/// As [`connect`], by way of the first of the peer's addresses that leads to it.
pub async fn connect_any(
    addresses: &[String],
    credentials: &Credentials,
    peer: FeedKey,
    backend: Arc<dyn Backend>,
    allowance: &Allowance,
) -> Result<PeerHandle, DialError> {
    let (address, connection) = dial_any(addresses, credentials, peer, allowance).await?;
    let failed = |e| DialError::Handshake { address, source: HandshakeError::Hello(e) };
    let (agreed, peer) = agree(credentials, &connection, peer).map_err(failed)?;
    Ok(driver::spawn(connection, agreed, peer, backend, allowance))
}

/// What our hello and the peer's amount to, and what it says of itself.
pub(crate) fn agree(
    credentials: &Credentials,
    connection: &Connection,
    key: FeedKey,
) -> Result<(Agreed, Peer), HelloError> {
    let theirs = Hello::decode(connection.hello())?;
    let clock = (theirs.now != 0).then_some(Timestamp(theirs.now));
    Ok((credentials.hello.agree(&theirs)?, Peer { key, clock, instance: theirs.instance }))
}
