//! Waiting for peers that say nothing.

use super::links::Link;
use kappadb_core::limits::LEAST_RATE;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Waits for a time, if there is one.
pub(super) async fn passed(until: Option<(Instant, Duration)>) {
    match until {
        Some((until, _)) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Waits until next to nothing comes from a peer any more.
pub(super) async fn lulled(front: Option<&Link>, lull: Duration) {
    if let Some(link) = front {
        until_silent(|| link.session.stats().bytes_received, lull).await;
    }
}

/// Waits until next to nothing comes from any of these peers any more.
pub(super) async fn silent(busy: impl Iterator<Item = &Link> + Clone, grace: Duration) {
    let received = || busy.clone().map(|link| link.session.stats().bytes_received).sum();
    until_silent(received, grace).await;
}

async fn until_silent(received: impl Fn() -> u64, lull: Duration) {
    let least = u64::try_from(lull.as_millis()).unwrap_or(u64::MAX).saturating_mul(LEAST_RATE);
    loop {
        let before = received();
        sleep(lull).await;
        if received().saturating_sub(before) < least {
            return;
        }
    }
}
