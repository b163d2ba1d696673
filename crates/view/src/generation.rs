//! One generation of a view: an index over the rows of one tree, and how it moves forward.

use crate::control::Control;
use crate::directory::Stamp;
use crate::mark::{Mark, excludes_all, is_excluded};
use crate::source::{Pace, Source};
use crate::upkeep::Helper;
use crate::{Arrived, Change, Exclusions, Index, Notice, Payloads, View, ViewError};
use kappadb_core::Threads;
use kappadb_entry::decode_block;
use kappadb_feed::Arrival;
use kappadb_store::{Overlay, Tree};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// Entries that are taken out at once, at most.
const MAX_WITHDRAWN: usize = 4_096;

/// There is time to tidy once nothing has come for so long. Between two batches of an import nothing waits either.
const QUIET: Duration = Duration::from_millis(500);

const CLOSED: ViewError = ViewError::Inconsistent("the index is not open");

pub(crate) struct Generation<V: View> {
    view: Arc<V>,
    pub stamp: Stamp,
    tree: Arc<dyn Tree>,
    payloads: Payloads,
    threads: Arc<dyn Threads>,
    /// None after a failure, until it is opened anew.
    index: RwLock<Option<V::Index>>,
    /// Only its indexer changes it, so it is read and written without a gap.
    position: Mutex<Position>,
    /// The job of the open index that is under way.
    helper: Mutex<Option<Helper<V::Index>>>,
}

#[derive(Clone)]
struct Position {
    /// None after a failure: whether the last batch was committed is not known.
    mark: Option<Mark>,
    pace: Pace,
    /// When something was taken in last, by the time of the threads, since the index was opened.
    changed: Option<Duration>,
}

/// What one step did.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub notices: Vec<Notice>,
    /// There is more to do at once.
    pub more: bool,
}

impl<V: View> Generation<V> {
    pub fn new(
        view: Arc<V>,
        stamp: Stamp,
        tree: Arc<dyn Tree>,
        payloads: Payloads,
        threads: Arc<dyn Threads>,
    ) -> Self {
        let position = Position { mark: None, pace: Pace::new(), changed: None };
        Generation {
            view,
            stamp,
            tree,
            payloads,
            threads,
            index: RwLock::new(None),
            position: Mutex::new(position),
            helper: Mutex::default(),
        }
    }

    fn position(&self) -> Position {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_position(&self, position: Position) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }

    /// How far it has come, if it is open.
    pub fn mark(&self) -> Option<Mark> {
        self.position().mark
    }

    /// Looks at the index; `None` if it is not open.
    pub fn read<R>(&self, look: impl FnOnce(&V::Index) -> R) -> Option<R> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    /// The same, unless somebody changes it just now.
    pub fn try_read<R>(&self, look: impl FnOnce(&V::Index) -> R) -> Option<R> {
        self.index.try_read().ok()?.as_ref().map(look)
    }

    /// Opens the index if it is not open. Errors that [want a rebuild](ViewError::wants_rebuild) mean that these rows will
    /// never be of use.
    pub fn open(&self, source: &dyn Source) -> Result<Mark, ViewError> {
        if let Some(mark) = self.mark() {
            return Ok(mark);
        }
        let mark = Mark::read(&*self.tree)?;
        if !fits(source, &mark)? {
            return Err(ViewError::Foreign);
        }
        // What it did was for the index that is gone.
        self.rest();
        let index = guarded(|| {
            let mut index = self.view.open(self.tree.clone())?;
            index.payloads(self.payloads.clone());
            Ok(index)
        })?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Some(index);
        self.set_position(Position { mark: Some(mark.clone()), ..self.position() });
        Ok(mark)
    }

    /// True if it lacks nothing of what `source` has now.
    pub fn is_current(&self, source: &dyn Source) -> bool {
        let (end, excluded) = (source.end(), source.exclusions());
        self.mark().is_some_and(|mark| mark.next >= end && mark.excluded == excluded)
    }

    /// Does one bounded piece of work, without what is `excluded`. `stop` is asked now and then, and ends it early.
    pub fn step(
        &self,
        source: &dyn Source,
        excluded: &Exclusions,
        stop: &dyn Fn() -> bool,
    ) -> Result<Step, ViewError> {
        let before = self.open(source)?;
        let mark = before.survives(&source.forgotten()).ok_or(ViewError::Foreign)?;
        if !excludes_all(excluded, &mark.excluded) {
            return Err(ViewError::Foreign);
        }
        if *excluded != mark.excluded {
            return self.exclude(source, mark, excluded.clone(), stop);
        }
        let end = source.end();
        if mark.next >= end {
            return Ok(Step::default());
        }
        self.advance(source, mark, end)
    }

    /// Applies the next batch of arrivals.
    fn advance(&self, source: &dyn Source, mark: Mark, end: u64) -> Result<Step, ViewError> {
        let Position { mut pace, .. } = self.position();
        let arrivals = pace.read(source, mark.next)?;
        let mut after = mark.clone();
        // Nothing at all before the end: these numbers were lost.
        after.next = arrivals.last().map_or(end, |last| last.lseq + 1);
        after.last = arrivals.last().map(|last| (last.lseq, last.id)).or(mark.last);
        let counts = |a: &&Arrival| !is_excluded(&mark.excluded, &a.id.feed, a.id.seq);
        let mut counting = arrivals.iter().filter(counts).peekable();
        let mut entries: Vec<Arrived> = Vec::with_capacity(arrivals.len());
        while let Some(arrival) = counting.next() {
            entries.extend(self.decode(arrival, counting.peek().copied(), &mut after.skipped));
        }
        let changes: Vec<Change<'_>> = entries.iter().map(Change::Hold).collect();
        let more = after.next < end;
        let notices = self.apply(&changes, &mark, after, pace)?;
        Ok(Step { notices, more })
    }

    /// The entry of an arrival, if it is of interest; what cannot be decoded is counted and passed over, and never stops the rest.
    fn decode(&self, arrival: &Arrival, next: Option<&Arrival>, skipped: &mut u64) -> Option<Arrived> {
        if !self.view.wants(arrival, next) {
            return None;
        }
        let entry = decode_block(&arrival.block);
        *skipped += u64::from(entry.is_err());
        Some(Arrived { lseq: arrival.lseq, id: arrival.id, entry: entry.ok()? })
    }

    /// Takes out what no longer counts, by reading again what was applied. Forks are rare; a second index of feeds, only to
    /// find their entries faster, would be paid for with every block.
    ///
    /// The exclusions are recorded with the last of what is taken out: a crash in between starts over, and taking out again
    /// changes nothing.
    fn exclude(
        &self,
        source: &dyn Source,
        mark: Mark,
        excluded: Exclusions,
        stop: &dyn Fn() -> bool,
    ) -> Result<Step, ViewError> {
        let Position { mut pace, .. } = self.position();
        let (mut from, mut gone, mut notices) = (0, Vec::new(), Vec::new());
        while from < mark.next {
            if stop() {
                return Ok(Step { notices, more: true });
            }
            let arrivals = pace.read(source, from)?;
            from = arrivals.last().map_or(mark.next, |last| last.lseq + 1);
            let newly = |a: &&Arrival| {
                a.lseq < mark.next
                    && is_excluded(&excluded, &a.id.feed, a.id.seq)
                    && !is_excluded(&mark.excluded, &a.id.feed, a.id.seq)
            };
            gone.extend(
                arrivals.iter().filter(newly).filter_map(|arrival| self.decode(arrival, None, &mut 0)),
            );
            if gone.len() > MAX_WITHDRAWN {
                let changes: Vec<Change<'_>> = gone.iter().map(Change::Withdraw).collect();
                notices.extend(self.apply(&changes, &mark, mark.clone(), pace)?);
                gone.clear();
            }
        }
        // What was forgotten while it was read may not have been seen.
        let survived = mark.survives(&source.forgotten()).ok_or(ViewError::Foreign)?;
        let changes: Vec<Change<'_>> = gone.iter().map(Change::Withdraw).collect();
        let after = Mark { excluded, ..survived };
        notices.extend(self.apply(&changes, &mark, after, pace)?);
        Ok(Step { notices, more: true })
    }

    fn apply(
        &self,
        changes: &[Change<'_>],
        before: &Mark,
        after: Mark,
        pace: Pace,
    ) -> Result<Vec<Notice>, ViewError> {
        let taken = self.commit(before, after, pace, |index, rows| {
            if changes.is_empty() { Ok(Vec::new()) } else { index.apply(changes, rows) }
        });
        if !changes.is_empty() {
            self.set_position(Position { changed: Some(self.threads.elapsed()), ..self.position() });
        }
        taken
    }

    /// Changes the index and writes rows and mark in one batch. After an error the index is gone: in memory it may be
    /// ahead of its rows, and an error of the store does not say whether the rows were written.
    fn commit<R>(
        &self,
        before: &Mark,
        after: Mark,
        pace: Pace,
        change: impl FnOnce(&mut V::Index, &mut Overlay<'_>) -> Result<R, ViewError>,
    ) -> Result<R, ViewError> {
        let mut open = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let result = guarded(|| {
            let index = open.as_mut().ok_or(CLOSED)?;
            let mut rows = Overlay::new(&*self.tree);
            let result = change(index, &mut rows)?;
            after.write(before, &mut rows);
            self.tree.apply(&rows.into_batch())?;
            Ok(result)
        });
        let mark = if result.is_ok() { Some(after) } else { None };
        if mark.is_none() {
            *open = None;
        }
        self.set_position(Position { mark, pace, ..self.position() });
        result
    }

    fn helper(&self) -> MutexGuard<'_, Option<Helper<V::Index>>> {
        self.helper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends upkeep, after the piece that is being done.
    pub fn rest(&self) {
        *self.helper() = None;
    }

    /// True if upkeep is under way.
    pub fn is_kept_up(&self) -> bool {
        self.helper().is_some()
    }

    /// How long until there is time to tidy, if there will be soon.
    pub fn until_quiet(&self) -> Option<Duration> {
        let changed = self.position().changed?;
        Some((changed + QUIET).saturating_sub(self.threads.elapsed())).filter(|left| !left.is_zero())
    }

    /// Does the upkeep that is due, here and now: for a generation that nobody else steps.
    pub fn keep_up_now(&self) -> Result<(), ViewError> {
        loop {
            let mut open = self.index.write().unwrap_or_else(PoisonError::into_inner);
            let job = guarded(|| Ok(open.as_mut().and_then(|index| index.upkeep(false))))?;
            drop(open);
            let Some(mut job) = job else { return Ok(()) };
            while guarded(|| job.work())? {}
            let Position { mark: Some(mark), pace, .. } = self.position() else { return Ok(()) };
            self.commit(&mark, mark.clone(), pace, |index, rows| job.install(index, rows))?;
        }
    }

    /// Puts upkeep that is finished in place, and starts the next if there is any. `idle` if there is time to tidy.
    pub fn keep_up(&self, control: &Arc<Control>, idle: bool) -> Result<(), ViewError> {
        let Position { mark: Some(mark), pace, .. } = self.position() else { return Ok(()) };
        let mut helper = self.helper();
        if let Some(busy) = &*helper {
            let Some(outcome) = busy.outcome() else { return Ok(()) };
            *helper = None;
            self.commit(&mark, mark.clone(), pace, |index, rows| outcome?.install(index, rows))?;
        }
        let mut open = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let job = guarded(|| Ok(open.as_mut().and_then(|index| index.upkeep(idle))))?;
        *helper = job.map(|job| Helper::start(job, control, &*self.threads)).transpose()?;
        Ok(())
    }
}

/// True if the mark is of this log, and of no more of it than there is. A fork once proven stays so.
fn fits(source: &dyn Source, mark: &Mark) -> Result<bool, ViewError> {
    if mark.next > source.end() || !excludes_all(&source.exclusions(), &mark.excluded) {
        return Ok(false);
    }
    let Some((lseq, id)) = mark.last else { return Ok(true) };
    if source.forgotten().contains_key(&id.feed) {
        return Ok(mark.survives(&source.forgotten()).is_some());
    }
    Ok(source.arrivals(lseq, 1)?.first().is_some_and(|arrival| (arrival.lseq, arrival.id) == (lseq, id)))
}

/// Runs a view's code; a panic in it becomes an error, so that one view cannot stop the others.
pub(crate) fn guarded<R>(call: impl FnOnce() -> Result<R, ViewError>) -> Result<R, ViewError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(ViewError::Panicked(text.to_owned()))
    })
}
