//! A view at work: the generation that answers, the one being made beside it, and the thread that moves both.

use crate::control::{Control, Job, Patience, Progress, Turn};
use crate::directory::{Directory, Stamp};
use crate::generation::{Generation, Step};
use crate::mark::{Exclusions, Mark, excludes_all};
use crate::source::Source;
use crate::watch::Watchers;
use crate::{Notice, Payloads, View, ViewError};
use kappadb_core::{Lseq, Threads};
use kappadb_store::{Store, StoreError};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// After so long without work an indexer looks once more, for what can be put off, and lets go of its thread.
const IDLE: Duration = Duration::from_secs(2);
/// Between two tries after errors: the first pause, doubled with each error in a row, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// What a view's indexer and its handles share.
pub(crate) struct Core<V: View> {
    pub name: String,
    pub view: Arc<V>,
    pub source: Arc<dyn Source>,
    pub control: Arc<Control>,
    pub threads: Arc<dyn Threads>,
    pub watchers: Watchers,
    /// The generation that answers. Only the indexer changes it, with the lock held: a reader keeps its rows alive.
    slot: RwLock<Option<Generation<V>>>,
}

impl<V: View> Core<V> {
    /// A view that does not run: whoever asks it is told so.
    pub fn off(view: V, source: Arc<dyn Source>, threads: Arc<dyn Threads>) -> Arc<Self> {
        let (name, control) = (view.name().to_owned(), Control::off(view.name(), threads.clone()));
        let (view, watchers, slot) = (Arc::new(view), Watchers::default(), RwLock::new(None));
        Arc::new(Core { name, view, source, control, threads, watchers, slot })
    }

    /// Looks at the generation that answers.
    pub fn current<R>(&self, look: impl FnOnce(&Generation<V>) -> R) -> Option<R> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    /// The same, unless somebody changes it just now.
    pub fn try_read<R>(&self, look: impl FnOnce(&V::Index) -> R) -> Option<R> {
        self.slot.try_read().ok()?.as_ref()?.try_read(look)
    }

    /// Looks at the index that answers.
    pub fn read<R>(&self, look: impl FnOnce(&V::Index) -> R) -> Result<R, ViewError> {
        self.current(|generation| generation.read(look)).flatten().ok_or_else(|| match self.control.error() {
            _ if self.control.is_off() => ViewError::Off(self.name.clone()),
            Some(reason) => ViewError::Stalled { view: self.name.clone(), reason },
            None => ViewError::Rebuilding(self.name.clone()),
        })
    }

    fn replace(&self, generation: Option<Generation<V>>) {
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = generation;
    }

    /// True if [`Core::ready`] would not wait. It may say no although that is so.
    pub fn is_ready(&self) -> bool {
        let count = self.source.exclusions_count();
        count.is_some_and(|count| self.control.is_at(self.source.end(), count))
    }

    pub fn ready(&self, patience: Patience) -> Result<(), ViewError> {
        if self.is_ready() {
            return Ok(());
        }
        // Exclusions first: what arrives later is not part of the question.
        let excluded = self.source.exclusions();
        let end = self.source.end();
        let applied =
            |progress: &Progress| progress.next >= end && excludes_all(&progress.excluded, &excluded);
        self.control.wait(patience, applied)?;
        // A feed may count again: then nothing may leave it out, not even work that was begun before. If the view left it out because of
        // something newer than the question, that is no reason to wait.
        loop {
            let Progress { excluded: left_out, turn, .. } = self.control.progress();
            let counting = self.source.exclusions();
            let fits = match &turn {
                Turn::None => true,
                Turn::Begun => false,
                Turn::Excluding(those) => excludes_all(&counting, those),
            };
            if fits && excludes_all(&counting, &left_out) {
                return Ok(());
            }
            let changed = |now: &Progress| now.excluded != left_out || now.turn != turn;
            self.control.wait(patience, |progress| applied(progress) && changed(progress))?;
        }
    }

    pub fn ready_at(&self, lseq: Lseq) -> Result<(), ViewError> {
        self.control.wait(Patience::OWN, |progress| progress.next >= lseq)
    }
}

/// The thread's side.
pub(crate) struct Indexer<V: View> {
    core: Arc<Core<V>>,
    directory: Directory,
    /// The generation being made, and the number of the rebuild that asked for it.
    coming: Option<(Generation<V>, Option<u64>)>,
    failures: u32,
    /// It has looked for work before. Who opens a database to ask one question would begin upkeep each time, and end it before it is done.
    settled: bool,
}

impl<V: View> Indexer<V> {
    /// Sets a view up from what lies in `store`. `previous` is the same view as it was before its version was raised, so
    /// that its rows can go on answering until the new ones have caught up.
    pub fn new(
        view: V,
        previous: Option<V>,
        source: Arc<dyn Source>,
        store: Arc<dyn Store>,
        threads: Arc<dyn Threads>,
    ) -> Result<(Self, Arc<Core<V>>), ViewError> {
        let (name, view) = (view.name().to_owned(), Arc::new(view));
        let directory = Directory::new(store, &name)?;
        let control = Control::new(&name, threads.clone());
        let (watchers, slot) = (Watchers::default(), RwLock::new(None));
        let core = Arc::new(Core { name, view, source, control, threads, watchers, slot });
        let mut indexer =
            Indexer { core: core.clone(), directory, coming: None, failures: 0, settled: false };
        indexer.find(previous.map(Arc::new))?;
        // What is all there already answers from the start, without waiting for the thread.
        if let Err(error) = indexer.settle() {
            tracing::warn!(view = core.name, %error, "opening the view failed, and will be tried again");
        }
        indexer.report();
        Ok((indexer, core))
    }

    /// Looks for rows of this version or of the previous one, and sweeps away what an interrupted rebuild left.
    fn find(&mut self, previous: Option<Arc<V>>) -> Result<(), ViewError> {
        let version = self.core.view.version();
        let pointer = self.directory.pointer()?;
        if let Some(stamp) = pointer.filter(|stamp| stamp.version == version) {
            self.directory.sweep(&[stamp])?;
            self.core.replace(Some(self.generation(self.core.view.clone(), stamp)?));
            return Ok(());
        }
        // Half-made rows of this version are gone on with: their cursor says how far they are.
        let unfinished = self.directory.all()?.into_iter().filter(|stamp| stamp.version == version).max();
        let stamp = unfinished.map_or_else(|| self.directory.fresh(version), Ok)?;
        let coming = self.generation(self.core.view.clone(), stamp)?;
        let keep: Vec<Stamp> = pointer.into_iter().chain([stamp]).collect();
        self.directory.sweep(&keep)?;
        self.coming = Some((coming, None));
        if let (Some(stamp), Some(previous)) = (pointer, previous)
            && stamp.version == previous.version()
        {
            self.core.replace(Some(self.generation(previous, stamp)?));
        }
        Ok(())
    }

    fn generation(&self, view: Arc<V>, stamp: Stamp) -> Result<Generation<V>, StoreError> {
        let payloads = Payloads::new(self.core.source.clone());
        Ok(Generation::new(view, stamp, self.directory.tree(stamp)?, payloads, self.core.threads.clone()))
    }

    /// Opens what there is; switches to the coming generation if it lacks nothing.
    fn settle(&mut self) -> Result<(), ViewError> {
        self.core.current(|current| current.open(&*self.core.source).map(drop)).transpose()?;
        if let Some((coming, _)) = &self.coming {
            coming.open(&*self.core.source)?;
            if coming.is_current(&*self.core.source) {
                self.switch()?;
            }
        }
        Ok(())
    }

    /// Runs until there is nothing to do, or until closed.
    pub fn run(&mut self) {
        /// Whatever ends the thread: those who wait for it must not wait for ever.
        struct End(Arc<Control>, bool);
        impl Drop for End {
            fn drop(&mut self) {
                if self.1 {
                    self.0.ended();
                }
            }
        }
        let control = self.core.control.clone();
        let mut end = End(control.clone(), true);
        let mut looked = false;
        loop {
            let job = control.next(if looked { Duration::ZERO } else { self.pause() }, looked);
            match job {
                Job::Work | Job::Look => {}
                Job::Rest => {
                    end.1 = false;
                    return;
                }
                Job::Stop => return,
            }
            looked = false;
            match self.work() {
                Ok(more) => {
                    self.failures = 0;
                    control.succeeded();
                    self.agree();
                    if more {
                        control.wake();
                    }
                    let is_quiet = || self.core.current(Generation::until_quiet).flatten().is_none();
                    looked = job == Job::Look && (is_quiet() || !self.core.threads.are_many());
                }
                Err(error) => self.fail(&error),
            }
        }
    }

    /// Ends what it has begun, once it is closed.
    pub fn end(&self) {
        self.core.current(Generation::rest);
        self.core.watchers.close();
    }

    /// Notes that the view leaves out what it should, so that who reads need not compare.
    fn agree(&self) {
        let count = self.core.source.exclusions_count();
        let excluded = self.core.source.exclusions();
        if let Some(count) = count.filter(|count| self.core.source.exclusions_count() == Some(*count)) {
            self.core.control.agree(count, &excluded);
        }
    }

    /// How long to wait for something to do.
    fn pause(&self) -> Duration {
        self.core.current(Generation::until_quiet).flatten().map_or(IDLE, |left| left.min(IDLE))
    }

    fn fail(&mut self, error: &ViewError) {
        tracing::warn!(view = self.core.name, %error, "indexing failed, and will be tried again");
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LAST_PAUSE);
        self.failures += 1;
        // The batch may have been written all the same, and its notices are lost then.
        self.core.watchers.tell_all_changed();
        // Rows that are of no use are made anew, and whoever waits need not know: as often as the log changes under them, and once if they are damaged.
        let is_hopeless = match error {
            ViewError::Foreign => false,
            damage if damage.wants_rebuild() => self.failures > 1,
            _ => true,
        };
        self.core.control.failed(error, pause, is_hopeless);
    }

    /// One step of each generation. True if there is more to do at once.
    fn work(&mut self) -> Result<bool, ViewError> {
        if let (None, Some(number)) = (&self.coming, self.core.control.rebuild_due()) {
            self.start_over(Some(number))?;
        }
        let rest = self.core.control.rest_due();
        self.settled |= rest.is_some();
        self.core.control.turn(Turn::Begun);
        let excluded = self.core.source.exclusions();
        self.core.control.turn(Turn::Excluding(excluded.clone()));
        let more = self.step_current(&excluded);
        self.report();
        let more = self.step_coming(&excluded)? | more?;
        self.report();
        self.settled = true;
        if let Some(rest) = rest
            && !more
            && !self.core.current(Generation::is_kept_up).unwrap_or(false)
        {
            self.core.control.rested(rest);
        }
        // A rebuild asked for while another was under way is still to be begun.
        Ok(more || self.core.control.rebuild_due().is_some())
    }

    /// Steps a generation and looks after its upkeep; tells watchers first, whatever becomes of that. True if there is more to
    /// do at once.
    fn step(
        &self,
        generation: &Generation<V>,
        excluded: &Exclusions,
        tell: impl FnOnce(&[Notice]),
    ) -> Result<bool, ViewError> {
        let stop = || self.core.control.interrupted();
        let Step { notices, more } = generation.step(&*self.core.source, excluded, &stop)?;
        self.core.control.moved();
        tell(&notices);
        if more || self.settled {
            let control = &self.core.control;
            let is_quiet = generation.until_quiet().is_none() || control.rest_due().is_some();
            generation.keep_up(control, !more && is_quiet)?;
        }
        Ok(more)
    }

    fn step_current(&mut self, excluded: &Exclusions) -> Result<bool, ViewError> {
        let tell = |notices: &[Notice]| self.core.watchers.tell(notices);
        match self.core.current(|current| self.step(current, excluded, tell)) {
            None => Ok(false),
            Some(Ok(more)) => Ok(more),
            Some(Err(error)) => {
                if error.wants_rebuild() {
                    tracing::warn!(view = self.core.name, %error, "the view is rebuilt");
                    self.core.replace(None);
                    if self.coming.is_none() {
                        self.start_over(None)?;
                    }
                }
                Err(error)
            }
        }
    }

    fn step_coming(&mut self, excluded: &Exclusions) -> Result<bool, ViewError> {
        let Some((coming, number)) = &self.coming else { return Ok(false) };
        let number = *number;
        match self.step(coming, excluded, |_| ()) {
            Ok(true) => Ok(true),
            Ok(false) => self.switch().map(|()| false),
            Err(error) => {
                if error.wants_rebuild() {
                    self.start_over(number)?;
                }
                Err(error)
            }
        }
    }

    /// Starts a new generation from nothing, in place of the one being made, if any.
    fn start_over(&mut self, number: Option<u64>) -> Result<(), ViewError> {
        self.coming = None;
        let stamp = self.directory.fresh(self.core.view.version())?;
        self.coming = Some((self.generation(self.core.view.clone(), stamp)?, number));
        Ok(())
    }

    /// The coming generation answers from now on; the rows of the old one go.
    fn switch(&mut self) -> Result<(), ViewError> {
        let Some((coming, number)) = self.coming.take() else { return Ok(()) };
        let stamp = coming.stamp;
        if let Err(error) = self.directory.point(stamp) {
            self.coming = Some((coming, number));
            return Err(error.into());
        }
        self.core.replace(Some(coming));
        self.core.watchers.tell_all_changed();
        self.report();
        if let Some(number) = number {
            self.core.control.rebuilt(number);
        }
        Ok(self.directory.sweep(&[stamp])?)
    }

    /// Tells how far the generation that answers has come, or the one that will.
    fn report(&self) {
        let current = self.core.current(|current| current.mark());
        let coming = || self.coming.as_ref().and_then(|(coming, _)| coming.mark());
        let answering = matches!(current, Some(Some(_)));
        let before = self.core.control.progress();
        let mark = current.flatten().or_else(coming);
        let last_known = || Mark {
            next: before.next,
            skipped: before.skipped,
            excluded: before.excluded.clone(),
            ..Mark::default()
        };
        let Mark { next, skipped, excluded, .. } = mark.unwrap_or_else(last_known);
        let rebuilding = self.coming.is_some();
        self.core.control.report(Progress {
            answering,
            rebuilding,
            next,
            skipped,
            excluded,
            turn: before.turn,
        });
    }
}
