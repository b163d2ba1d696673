use std::cell::Cell;
use std::io::{self, Read};

/// Longest text of one GeoJSON feature.
pub(crate) const MAX_FEATURE_TEXT: u64 = 64 << 20;

/// What a reader has passed on. Shared with who reads through it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Bytes.
    pub bytes: Cell<u64>,
    /// Line ends.
    pub lines: Cell<u64>,
    /// No more than this many bytes are passed on.
    pub until: Cell<u64>,
}

impl Meter {
    pub fn new() -> Meter {
        let meter = Meter::default();
        meter.allow_one_more();
        meter
    }

    /// Counts from the start again.
    pub fn reset(&self) {
        self.bytes.set(0);
        self.lines.set(0);
        self.allow_one_more();
    }

    /// Allows one more feature to be read.
    pub fn allow_one_more(&self) {
        self.until.set(self.bytes.get() + MAX_FEATURE_TEXT);
    }

    /// True if reading was stopped here.
    pub fn is_spent(&self) -> bool {
        self.bytes.get() >= self.until.get()
    }
}

/// Counts what is read, and stops endless features.
pub(crate) struct Metered<'m, R> {
    pub inner: R,
    pub meter: &'m Meter,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.meter.is_spent() {
            return Err(io::Error::other("too long"));
        }
        let read = self.inner.read(buf)?;
        let new = buf.get(..read).unwrap_or_default();
        let lines = new.iter().filter(|byte| **byte == b'\n').count();
        self.meter.bytes.set(self.meter.bytes.get() + read as u64);
        self.meter.lines.set(self.meter.lines.get() + lines as u64);
        Ok(read)
    }
}
