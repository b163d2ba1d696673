//! Protocol Buffers: just the wire format.

use crate::error::Damage;

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of fixed width; this format has none that matter.
    Fixed,
}

/// The fields of a message: number and value.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>), Damage> {
        let tag = varint(&mut self.0)?;
        let field = tag >> 3;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut self.0)?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = varint(&mut self.0)?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Damage::FieldType { field }),
        };
        Ok((field, value))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Damage> {
        let len = usize::try_from(len).map_err(|_| Damage::Overrun)?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Damage::Overrun)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Value<'a> {
    pub fn bytes(self, field: u64) -> Result<&'a [u8], Damage> {
        if let Value::Bytes(bytes) = self { Ok(bytes) } else { Err(Damage::FieldType { field }) }
    }

    pub fn number(self, field: u64) -> Result<u64, Damage> {
        if let Value::Number(number) = self { Ok(number) } else { Err(Damage::FieldType { field }) }
    }

    /// As `int32` and `int64` are written.
    pub fn int(self, field: u64) -> Result<i64, Damage> {
        self.number(field).map(u64::cast_signed)
    }

    /// As `sint32` and `sint64` are written.
    pub fn zigzag(self, field: u64) -> Result<i64, Damage> {
        self.number(field).map(zigzag)
    }

    /// Appends the numbers of a repeated field, packed or one by one.
    pub fn numbers(self, field: u64, out: &mut Vec<u64>) -> Result<(), Damage> {
        match self {
            Value::Number(number) => out.push(number),
            Value::Bytes(mut packed) => {
                while !packed.is_empty() {
                    out.push(varint(&mut packed)?);
                }
            }
            Value::Fixed => return Err(Damage::FieldType { field }),
        }
        Ok(())
    }
}

pub(super) fn zigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Adds zigzag differences up.
pub(super) fn sums(differences: &[u64]) -> Result<Vec<i64>, Damage> {
    let mut sum = 0i64;
    let add = |difference: &u64| {
        sum = sum.checked_add(zigzag(*difference)).ok_or(Damage::Range)?;
        Ok(sum)
    };
    differences.iter().map(add).collect()
}

fn varint(bytes: &mut &[u8]) -> Result<u64, Damage> {
    let mut out = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().ok_or(Damage::Overrun)?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(Damage::Varint);
        }
        out |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(out);
        }
    }
    Err(Damage::Varint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_numbers() {
        assert_eq!(varint(&mut &[0x96, 0x01][..]), Ok(150));
        assert_eq!(varint(&mut &[0xff; 10][..]), Err(Damage::Varint));
        assert_eq!(varint(&mut &[0x80][..]), Err(Damage::Overrun));
        assert_eq!([0, 1, 2, 3, u64::MAX].map(zigzag), [0, -1, 1, -2, i64::MIN]);
        assert_eq!(sums(&[2, 2, 1]), Ok(vec![1, 2, 1]));
        assert_eq!(sums(&[u64::MAX, 1]), Err(Damage::Range));
    }

    proptest! {
        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let mut numbers = Vec::new();
            for (field, value) in Fields(&bytes).flatten() {
                let _ = value.numbers(field, &mut numbers);
            }
            let _ = sums(&numbers);
        }
    }
}
