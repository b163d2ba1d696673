//! Progress of long work: a bar on a terminal, nothing on a pipe.

use crate::streams;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kappadb::Progress;
use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Shows what the library reports. One bar at a time; a task of another name takes its place.
pub struct Bar {
    /// None if nobody looks.
    terminal: Option<Term>,
    shown: Mutex<Option<(&'static str, ProgressBar)>>,
}

impl Bar {
    /// No bar yet.
    pub fn new() -> Self {
        Bar { terminal: streams::err_terminal(), shown: Mutex::default() }
    }

    /// Shows `progress` if stderr is a terminal.
    pub fn show(&self, progress: Progress) {
        let Some(terminal) = &self.terminal else { return };
        let Ok(mut slot) = self.shown.lock() else { return };
        if slot.as_ref().is_none_or(|(task, _)| *task != progress.task) {
            *slot = Some((progress.task, bar(progress.task, terminal.clone())));
        }
        let Some((_, bar)) = slot.as_ref() else { return };
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        if progress.done >= progress.total {
            bar.finish_and_clear();
            *slot = None;
        }
    }
}

fn bar(task: &'static str, terminal: Term) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::term(terminal, 10));
    if let Ok(style) = ProgressStyle::with_template("{msg:>16} {wide_bar} {percent:>3} % {eta}") {
        bar.set_style(style);
    }
    bar.with_message(task)
}

/// Shows how much of a file was read.
pub struct Metered<R> {
    inner: R,
    bar: Bar,
    progress: Progress,
}

impl<R> Metered<R> {
    /// `inner` gives so many bytes; `task` says what they are read for.
    pub fn new(inner: R, task: &'static str, bytes: u64) -> Self {
        Metered { inner, bar: Bar::new(), progress: Progress { task, done: 0, total: bytes } }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Metered<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.inner).poll_read(context, buf));
        self.progress.done += (buf.filled().len() - before) as u64;
        self.bar.show(self.progress);
        Poll::Ready(read)
    }
}
