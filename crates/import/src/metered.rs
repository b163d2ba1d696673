use std::cell::Cell;
use std::io::{self, BufRead, Read};

/// Longest text of one GeoJSON feature or XML element.
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

impl<R> Metered<'_, R> {
    fn check(&self) -> io::Result<()> {
        if self.meter.is_spent() { Err(io::Error::other("too long")) } else { Ok(()) }
    }
}

impl Meter {
    fn count(&self, passed: &[u8]) {
        let lines = passed.iter().filter(|byte| **byte == b'\n').count();
        self.bytes.set(self.bytes.get() + passed.len() as u64);
        self.lines.set(self.lines.get() + lines as u64);
    }
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        let read = self.inner.read(buf)?;
        self.meter.count(buf.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Counts what is consumed, not what is buffered.
impl<R: BufRead> BufRead for Metered<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        // What is consumed is buffered, so nothing is read here.
        if let Ok(buffered) = self.inner.fill_buf() {
            self.meter.count(buffered.get(..amount).unwrap_or_default());
        }
        self.inner.consume(amount);
    }
}
