//! How long a peer may still take.

use kappadb_core::limits::LEAST_RATE;

/// Begins with the whole of a grant, loses with the time for which the peer is waited for, and wins with the useful bytes that
/// come, never more than the whole. So a silent peer is given up after the grant, one that drips soon after it, and one that
/// keeps to the least rate is not.
#[derive(Debug)]
pub(crate) struct Patience {
    /// Both in bytes that come in that time at the least rate.
    whole: u64,
    left: u64,
}

impl Patience {
    pub fn new(ms: u64) -> Patience {
        let whole = ms.saturating_mul(LEAST_RATE);
        Patience { whole, left: whole }
    }

    /// The peer was waited for so long.
    pub fn pass(&mut self, ms: u64) {
        self.left = self.left.saturating_sub(ms.saturating_mul(LEAST_RATE));
    }

    /// The peer sent so many useful bytes.
    pub fn earn(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes as u64).min(self.whole);
    }

    pub fn refill(&mut self) {
        self.left = self.whole;
    }

    pub fn left_ms(&self) -> u64 {
        self.left.div_ceil(LEAST_RATE)
    }

    pub fn whole_ms(&self) -> u64 {
        self.whole / LEAST_RATE
    }

    pub fn is_over(&self) -> bool {
        self.left == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_ends_it_a_drip_hardly_helps_and_the_least_rate_keeps_it() {
        let ends_after = |bytes_a_ms: usize| {
            let mut patience = Patience::new(2_000);
            (1..100_000u64).find(|_| {
                patience.pass(1);
                patience.earn(if patience.is_over() { 0 } else { bytes_a_ms });
                patience.is_over()
            })
        };
        let least = usize::try_from(LEAST_RATE).unwrap();
        assert_eq!(ends_after(0), Some(2_000));
        assert!((2_000..2_100).contains(&ends_after(1).unwrap()));
        assert_eq!(ends_after(least), None);
    }

    #[test]
    fn nothing_is_saved_up_beyond_the_whole() {
        let mut patience = Patience::new(2_000);
        patience.earn(usize::MAX);
        assert_eq!(patience.left_ms(), 2_000);
        patience.pass(1_999);
        assert!(!patience.is_over());
        patience.pass(u64::MAX);
        assert!(patience.is_over());
        patience.refill();
        assert_eq!(patience.left_ms(), patience.whole_ms());
    }
}
