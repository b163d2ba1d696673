use crate::control::{Control, Patience, thread_name};
use crate::indexer::{Core, Indexer};
use crate::source::Source;
use crate::{Index, PauseGuard, SystemThreads, View, ViewError, ViewHandle, verify};
use kappadb_core::{EntryId, FeedKey, Lseq, Thread, Threads};
use kappadb_query::Selector;
use kappadb_store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a view is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewStatus {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// The first arrival that is not indexed.
    pub lseq: Lseq,
    /// Arrivals that are not indexed.
    pub lag: u64,
    /// Arrivals that are no entries this release understands, or too damaged to be any.
    pub skipped: u64,
    /// True while it is made anew, be it beside an older one that answers or not.
    pub rebuilding: bool,
    /// Why it stands still, if it does.
    pub error: Option<String>,
}

/// A view without its type.
trait AnyView: Send + Sync {
    fn control(&self) -> &Arc<Control>;
    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError>;
    fn ready(&self, patience: Patience) -> Result<(), ViewError>;
    fn verify(&self, store: &dyn Store) -> Result<Vec<String>, ViewError>;
    fn status(&self) -> ViewStatus;
    /// Ends it, once its control is closed.
    fn end(&self);
}

/// A view and its thread, which is there while there is something to do.
struct Worker<V: View> {
    core: Arc<Core<V>>,
    /// The thread has it as long as it runs.
    indexer: Mutex<Indexer<V>>,
    thread: Mutex<Begun>,
}

#[derive(Default)]
struct Begun {
    /// The last one that was begun.
    thread: Option<Box<dyn Thread>>,
    /// There is to be none any more.
    over: bool,
}

impl Begun {
    /// Waits for the end of the one that was begun last.
    fn join(&mut self) {
        if self.thread.take().is_some_and(|thread| !thread.join()) {
            tracing::error!("an indexer panicked");
        }
    }
}

impl<V: View> Worker<V> {
    fn start(self: &Arc<Self>) -> io::Result<()> {
        let mut begun = self.thread();
        if begun.over {
            return Ok(());
        }
        // It is about to end.
        begun.join();
        let (worker, name) = (self.clone(), thread_name(&self.core.name));
        begun.thread = Some(self.threads.spawn(&name, Box::new(move || worker.indexer().run()))?);
        Ok(())
    }

    fn thread(&self) -> MutexGuard<'_, Begun> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn indexer(&self) -> MutexGuard<'_, Indexer<V>> {
        self.indexer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: View> Deref for Worker<V> {
    type Target = Core<V>;
    fn deref(&self) -> &Core<V> {
        &self.core
    }
}

impl<V: View> AnyView for Worker<V> {
    fn control(&self) -> &Arc<Control> {
        &self.control
    }

    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        self.read(|index| index.matches(selector, without))?
    }

    fn ready(&self, patience: Patience) -> Result<(), ViewError> {
        self.core.ready(patience)
    }

    fn verify(&self, store: &dyn Store) -> Result<Vec<String>, ViewError> {
        verify::verify(&self.core, store)
    }

    fn status(&self) -> ViewStatus {
        let progress = self.control.progress();
        ViewStatus {
            name: self.name.clone(),
            version: self.view.version(),
            lseq: progress.next,
            lag: self.source.end().saturating_sub(progress.next),
            skipped: progress.skipped,
            rebuilding: progress.rebuilding,
            error: self.control.error(),
        }
    }

    fn end(&self) {
        let mut thread = self.thread();
        thread.over = true;
        thread.join();
        drop(thread);
        self.indexer().end();
    }
}

/// All views of a replica. Clones share them; dropping the last one closes them.
#[derive(Clone)]
pub struct Views {
    inner: Arc<Inner>,
}

struct Inner {
    source: Arc<dyn Source>,
    store: Arc<dyn Store>,
    threads: Arc<dyn Threads>,
    views: Mutex<BTreeMap<String, Arc<dyn AnyView>>>,
}

impl Views {
    /// No views yet, over the arrivals of `source`; their rows will lie in `store`.
    pub fn new(source: impl Source + 'static, store: Arc<dyn Store>) -> Self {
        Views::with_threads(source, store, Arc::new(SystemThreads))
    }

    /// The same with other threads than the system's.
    pub fn with_threads(
        source: impl Source + 'static,
        store: Arc<dyn Store>,
        threads: Arc<dyn Threads>,
    ) -> Self {
        verify::sweep(&*store);
        let (source, views) = (Arc::new(source), Mutex::default());
        Views { inner: Arc::new(Inner { source, store, threads, views }) }
    }

    /// Adds a view, which is indexed from now on. If its rows are those of another version they are made anew; until that is
    /// done it answers with [`ViewError::Rebuilding`].
    pub fn register<V: View>(&self, view: V) -> Result<ViewHandle<V>, ViewError> {
        self.start(view, None)
    }

    /// The same, with the view as it was before its version was raised: that one goes on answering until the new
    /// rows have caught up.
    pub fn register_over<V: View>(&self, view: V, previous: V) -> Result<ViewHandle<V>, ViewError> {
        self.start(view, Some(previous))
    }

    /// A handle to a view that does not run: nothing is indexed for it, and whoever asks it is told so ([`ViewError::Off`]). Rows that it had stay, and
    /// are gone on with when it is registered another time.
    pub fn absent<V: View>(&self, view: V) -> ViewHandle<V> {
        ViewHandle::new(Core::off(view, self.inner.source.clone(), self.inner.threads.clone()))
    }

    fn start<V: View>(&self, view: V, previous: Option<V>) -> Result<ViewHandle<V>, ViewError> {
        let mut views = self.inner.lock();
        if views.contains_key(view.name()) {
            return Err(ViewError::Taken(view.name().to_owned()));
        }
        let Inner { source, store, threads, .. } = &*self.inner;
        let (indexer, core) = Indexer::new(view, previous, source.clone(), store.clone(), threads.clone())?;
        let control = Arc::downgrade(&core.control);
        self.inner.source.subscribe(Arc::new(move || {
            if let Some(control) = control.upgrade() {
                control.wake();
            }
        }));
        let (indexer, thread) = (Mutex::new(indexer), Mutex::default());
        let worker = Arc::new(Worker { core: core.clone(), indexer, thread });
        let starting = Arc::downgrade(&worker);
        core.control.start_with(move || starting.upgrade().map_or(Ok(()), |worker| worker.start()));
        core.control.wake();
        views.insert(core.name.clone(), worker);
        Ok(ViewHandle::new(core))
    }

    fn find(&self, name: &str) -> Result<Arc<dyn AnyView>, ViewError> {
        let views = self.inner.lock();
        views.get(name).cloned().ok_or_else(|| ViewError::Unknown(name.to_owned()))
    }

    fn all(&self) -> Vec<Arc<dyn AnyView>> {
        self.inner.lock().values().cloned().collect()
    }

    /// Pauses every view: [`ViewHandle::pause`] of each. Wise while the source itself is made anew.
    pub fn pause(&self) -> Vec<PauseGuard> {
        self.controls().into_iter().map(PauseGuard::new).collect()
    }

    fn controls(&self) -> Vec<Arc<Control>> {
        self.all().iter().map(|view| view.control().clone()).collect()
    }

    /// The entries that a peer who asks `selector` of the view `name`, and has dropped the feeds `without`, must be sent: see
    /// [`Index::matches`].
    pub fn matches(
        &self,
        name: &str,
        selector: &Selector,
        without: &BTreeSet<FeedKey>,
    ) -> Result<Vec<EntryId>, ViewError> {
        self.find(name)?.matches(selector, without)
    }

    /// [`ViewHandle::ready`] of the view `name`.
    pub fn ready(&self, name: &str) -> Result<(), ViewError> {
        self.find(name)?.ready(Patience::OWN)
    }

    /// The same, for `most` so long.
    ///
    /// # Errors
    /// [`ViewError::Late`] if it takes longer.
    pub fn ready_within(&self, name: &str, most: Duration) -> Result<(), ViewError> {
        self.find(name)?.ready(Patience::AtMost(most))
    }

    /// [`ViewHandle::ready`] of every view. The first error, after all were waited for.
    pub fn all_ready(&self) -> Result<(), ViewError> {
        self.all().iter().map(|view| view.ready(Patience::OWN)).fold(Ok(()), Result::and)
    }

    /// Waits until every view that goes forward is ready. One that stands still answers nothing, so nobody waits for it.
    ///
    /// # Errors
    /// [`ViewError::Closed`].
    pub fn settle(&self) -> Result<(), ViewError> {
        self.all().iter().try_for_each(|view| match view.ready(Patience::OWN) {
            Err(error @ ViewError::Closed) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "a view is not waited for");
                Ok(())
            }
            Ok(()) => Ok(()),
        })
    }

    /// How each view is doing, by name.
    pub fn status(&self) -> Vec<ViewStatus> {
        self.all().iter().map(|view| view.status()).collect()
    }

    /// Makes a view (or all) anew from the arrival log, and waits for it. The old rows answer until then.
    pub fn rebuild(&self, name: Option<&str>) -> Result<(), ViewError> {
        match name {
            Some(name) => self.find(name)?.control().rebuild(),
            None => self.all().iter().try_for_each(|view| view.control().rebuild()),
        }
    }

    /// Compares each view, once it is ready, with one made anew beside it from the same arrivals, and has it look for contradictions in its
    /// rows. Returns a sentence for each thing that is wrong; also for a view that stands still. A view
    /// whose rows cannot be read is made anew.
    pub fn verify(&self) -> Result<Vec<String>, ViewError> {
        let mut found = Vec::new();
        for view in self.all() {
            match view.ready(Patience::OWN).and_then(|()| view.verify(&*self.inner.store)) {
                Ok(problems) => found.extend(problems),
                Err(error) if error.is_its_own() => found.push(error.to_string()),
                // What is damaged between two openings is met by who reads it: here it is made anew.
                Err(error) if error.wants_rebuild() => {
                    found.push(format!("view {}: {error}; it is made anew", view.status().name));
                    view.control().rebuild()?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Stops all indexers and waits for them. What is indexed stays readable.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<dyn AnyView>>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let views = self.lock();
        views.values().for_each(|view| view.control().close());
        views.values().for_each(|view| view.end());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
