//! Frames over a byte stream: `body_len u32 LE | body`, 1 to [`MAX_FRAME`] bytes of body.

use crate::error::ChannelError;
use kappadb_core::limits::MAX_FRAME;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Memory set aside for a frame before any of it has arrived: a claimed length costs its sender the bytes.
const FIRST_ALLOCATION: usize = 64 << 10;
/// Bytes that the peer must take within the stall time.
const PIECE: usize = 64 << 10;

fn check(len: usize) -> Result<(), ChannelError> {
    if (1..=MAX_FRAME).contains(&len) {
        Ok(())
    } else {
        Err(ChannelError::FrameLength { len, limit: MAX_FRAME })
    }
}

/// The next frame's body, or `None` if the stream ended between two frames. Not safe to cancel: a frame half read is
/// lost with the future.
pub async fn read_frame<R: AsyncRead + Unpin + ?Sized>(
    stream: &mut R,
) -> Result<Option<Vec<u8>>, ChannelError> {
    let mut word = Vec::with_capacity(4);
    stream.take(4).read_to_end(&mut word).await?;
    if word.is_empty() {
        return Ok(None);
    }
    let word: [u8; 4] = word.try_into().map_err(|_| ChannelError::Truncated)?;
    let len = usize::try_from(u32::from_le_bytes(word)).unwrap_or(usize::MAX);
    check(len)?;
    let mut body = Vec::with_capacity(len.min(FIRST_ALLOCATION));
    stream.take(len as u64).read_to_end(&mut body).await?;
    if body.len() < len { Err(ChannelError::Truncated) } else { Ok(Some(body)) }
}

/// Sends frames that belong together, then flushes: they share encrypted messages. Fails with
/// [`ChannelError::Stalled`] if the peer takes nothing for `stall`.
pub async fn write_frames<W: AsyncWrite + Unpin + ?Sized>(
    stream: &mut W,
    frames: &[Vec<u8>],
    stall: Duration,
) -> Result<(), ChannelError> {
    for body in frames {
        check(body.len())?;
        let word = u32::try_from(body.len()).unwrap_or(u32::MAX);
        moving(stall, stream.write_all(&word.to_le_bytes())).await?;
        for piece in body.chunks(PIECE) {
            moving(stall, stream.write_all(piece)).await?;
        }
    }
    moving(stall, stream.flush()).await
}

/// `step`, unless it takes longer than `stall`.
pub(crate) async fn moving<T>(
    stall: Duration,
    step: impl Future<Output = io::Result<T>>,
) -> Result<T, ChannelError> {
    Ok(timeout(stall, step).await.map_err(|_| ChannelError::Stalled(stall))??)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    const STALL: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_frame_too_long_or_empty_is_refused_before_its_body() {
        let too_long = u32::try_from(MAX_FRAME + 1).unwrap();
        for claim in [0, too_long, u32::MAX] {
            // Nothing follows the length: a reader that waited for it would say `Truncated`.
            let error = read_frame(&mut &claim.to_le_bytes()[..]).await.unwrap_err();
            assert!(matches!(error, ChannelError::FrameLength { limit: MAX_FRAME, .. }), "{error:?}");
        }
        let error = write_frames(&mut Vec::new(), &[vec![0; MAX_FRAME + 1]], STALL).await.unwrap_err();
        assert!(matches!(error, ChannelError::FrameLength { .. }));
    }

    #[tokio::test]
    async fn the_greatest_frame_passes() {
        let frames = [vec![7; MAX_FRAME]];
        let mut wire = Vec::new();
        write_frames(&mut wire, &frames, STALL).await.unwrap();
        assert_eq!(read_frame(&mut &wire[..]).await.unwrap(), Some(vec![7; MAX_FRAME]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (mut here, _there) = tokio::io::duplex(1 << 10);
        let error = write_frames(&mut here, &[vec![1; 1 << 12]], STALL).await.unwrap_err();
        assert!(matches!(error, ChannelError::Stalled(STALL)));
    }

    proptest! {
        #[test]
        fn frames_round_trip_and_a_cut_is_noticed(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..8), cut: prop::sample::Index) {
            runtime().block_on(async {
                let mut wire = Vec::new();
                write_frames(&mut wire, &frames, STALL).await.unwrap();
                let mut rest = &wire[..];
                for frame in &frames {
                    assert_eq!(read_frame(&mut rest).await.unwrap().as_ref(), Some(frame));
                }
                assert!(read_frame(&mut rest).await.unwrap().is_none());
                let mut rest = &wire[..cut.index(wire.len())];
                let mut whole = 0;
                let end = loop {
                    match read_frame(&mut rest).await {
                        Ok(Some(_)) => whole += 1,
                        end => break end,
                    }
                };
                let boundary: usize = frames.iter().take(whole).map(|f| f.len() + 4).sum();
                assert_eq!(matches!(end, Ok(None)), boundary == cut.index(wire.len()));
            });
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            runtime().block_on(async {
                let mut rest = &bytes[..];
                while let Ok(Some(frame)) = read_frame(&mut rest).await {
                    assert!(!frame.is_empty());
                }
            });
        }
    }
}
