//! How far long work has come: a bar on a terminal.

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::{Mutex, PoisonError};

/// One bar at a time; a task of another name takes its place.
pub struct Bar {
    terminal: Term,
    shown: Mutex<Option<(String, ProgressBar)>>,
}

impl Bar {
    /// No bar yet.
    pub fn new(terminal: Term) -> Self {
        Bar { terminal, shown: Mutex::default() }
    }

    /// So much is done. All of it: the bar goes.
    pub fn show(&self, task: &str, done: u64, total: u64) {
        let mut slot = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.as_ref().is_none_or(|(shown, _)| shown != task) {
            *slot = Some((task.to_owned(), bar(task, self.terminal.clone())));
        }
        let Some((_, bar)) = slot.as_ref() else { return };
        bar.set_length(total);
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
            *slot = None;
        }
    }
}

fn bar(task: &str, terminal: Term) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term(terminal, 10));
    if let Ok(style) = ProgressStyle::with_template("{msg:>16} {wide_bar} {percent:>3} % {eta}") {
        bar.set_style(style);
    }
    bar.with_message(task.to_owned())
}
