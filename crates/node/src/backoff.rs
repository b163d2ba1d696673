//! How long to wait before something that failed is tried again.

/// The first wait, in milliseconds.
const FIRST_MS: u64 = 1_000;
/// The longest.
const LAST_MS: u64 = 300_000;

/// Doubles with every failure. A wait is somewhere between a half and the whole of it, so that those who lost one peer together do not all call
/// it at the same time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It failed once more: how long to wait, in milliseconds. `chance` is any number.
    pub fn fail(&mut self, chance: u64) -> u64 {
        let whole = FIRST_MS.checked_shl(self.failures).unwrap_or(LAST_MS).min(LAST_MS);
        self.failures = (self.failures + 1).min(16);
        whole / 2 + chance % (whole / 2 + 1)
    }

    /// It went well.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_and_begin_anew() {
        let mut backoff = Backoff::default();
        for n in 0..40u32 {
            let whole = (1_000u64 << n.min(20)).min(300_000);
            let wait = backoff.fail(u64::from(n) * 7_919);
            assert!((whole / 2..=whole).contains(&wait), "{n}: {wait}");
        }
        backoff.reset();
        assert!(backoff.fail(u64::MAX) <= 1_000);
    }
}
