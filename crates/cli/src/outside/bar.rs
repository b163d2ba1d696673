//! How far long work has come: a bar on a terminal.

use super::Shown;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};

/// How much is done of what there is to do.
const OF_ALL: &str = "{prefix:>16} {wide_bar} {percent:>3} % {eta} {msg}";
/// The same where nobody knows how much there is.
const OF_SOME: &str = "{prefix:>16} {msg}";

/// One bar at a time; a task of another name takes its place.
pub struct Bar {
    terminal: Term,
    drawn: Mutex<Option<Drawn>>,
}

struct Drawn {
    task: String,
    of_all: bool,
    bar: ProgressBar,
}

impl Drawn {
    fn new(shown: &Shown, terminal: Term) -> Drawn {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term(terminal, 10));
        let of_all = shown.total.is_some();
        if let Ok(style) = ProgressStyle::with_template(if of_all { OF_ALL } else { OF_SOME }) {
            bar.set_style(style);
        }
        Drawn { task: shown.task.clone(), of_all, bar: bar.with_prefix(shown.task.clone()) }
    }

    fn is_of(&self, shown: &Shown) -> bool {
        self.task == shown.task && self.of_all == shown.total.is_some()
    }
}

impl Bar {
    /// No bar yet.
    pub fn new(terminal: Term) -> Self {
        Bar { terminal, drawn: Mutex::default() }
    }

    /// So much is done. All of it: the bar goes.
    pub fn show(&self, shown: &Shown) {
        let mut slot = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_over() {
            slot.take().into_iter().for_each(|drawn| drawn.bar.finish_and_clear());
            return;
        }
        if let Some(other) = slot.take_if(|drawn| !drawn.is_of(shown)) {
            other.bar.finish_and_clear();
        }
        let Drawn { bar, .. } = slot.get_or_insert_with(|| Drawn::new(shown, self.terminal.clone()));
        bar.set_length(shown.total.unwrap_or_default());
        bar.set_message(shown.more.clone());
        bar.set_position(shown.done);
    }
}
