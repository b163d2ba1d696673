//! What two ends of a byte stream may do to each other before a session stands.

use crate::common::*;
use kappadb_net::transport::{Channel, Role};
use kappadb_net::{ChannelError, HandshakeError, noise};
use proptest::prelude::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

#[tokio::test]
async fn both_ends_agree_on_the_binding_and_no_two_channels_share_one() {
    let mut bindings = Vec::new();
    for _ in 0..2 {
        let (a, b) = duplex(1 << 16);
        let accepted = tokio::spawn(async move {
            let bob = credentials(2);
            noise::accept(b, &bob.access, &bob.identity, b"from bob").await.unwrap()
        });
        let alice = credentials(1);
        let dialed = noise::dial(a, &alice.access, &alice.identity, b"from alice").await.unwrap();
        assert_eq!((dialed.role(), dialed.hello()), (Role::Dialer, &b"from bob"[..]));
        let here = dialed.binding();
        // The last message of the handshake leaves with the first bytes of the channel.
        let (_read, mut write) = dialed.split();
        write.flush().await.unwrap();
        let accepted = accepted.await.unwrap();
        assert_eq!((accepted.role(), accepted.hello()), (Role::Listener, &b"from alice"[..]));
        assert_eq!(accepted.binding(), here);
        bindings.push(here);
    }
    assert_ne!(bindings[0], bindings[1]);
}

#[tokio::test]
async fn frames_pass_both_ways_between_known_peers() {
    let (dialer, listener) = pair().await;
    assert_eq!(dialer.hello(), hello(2).encode());
    assert_eq!(listener.hello(), hello(1).encode());
    let ((mut from_b, mut to_b), (mut from_a, mut to_a)) = (dialer.split(), listener.split());
    let frames = vec![vec![1], vec![2; 65_519], vec![3; 65_520], vec![4; 1 << 20]];
    let sent = frames.clone();
    tokio::spawn(async move {
        to_b.send(&sent).await.unwrap();
        to_b.close().await.unwrap();
    });
    assert_eq!(from_a.peer().await.unwrap(), key(1));
    for frame in &frames {
        assert_eq!(from_a.next().await.unwrap().as_ref(), Some(frame));
    }
    assert_eq!(from_a.next().await.unwrap(), None);
    to_a.send(&[b"answer".to_vec()]).await.unwrap();
    assert_eq!(from_b.next().await.unwrap(), Some(b"answer".to_vec()));
    assert_eq!(from_b.peer().await.unwrap(), key(2));
}

#[tokio::test]
async fn a_wrong_key_a_wrong_epoch_and_a_wrong_database_are_refused_on_both_ends() {
    let mut strangers = [credentials(1), credentials(1), credentials(1)];
    strangers[0].access.key = kappadb_net::AccessKey::new([99; 32]);
    strangers[1].access.epoch += 1;
    strangers[2].access.database.0[0] ^= 1;
    for stranger in strangers {
        let (a, b) = duplex(1 << 16);
        let listener = tokio::spawn(async move { listen(b, &credentials(2)).await.map(drop) });
        let refused = dial(a, &stranger, key(2)).await.map(drop);
        assert!(matches!(refused, Err(Failed::Handshake(HandshakeError::WrongKey))), "{refused:?}");
        let refused = listener.await.unwrap();
        assert!(matches!(refused, Err(Failed::Handshake(HandshakeError::Stranger))), "{refused:?}");
    }
}

#[tokio::test]
async fn another_peer_than_the_tickets_is_refused_before_any_of_its_frames_is_seen() {
    let (a, b) = duplex(1 << 16);
    let listener = tokio::spawn(async move {
        let mut listener = listen(b, &credentials(3)).await.unwrap().split();
        listener.1.send(&[b"forged answer".to_vec()]).await.unwrap();
        listener
    });
    let mut dialer = dial(a, &credentials(1), key(2)).await.unwrap().split();
    let refused = dialer.0.next().await;
    assert!(
        matches!(refused, Err(ChannelError::WrongPeer { expected, found }) if expected == key(2) && found == key(3))
    );
    // And it stays refused: nothing behind the false proof can be read.
    assert!(dialer.0.next().await.is_err());
    drop(listener.await);
}

#[tokio::test]
async fn a_stream_cut_anywhere_in_the_handshake_is_a_clear_error() {
    // All that the dialer says up to its identity.
    let (dialer, _listener) = pair().await;
    let whole = dialer.traffic().bytes_sent() as usize;
    for cut in 0..whole {
        let refused = listen_to_a_cut(cut).await.map(drop);
        assert!(
            matches!(
                refused,
                Err(Failed::Handshake(HandshakeError::Closed))
                    | Err(Failed::Channel(ChannelError::Truncated))
            ),
            "cut at {cut}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_listener_that_hangs_up_is_a_wrong_key_at_first_and_a_cut_later() {
    // At once, and within its first message.
    for sent in [&[][..], &[96], &[96, 0, 1, 2, 3]] {
        let (a, mut b) = duplex(1 << 16);
        let dialer = tokio::spawn(async move { dial(a, &credentials(1), key(2)).await.map(drop) });
        let mut first = [0; 2];
        b.read_exact(&mut first).await.unwrap();
        b.write_all(sent).await.unwrap();
        drop(b);
        let refused = dialer.await.unwrap();
        assert!(matches!(refused, Err(Failed::Handshake(HandshakeError::WrongKey))), "{refused:?}");
    }
    // After the handshake, before its identity.
    let (a, b) = duplex(1 << 16);
    let bob = credentials(2);
    let listener = tokio::spawn(async move {
        let channel = noise::accept(b, &bob.access, &bob.identity, b"").await.unwrap();
        drop(channel);
    });
    let (mut from_b, _to_b) = dial(a, &credentials(1), key(2)).await.unwrap().split();
    listener.await.unwrap();
    assert!(matches!(from_b.next().await, Err(ChannelError::Truncated)));
}

#[tokio::test(start_paused = true)]
async fn an_end_that_drips_or_is_silent_runs_out_of_time() {
    let (a, mut b) = duplex(1 << 16);
    let listener = tokio::spawn(async move {
        tokio::time::timeout(Duration::from_secs(5), listen(a, &credentials(2))).await.map(drop)
    });
    b.write_all(&200u16.to_le_bytes()).await.unwrap();
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if b.write_all(&[0]).await.is_err() {
            break;
        }
    }
    assert!(listener.await.unwrap().is_err());
}

#[tokio::test]
async fn a_handshake_message_that_claims_too_much_is_refused_at_once() {
    let (a, mut b) = duplex(1 << 16);
    b.write_all(&u16::MAX.to_le_bytes()).await.unwrap();
    let refused = listen(a, &credentials(2)).await.map(drop);
    assert!(matches!(refused, Err(Failed::Handshake(HandshakeError::Length { len: 65_535 }))), "{refused:?}");
}

#[tokio::test]
async fn a_hello_that_does_not_fit_is_our_own_error() {
    let (a, _b) = duplex(1 << 16);
    let alice = credentials(1);
    let refused = noise::dial(a, &alice.access, &alice.identity, &[0; noise::MAX_HELLO + 1]).await.map(drop);
    assert!(matches!(refused, Err(HandshakeError::HelloTooLong { .. })));
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn noise_from_either_side_is_an_error(noise in prop::collection::vec(any::<u8>(), 0..300), len in 0u16..200) {
        // Once as it is, once with a length that fits, so that it reaches the cryptography.
        let framed = [&len.to_le_bytes(), noise.as_slice()].concat();
        runtime().block_on(async {
            for bytes in [&noise, &framed] {
                let (a, mut b) = duplex(1 << 16);
                b.write_all(bytes).await.unwrap();
                b.shutdown().await.unwrap();
                assert!(listen(a, &credentials(2)).await.is_err());
                let (a, mut b) = duplex(1 << 16);
                b.write_all(bytes).await.unwrap();
                b.shutdown().await.unwrap();
                assert!(dial(a, &credentials(1), key(2)).await.is_err());
            }
        });
    }

    #[test]
    fn frames_of_any_size_round_trip(sizes in prop::collection::vec(1usize..200_000, 1..6), seed: u8) {
        runtime().block_on(async {
            let (dialer, listener) = pair().await;
            let ((_from_b, mut to_b), (mut from_a, _to_a)) = (dialer.split(), listener.split());
            let frames: Vec<Vec<u8>> = sizes.iter().map(|&n| vec![seed; n]).collect();
            let (sent, received) = tokio::join!(to_b.send(&frames), async {
                let mut all = Vec::new();
                while all.len() < frames.len() {
                    all.push(from_a.next().await.unwrap().unwrap());
                }
                all
            });
            sent.unwrap();
            assert_eq!(received, frames);
        });
    }

    #[test]
    fn a_changed_repeated_missing_or_moved_message_ends_the_channel(damage in damages()) {
        runtime().block_on(async {
            let (mut reader, _writer) = probes_through(damage.clone()).await.split();
            let mut seen = Vec::new();
            let end = loop {
                match reader.next().await {
                    Ok(Some(frame)) => seen.push(frame),
                    end => break end,
                }
            };
            // What was handed out before the damage is what was sent, in order.
            assert!(seen.iter().enumerate().all(|(i, frame)| frame == &probe(i)), "{damage:?}");
            assert!(seen.len() < PROBES, "{damage:?}");
            assert!(end.is_err(), "{damage:?} went unnoticed");
        });
    }
}
