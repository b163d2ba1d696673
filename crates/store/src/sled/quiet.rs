//! Panics of the engine are errors of this store, so nobody else is told of them. The hook for panics belongs to the whole process: what
//! it was goes on for all others.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{set_hook, take_hook};
use std::sync::Once;
use std::thread;

type LastWords = Box<dyn FnOnce(String)>;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// Takes what this thread's next panic says.
    static LAST_WORDS: RefCell<Option<LastWords>> = const { RefCell::new(None) };
}

/// What the engine calls its own threads.
const ENGINES: &str = "sled";

/// Does something whose panics are caught and told as errors.
pub(super) fn within<R>(call: impl FnOnce() -> R) -> R {
    hook();
    let before = QUIET.replace(true);
    let done = call();
    QUIET.set(before);
    done
}

/// The same for something that may panic and never come back: `last_words` takes what the panic says, before anything is unwound.
pub(super) fn within_or_else<R>(last_words: impl FnOnce(String) + 'static, call: impl FnOnce() -> R) -> R {
    LAST_WORDS.set(Some(Box::new(last_words)));
    let done = within(call);
    LAST_WORDS.take();
    done
}

/// What a panic says.
pub(super) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
    format!("the engine panicked: {text}")
}

fn hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if QUIET.get() {
                if let Some(last_words) = LAST_WORDS.take() {
                    last_words(words(panic.payload()));
                }
            } else if !thread::current().name().is_some_and(|name| name.starts_with(ENGINES)) {
                others(panic);
            }
        }));
    });
}
