use crate::index::ChatIndex;
use kappadb_entry::space;
use kappadb_store::Tree;
use kappadb_view::{View, ViewError};
use std::sync::Arc;

/// Chat: the view named `chat`.
#[derive(Debug, Clone, Copy)]
pub struct ChatView {
    sizes: Sizes,
}

/// How large parts of the index grow before they are merged in the background.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// Rows of a run, messages of a segment of words, and keys in memory that count as few.
    pub few: u64,
    /// Bytes of texts whose words wait to be put into a segment.
    pub texts: usize,
}

impl Default for ChatView {
    fn default() -> Self {
        ChatView { sizes: Sizes { few: 16_384, texts: 512 << 10 } }
    }
}

impl ChatView {
    /// With other sizes, which change no answer: rows of a run that is merged in the background, and bytes of texts whose words wait for
    /// that while more arrive (an eighth of it when nothing does). Default: 16,384 and 512 KiB.
    pub fn with_sizes(self, few: u64, texts: usize) -> Self {
        ChatView { sizes: Sizes { few: few.max(1), texts: texts.max(1) } }
    }
}

impl View for ChatView {
    type Index = ChatIndex;

    fn name(&self) -> &str {
        "chat"
    }

    fn version(&self) -> u32 {
        5
    }

    fn space(&self) -> Option<u32> {
        Some(space::CHAT)
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<ChatIndex, ViewError> {
        ChatIndex::open(rows, self.sizes)
    }
}
