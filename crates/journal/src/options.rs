//! Settings.

/// How a journal is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Bytes after which a segment is followed by a new one. A record larger than that has a segment of its own.
    /// Default: 16 MiB.
    pub segment_bytes: u64,
    /// How many segment files readers keep open; at least one. Default: 32.
    pub open_files: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { segment_bytes: 16 << 20, open_files: 32 }
    }
}
