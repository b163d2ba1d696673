//! When a write is on the disk.

use std::time::Duration;

/// When a write is on the disk: the default of a database ([`Builder::durability`](crate::Builder::durability)), or of one write
/// ([`Write::durability`](crate::Write::durability)).
///
/// Whatever it is, a write that has returned is with the system: it can be read, later writes build on it, and it is there after this process
/// was killed (`kill -9`) or panicked. What differs is what is left when the power goes, or the system stops:
///
/// | | the write returns | after a power cut |
/// |---|---|---|
/// | [`Now`](Durability::Now) | when it is on the disk | it is there |
/// | [`Interval`](Durability::Interval) | at once | it is there if it returned longer ago than the interval |
/// | [`Buffered`](Durability::Buffered) | at once | it is there if anything made the disk take it: see there |
///
/// What is lost is always the end of what was written: no write is there without those before it, and none by half. Peers are told
/// of nothing that is not on the disk: whoever asks or is asked has it put there first. If the disk refuses what was not on it yet, later
/// writes fail until the database is opened again, which finds out what is there. After a power cut in between, what is derived from
/// the log may have to be made anew, which costs time when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// On the disk when it returns. Those that wait at the same time share one sync.
    #[default]
    Now,
    /// On the disk so long after it returned, or sooner. Needs a runtime whose timer is enabled.
    Interval(Duration),
    /// On the disk when the system puts it there, when a write that is to be there [`Now`](Durability::Now) or the end of an interval comes by, when a
    /// peer asks or is asked, and after [`Database::sync`](crate::Database::sync) and [`Database::close`](crate::Database::close).
    Buffered,
}
