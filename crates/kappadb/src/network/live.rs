//! What watchers follow.

use super::Handle;
use super::follow::{Follow, Following};
use std::fmt;

/// What a watcher follows, if it is to.
pub(crate) struct Live {
    handle: Handle,
    questions: Vec<Follow>,
    following: Option<Following>,
}

impl Live {
    pub fn of(handle: &Handle, questions: impl IntoIterator<Item = Follow>) -> Live {
        Live { handle: handle.clone(), questions: questions.into_iter().collect(), following: None }
    }

    pub fn begin(&mut self) {
        self.following = Some(Following::begin(&self.handle, std::mem::take(&mut self.questions)));
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("following", &self.following).finish_non_exhaustive()
    }
}
