//! Whether this machine's clock is right, by what others' show. A writer whose clock is far off is read in the wrong place, or not at all for
//! a while; so it is told.

use crate::error::ReadError;
use crate::views::Parts;
use kappadb_core::FeedKey;
use std::collections::BTreeMap;
use std::fmt;

/// Clocks that differ by less are taken for right, in milliseconds: ten minutes.
const FAR: i64 = 600_000;
/// One writer whose clock is ahead says nothing; as many do.
const SEVERAL: usize = 2;

/// This machine's clock seems to be wrong. As text it is a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockDoubt {
    /// Milliseconds that this machine's clock is ahead of others; below zero if it is behind.
    pub ahead: i64,
    /// How many peers, or writers, say otherwise.
    pub others: usize,
    /// True if these are peers whose clocks were seen, false if they are writers who dated messages later.
    pub peers: bool,
}

impl fmt::Display for ClockDoubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClockDoubt { ahead, others, peers } = self;
        let direction = if *ahead > 0 { "ahead of" } else { "behind" };
        let who = match (peers, others) {
            (true, 1) => "that of the peer that answered".to_owned(),
            (true, n) => format!("those of the {n} peers that answered"),
            (false, n) => format!("what {n} other writers dated their messages by"),
        };
        write!(
            f,
            "this machine's clock is {} {direction} {who}; set it right, or what is written here stands in the wrong place",
            span(*ahead)
        )
    }
}

/// A span of time in its two largest units.
fn span(millis: i64) -> String {
    let minutes = millis.unsigned_abs() / 60_000;
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// The difference in the middle; of two the one that speaks less for a fault.
fn middle(mut differences: Vec<i64>) -> Option<i64> {
    differences.sort_unstable();
    let last = differences.len().checked_sub(1)?;
    let middle = [differences.get(last / 2), differences.get(last.div_ceil(2))];
    middle.into_iter().flatten().copied().min_by_key(|difference| difference.unsigned_abs())
}

pub(crate) fn clock_doubt(parts: &Parts) -> Result<Option<ClockDoubt>, ReadError> {
    let peers = parts.clock_differences();
    let others = peers.len();
    let doubt = match middle(peers) {
        Some(difference) => ClockDoubt { ahead: difference.saturating_neg(), others, peers: true },
        None => {
            let mut writers: Vec<i64> = dated_ahead(parts)?.into_values().collect();
            writers.sort_unstable();
            let others = writers.len();
            // As far as several agree.
            let Some(at) = others.checked_sub(SEVERAL) else { return Ok(None) };
            let difference = writers.get(at).copied().unwrap_or_default();
            ClockDoubt { ahead: difference.saturating_neg(), others, peers: false }
        }
    };
    Ok(Some(doubt).filter(|doubt| doubt.ahead.unsigned_abs() > FAR.unsigned_abs()))
}

/// Other writers that dated what they wrote after this machine's clock, and by how much.
fn dated_ahead(parts: &Parts) -> Result<BTreeMap<FeedKey, i64>, ReadError> {
    let mut writers = BTreeMap::new();
    for view in parts.all() {
        writers.extend(view.dated_ahead(FAR)?);
    }
    Ok(writers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_clock_among_several_is_not_believed() {
        for (differences, expected) in [
            (vec![], None),
            (vec![5], Some(5)),
            (vec![-9_000_000, 10], Some(10)),
            (vec![10, 9_000_000, 20], Some(20)),
            (vec![9_000_000, 9_000_001, 3], Some(9_000_000)),
            (vec![7, 8, 9_000_000, 9_000_000], Some(8)),
        ] {
            assert_eq!(middle(differences.clone()), expected, "{differences:?}");
        }
    }

    #[test]
    fn doubts_are_sentences() {
        let doubt = |ahead, others, peers| ClockDoubt { ahead, others, peers }.to_string();
        assert!(
            doubt(11_520_000, 1, true)
                .starts_with("this machine's clock is 3 h 12 min ahead of that of the peer")
        );
        assert!(doubt(-2 * 86_400_000, 2, false).contains("2 d 0 h behind what 2 other writers dated"));
        assert!(doubt(660_000, 3, true).contains("11 min ahead of those of the 3 peers"));
    }
}
