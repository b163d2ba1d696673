use crate::codec::{self, DecodeError};
use crate::limits::MAX_BLOCK;
use bytes::Bytes;

/// What of a block is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Header and payload.
    Whole,
    /// Header and the 32-byte digest of the payload, which was cleared.
    Cleared,
}

/// A block as it is stored and sent: its bytes in one of two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// What of the block is there.
    pub form: Form,
    /// At most [`MAX_BLOCK`] bytes.
    pub bytes: Bytes,
}

impl StoredBlock {
    /// A block with its payload.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        StoredBlock { form: Form::Whole, bytes: bytes.into() }
    }
}

const WHAT: &str = "block table";

/// Appends `count varint | (len << 1 | form) varint * count | bytes of the blocks` to `out`.
pub fn encode_blocks<'a>(blocks: impl ExactSizeIterator<Item = &'a StoredBlock> + Clone, out: &mut Vec<u8>) {
    codec::encode_into(&(blocks.len() as u64), out);
    for block in blocks.clone() {
        codec::encode_into(&((block.bytes.len() as u64) << 1 | u64::from(block.form == Form::Cleared)), out);
    }
    blocks.for_each(|block| out.extend_from_slice(&block.bytes));
}

/// Reads what [`encode_blocks`] wrote, all of `bytes`, sharing its memory.
pub fn decode_blocks(bytes: Bytes) -> Result<Vec<StoredBlock>, DecodeError> {
    let number = |at: usize| codec::number(WHAT, bytes.get(at..).unwrap_or_default());
    let (count, mut word_at) = number(0)?;
    // Each block costs at least one byte of table, so a claimed count cannot exceed what is there.
    if count > bytes.len() as u64 {
        return Err(malformed("more blocks claimed than bytes present"));
    }
    let mut at = word_at;
    for _ in 0..count {
        at += number(at)?.1;
    }
    let mut blocks = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    for _ in 0..count {
        let (word, used) = number(word_at)?;
        word_at += used;
        let form = if word & 1 == 0 { Form::Whole } else { Form::Cleared };
        let len = usize::try_from(word >> 1).ok().filter(|&len| len <= MAX_BLOCK);
        let end = at + len.ok_or_else(|| malformed("a block longer than MAX_BLOCK"))?;
        if end > bytes.len() {
            return Err(malformed("blocks end early"));
        }
        blocks.push(StoredBlock { form, bytes: bytes.slice(at..end) });
        at = end;
    }
    match bytes.len() - at {
        0 => Ok(blocks),
        extra => Err(DecodeError::Trailing { what: WHAT, extra }),
    }
}

fn malformed(reason: &str) -> DecodeError {
    DecodeError::Malformed { what: WHAT, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_round_trip(blocks in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20)) {
            let form = |c| if c { Form::Cleared } else { Form::Whole };
            let blocks: Vec<_> = blocks.into_iter().map(|(c, b)| StoredBlock { form: form(c), bytes: b.into() }).collect();
            let mut out = Vec::new();
            encode_blocks(blocks.iter(), &mut out);
            prop_assert_eq!(decode_blocks(out.clone().into()), Ok(blocks));
            out.push(0);
            prop_assert!(decode_blocks(out.into()).is_err());
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(blocks) = decode_blocks(bytes.clone().into()) {
                let mut again = Vec::new();
                encode_blocks(blocks.iter(), &mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
