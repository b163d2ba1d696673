//! How many bytes of results may be in flight for one query.

use crate::error::SessionError;
use kappadb_core::limits::MAX_CREDIT;

/// What is left. Both sides count; the asker's count is never below the answerer's, so an honest answerer is never
/// accused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credit(i64);

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Credit {
    pub fn new(bytes: u64) -> Self {
        Credit(signed(bytes))
    }

    /// True if a frame may be sent, however long: the balance may go below 0 by that one.
    pub fn is_left(self) -> bool {
        self.0 > 0
    }

    /// Bytes after whose grant so many may be sent.
    pub fn short_of(self, most: u64) -> u64 {
        u64::try_from(signed(most).saturating_sub(self.0)).unwrap_or(0)
    }

    pub fn spend(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(signed(bytes as u64));
    }

    pub fn grant(&mut self, bytes: u64) -> Result<(), SessionError> {
        self.0 = self.0.saturating_add(signed(bytes));
        if self.0 > signed(MAX_CREDIT) { Err(SessionError::Limit("MAX_CREDIT")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_may_overdraw_and_the_next_may_not() {
        let mut credit = Credit::new(10);
        credit.spend(1000);
        assert!(!credit.is_left());
        assert_eq!(credit.grant(990), Ok(()));
        assert!(!credit.is_left());
        assert_eq!(credit.grant(1), Ok(()));
        assert!(credit.is_left());
        assert_eq!(credit.grant(u64::MAX), Err(SessionError::Limit("MAX_CREDIT")));
    }
}
