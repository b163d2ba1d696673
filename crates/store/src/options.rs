use std::time::Duration;

/// How a [`crate::SledStore`] is kept.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Bytes of rows that are kept in memory because they were read, and of those that were written. Default 64 MiB.
    pub cache_bytes: usize,
    /// Time between flushes, if they are quick: a flush that takes long is followed by a pause of nine times that, up to 15 s, unless
    /// half of `cache_bytes` waits. Bounds what is rebuilt after a crash, and the memory of rows not yet on disk. Default 1 s.
    pub flush_every: Duration,
}

impl Default for SledOptions {
    fn default() -> Self {
        SledOptions { cache_bytes: 64 << 20, flush_every: Duration::from_secs(1) }
    }
}
