//! A fuzzer's bytes read as numbers and chunks. Reading never fails: behind the end are zeros, so that every input means
//! something and small changes of it stay small.

/// What is left of an input.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Input(data)
    }

    /// True at the end.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// At most `len` bytes.
    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(usize::MAX)
    }

    /// Exactly `N` bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let taken = self.take(N);
        out[..taken.len()].copy_from_slice(taken);
        out
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// A number below `end`, which is at most 256 and not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// Eight bytes, little-endian.
    pub fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// Two bytes of length, little-endian, and as many bytes.
    pub fn chunk(&mut self) -> &'a [u8] {
        let len = u16::from_le_bytes(self.array());
        self.take(len.into())
    }
}

/// Writes what [`Input`] reads.
#[derive(Debug, Clone, Default)]
pub struct Output(pub Vec<u8>);

impl Output {
    /// With these bytes.
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend_from_slice(bytes.as_ref());
        self
    }

    /// With one byte.
    pub fn byte(self, byte: u8) -> Self {
        self.bytes([byte])
    }

    /// With eight bytes.
    pub fn number(self, number: u64) -> Self {
        self.bytes(number.to_le_bytes())
    }

    /// With a chunk of at most 65,535 bytes.
    pub fn chunk(self, bytes: &[u8]) -> Self {
        let len = u16::try_from(bytes.len()).expect("a seed's chunk is short");
        self.bytes(len.to_le_bytes()).bytes(bytes)
    }
}
