//! Opening a journal: what is there, what of it can be read, and where to go on.
//!
//! Only the end of the last segment can be torn by a crash, because a segment is synced before the next one is begun.
//! A bad place there is **torn** if nothing readable follows it and no durable mark (in the records, or the caller's
//! starting position) lies past it; it was never acknowledged and is cut off. Any other bad place is **damage**.
//!
//! After a cut, and after damage at the very end, the journal goes on in a new segment under a new incarnation. So each
//! segment belongs to one incarnation, which its first record names.

use crate::cursor::POINT_AHEAD;
use crate::disk::Disk;
use crate::error::{AppendError, Cause, Cut, Damage, OpenError};
use crate::files::Files;
use crate::journal::BIRTH_LEN;
use crate::options::Options;
use crate::position::Position;
use crate::record::{MAX_BODY, Record};
use crate::segment::HEADER_LEN;
use crate::survey::Survey;
use crate::walk::Walk;
use kappadb_core::Lseq;
use std::sync::Arc;

/// What was found when the journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// The name of this life of the replica.
    pub incarnation: [u8; 16],
    /// A torn tail that was cut off.
    pub cut: Option<Cut>,
    /// Places that cannot be read, in the part that was scanned.
    pub damage: Vec<Damage>,
    /// The journal had been closed cleanly.
    pub clean: bool,
    /// Where the scan began: at the `start` that was asked for, or before it where that could not be relied on.
    pub scanned_from: Position,
    /// Files in the folder that are not segments; left alone.
    pub ignored: Vec<String>,
}

/// What the writer is told.
pub(crate) struct Recovered {
    pub files: Arc<Files>,
    pub entry: Entry,
    pub next_lseq: Lseq,
    pub closed: bool,
    pub cut: Option<Cut>,
    pub damage: Vec<Damage>,
    pub scanned_from: Position,
    pub survey: Survey,
}

/// Where writing goes on.
pub(crate) enum Entry {
    /// Behind the last record.
    Resume { end: Position, incarnation: [u8; 16] },
    /// In a new segment with a new incarnation, after `previous`, the end of the segment before.
    NewSegment { segment: u32, previous: Position },
}

pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    options: &Options,
    start: Option<Position>,
    random16: &mut dyn FnMut() -> [u8; 16],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Recovered, OpenError> {
    let survey = Survey::take(&*disk)?;
    let start = start.unwrap_or(Position::START);
    let is_whole = survey.missing().is_empty();
    let hint = Some(start).filter(|_| is_whole && survey.segments.contains_key(&start.segment));
    let nonce = survey.nonce(hint.map_or(0, |hint| hint.segment)).unwrap_or_else(random16);
    let files = Arc::new(Files::new(disk, nonce, &survey, options.open_files));
    let found =
        Search { files: &files, survey: &survey, progress }.find(hint.filter(|&hint| hint > Position::START));
    let (mut found, torn) = found.settle(&files, &survey, start);
    let shortfall = found.note_shortfall(survey.end(), start, options);
    let entry = entry(&files, &survey, &found, torn.as_ref(), shortfall)?;
    let closed = found.closed && matches!(entry, Entry::Resume { .. });
    let Found { from: scanned_from, damage, next_lseq, .. } = found;
    Ok(Recovered { files, entry, next_lseq, closed, cut: torn, damage, scanned_from, survey })
}

/// What a walk over the journal found.
struct Found {
    from: Position,
    damage: Vec<Damage>,
    /// The last thing in it is a [`Record::Closed`].
    closed: bool,
    next_lseq: Lseq,
    /// The greatest durable mark.
    mark: Position,
}

struct Search<'a> {
    files: &'a Arc<Files>,
    survey: &'a Survey,
    progress: &'a mut dyn FnMut(u64, u64),
}

impl Search<'_> {
    fn find(mut self, hint: Option<Position>) -> Found {
        let hinted = hint.and_then(|hint| self.try_hint(hint));
        hinted.unwrap_or_else(|| self.run(&mut self.walk(Position::START, Some(0))))
    }

    /// Walks from `hint` if a record begins there; else from the start of its segment, and if that shows that `hint` is
    /// no boundary between records, or there is no record to take the lseq from, the hint is of no use.
    fn try_hint(&mut self, hint: Position) -> Option<Found> {
        if let Some((lseq, _)) = record_at(self.files, hint) {
            return Some(self.run(&mut self.walk(hint, Some(lseq))));
        }
        let mut walk = self.walk(Position { offset: 0, ..hint }, None).watch(hint);
        let found = self.run(&mut walk);
        (walk.met() && walk.is_exact()).then_some(found)
    }

    fn walk(&self, from: Position, lseq: Option<Lseq>) -> Walk {
        Walk::new(self.files.clone(), from, self.survey.end(), lseq)
    }

    fn run(&mut self, walk: &mut Walk) -> Found {
        let from = walk.at();
        let (mut damage, mut closed) = (Vec::new(), false);
        let mut meter = Meter::new(self.survey, from, self.progress);
        while let Some(item) = walk.next() {
            closed = matches!(&item, Ok(located) if located.record == Record::Closed);
            damage.extend(item.err());
            meter.at(walk.at());
        }
        meter.done();
        Found { from, damage, closed, next_lseq: walk.next_lseq(), mark: walk.mark() }
    }
}

/// Turns positions into bytes done of bytes to do, told once a mebibyte.
struct Meter<'a> {
    survey: &'a Survey,
    from: Position,
    total: u64,
    told: u64,
    /// The segment last seen, and the bytes before it.
    segment: (u32, u64),
    tell: &'a mut dyn FnMut(u64, u64),
}

impl<'a> Meter<'a> {
    const STEP: u64 = 1 << 20;

    fn new(survey: &'a Survey, from: Position, tell: &'a mut dyn FnMut(u64, u64)) -> Meter<'a> {
        let end = survey.end();
        let total = (survey.bytes(from.segment..end.segment) + end.offset).saturating_sub(from.offset);
        Meter { survey, from, total, told: 0, segment: (from.segment, 0), tell }
    }

    fn at(&mut self, at: Position) {
        if at.segment != self.segment.0 {
            self.segment = (at.segment, self.survey.bytes(self.from.segment..at.segment));
        }
        let done = (self.segment.1 + at.offset).saturating_sub(self.from.offset).min(self.total);
        if done >= self.told + Self::STEP {
            self.told = done;
            (self.tell)(done, self.total);
        }
    }

    fn done(self) {
        (self.tell)(self.total, self.total);
    }
}

fn record_at(files: &Files, at: Position) -> Option<(Lseq, Record)> {
    let mut cursor = files.cursor(at.segment, u64::MAX, POINT_AHEAD).ok()?;
    let frame = cursor.frame(at.offset).ok()?;
    Some((frame.head.first_lseq, Record::decode(&frame.body).ok()?))
}

impl Found {
    /// Takes a torn tail out of the damage.
    fn settle(mut self, files: &Files, survey: &Survey, start: Position) -> (Found, Option<Cut>) {
        let end = survey.end();
        let mark = self.mark.max(start);
        let Some(from) = self.torn_from(files, end, mark) else { return (self, None) };
        let is_kept = |d: &Damage| d.segment != end.segment || d.from < from;
        let (kept, torn): (Vec<_>, Vec<_>) = self.damage.drain(..).partition(is_kept);
        self.damage = kept;
        // Lseqs in the torn tail were never durable, so nobody has seen them: they are used again. Not so if a damaged
        // place before it may have held them.
        let lost = torn.first().map(|damage| damage.lseqs.clone()).unwrap_or(self.next_lseq..self.next_lseq);
        if !self.damage.iter().any(|damage| !lost.is_empty() && damage.lseqs == lost) {
            self.next_lseq = lost.start;
        }
        self.closed = false;
        (self, Some(Cut { segment: end.segment, from, to: end.offset }))
    }

    fn torn_from(&self, files: &Files, end: Position, mark: Position) -> Option<u64> {
        // A segment is synced when its header and first record are written, before anything else is.
        let is_sound = || files.header(end.segment).is_ok_and(|state| state.header().is_some());
        if end.offset <= BIRTH_LEN
            && mark <= (Position { offset: 0, ..end })
            && end > Position::START
            && !is_sound()
        {
            return Some(0);
        }
        let last = self.damage.last()?;
        let at = Position { segment: last.segment, offset: last.from };
        let is_torn = touches_end(last, end) && last.cause == Cause::Record && at >= mark;
        is_torn.then_some(last.from)
    }

    /// The caller knows that the journal was durable up to `start`. If it is shorter now, that is damage too.
    fn note_shortfall(&mut self, end: Position, start: Position, options: &Options) -> bool {
        if start <= end {
            return false;
        }
        let segments = u64::from(start.segment - end.segment);
        let (from, to) = if segments == 0 { (end.offset, start.offset) } else { (end.offset, end.offset) };
        let most = segments.saturating_mul(options.segment_bytes.saturating_add(MAX_BODY as u64));
        let lost = most.saturating_add(start.offset).saturating_sub(end.offset.min(start.offset));
        let lseqs = self.next_lseq..self.next_lseq.saturating_add(lost);
        self.next_lseq = lseqs.end;
        self.damage.push(Damage { segment: end.segment, from, to, lseqs, cause: Cause::Absent });
        true
    }
}

fn touches_end(damage: &Damage, end: Position) -> bool {
    damage.segment == end.segment && damage.to >= end.offset
}

/// Where to go on: behind the last record if all is well there.
fn entry(
    files: &Files,
    survey: &Survey,
    found: &Found,
    cut: Option<&Cut>,
    shortfall: bool,
) -> Result<Entry, AppendError> {
    let end = survey.end();
    let hurt = cut.is_some() || shortfall || found.damage.iter().any(|damage| touches_end(damage, end));
    let first = record_at(files, Position { offset: HEADER_LEN, ..end }).map(|(_, record)| record);
    if let (false, Some(Record::Incarnation(incarnation))) = (hurt, first) {
        return Ok(Entry::Resume { end, incarnation });
    }
    let kept = cut.map_or(end.offset, |cut| cut.from);
    if kept > HEADER_LEN {
        let previous = Position { offset: kept, ..end };
        let segment = end.segment.checked_add(1).ok_or(AppendError::Exhausted)?;
        return Ok(Entry::NewSegment { segment, previous });
    }
    // Nothing is in it: its number is free.
    let before = survey.segments.range(..end.segment).next_back();
    let previous = before.map_or(Position::START, |(&segment, &offset)| Position { segment, offset });
    Ok(Entry::NewSegment { segment: end.segment, previous })
}
