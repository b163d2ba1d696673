//! The engines that are open in this process: few, whoever opens them. Each has a file open for each of 78 sizes, two threads and
//! some megabytes of memory. So one that nobody uses is put to sleep, and one that is to be opened waits until there is room.
//!
//! It is of the process because descriptors are: two databases that know nothing of each other have them in common.

use super::room::{ENGINE_FILES, most_engines};
use super::shared::Shared;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// So many stay open however long nobody uses them.
const FEW: usize = 4;
/// How often it is looked who used theirs, while there are more.
const LOOK: Duration = Duration::from_secs(1);
/// So many looks in a row must find that nobody did.
const IDLE_LOOKS: u32 = 10;
/// Whoever wants to open one waits at most so long for another to sleep. Then there are more than there should be.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// An engine that is open or about to be.
struct Entry {
    number: u64,
    /// None while it is being opened.
    owner: Option<Weak<Shared>>,
    used: Arc<AtomicBool>,
    idle_looks: u32,
}

struct Engines {
    /// Those opened first are first.
    open: Vec<Entry>,
    next: u64,
    /// The stores whose engine somebody else is just closing.
    closing: Vec<usize>,
    /// There is a thread that looks for idle ones.
    watched: bool,
}

static ENGINES: Mutex<Engines> =
    Mutex::new(Engines { open: Vec::new(), next: 0, closing: Vec::new(), watched: false });
static CHANGED: Condvar = Condvar::new();

fn engines() -> MutexGuard<'static, Engines> {
    ENGINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leave for one engine to be open, until it is dropped.
pub(super) struct Leave {
    number: u64,
    used: Arc<AtomicBool>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        engines().open.retain(|entry| entry.number != self.number);
        CHANGED.notify_all();
    }
}

impl Leave {
    /// Waits until one more engine may be open. Puts those to sleep that were not used for longest.
    pub fn wait() -> Leave {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut all = engines();
            if all.open.len() < most_engines() || Instant::now() >= until {
                let (number, used) = (all.next, Arc::new(AtomicBool::new(true)));
                all.next += 1;
                all.open.push(Entry { number, owner: None, used: used.clone(), idle_looks: 0 });
                return Leave { number, used };
            }
            drop(all);
            if !put_one_to_sleep(0) {
                let all = engines();
                drop(CHANGED.wait_timeout(all, PAUSE).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// The engine is open: from now on it may be put to sleep.
    pub fn opened(&self, owner: &Weak<Shared>) {
        let mut all = engines();
        if let Some(entry) = all.open.iter_mut().find(|entry| entry.number == self.number) {
            entry.owner = Some(owner.clone());
        }
        if all.open.len() > FEW && !all.watched {
            let thread = std::thread::Builder::new().name("kappadb-idle".to_owned());
            all.watched = thread.spawn(watch).is_ok();
        }
    }

    /// Somebody uses it.
    pub fn used(&self) {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
    }
}

/// Puts an engine to sleep that nobody used for so many looks, the one first that was not for longest. False if there is none.
fn put_one_to_sleep(idle_looks: u32) -> bool {
    let mut idle: Vec<(u32, u64)> = Vec::new();
    for entry in &engines().open {
        let looks = if entry.used.load(Ordering::Relaxed) { 0 } else { entry.idle_looks };
        idle.extend((looks >= idle_looks).then_some((looks, entry.number)));
    }
    idle.sort_by_key(|(looks, _)| std::cmp::Reverse(*looks));
    idle.iter().any(|(_, number)| put_to_sleep(*number))
}

fn put_to_sleep(number: u64) -> bool {
    let mut all = engines();
    let owner = all.open.iter().find(|entry| entry.number == number).and_then(|entry| entry.owner.as_ref());
    let Some(shared) = owner.and_then(Weak::upgrade) else { return false };
    let store = Arc::as_ptr(&shared) as usize;
    all.closing.push(store);
    drop(all);
    let sleeps = shared.try_sleep();
    drop(shared);
    let mut all = engines();
    if let Some(at) = all.closing.iter().position(|closing| *closing == store) {
        all.closing.swap_remove(at);
    }
    drop(all);
    CHANGED.notify_all();
    sleeps
}

/// From now on nobody else puts the engine of this store to sleep, nor has a handle to the store for that.
pub(super) fn keep(store: &Arc<Shared>) {
    let is_it = |owner: &Weak<Shared>| owner.as_ptr() == Arc::as_ptr(store);
    let mut all = engines();
    for entry in &mut all.open {
        entry.owner.take_if(|owner| is_it(owner));
    }
    while all.closing.contains(&(Arc::as_ptr(store) as usize)) {
        all = CHANGED.wait(all).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Puts idle ones to sleep as long as there are more than a few.
fn watch() {
    loop {
        std::thread::sleep(LOOK);
        let mut all = engines();
        if all.open.len() <= FEW {
            all.watched = false;
            return;
        }
        for entry in &mut all.open {
            entry.idle_looks =
                if entry.used.swap(false, Ordering::Relaxed) { 0 } else { entry.idle_looks + 1 };
        }
        drop(all);
        while engines().open.len() > FEW && put_one_to_sleep(IDLE_LOOKS) {}
    }
}

/// Finds out whether the process may have so many more descriptors as an engine takes. Others are put to sleep for theirs.
pub(super) fn has_descriptors(any: &File) -> io::Result<()> {
    loop {
        let spare: io::Result<Vec<File>> = (0..ENGINE_FILES).map(|_| any.try_clone()).collect();
        match spare {
            Err(_) if put_one_to_sleep(0) => {}
            spare => return spare.map(drop),
        }
    }
}
