//! The view, opened, and what the network has to be told of it.

use super::erase::{erased, honour_deletes};
use super::{ChatParts, ChatState};
use crate::engine::Engine;
use crate::engine::keyed::KeyedIndex;
use crate::error::{LogError, OpenError, ReadError};
use crate::network::ask::CHAT;
use crate::network::{Handle, Manner, Network, ViewRules};
use crate::views::built_in::register;
use crate::views::part::{Opened, Part};
use kappadb_core::{FeedKey, RangeSet, Timestamp};
use kappadb_entry::rules::Version;
use kappadb_query::Selector;
use kappadb_view::{ViewError, ViewHandle};
use kappadb_view_chat::{Ask, ChatIndex, ChatView};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The view, and what this replica keeps of chat for itself.
#[derive(Clone)]
pub(crate) struct OpenChat {
    view: ViewHandle<ChatView>,
    state: Arc<ChatState>,
}

impl OpenChat {
    pub fn open(engine: &Engine, runs: bool) -> Result<OpenChat, OpenError> {
        let state = Arc::new(ChatState::load(&engine.dir)?);
        Ok(OpenChat { view: register(engine, ChatView::default(), runs)?, state })
    }

    pub fn parts(&self, handle: Handle) -> ChatParts {
        ChatParts { chat: self.view.clone(), state: self.state.clone(), handle }
    }
}

impl KeyedIndex for ChatIndex {
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        ChatIndex::active(self, key)
    }
}

impl Opened for OpenChat {
    fn rules(&self) -> Box<dyn ViewRules> {
        Box::new(self.clone())
    }

    fn part(&self, handle: &Handle) -> Arc<dyn Part> {
        Arc::new(self.parts(handle.clone()))
    }
}

impl ViewRules for OpenChat {
    fn view(&self) -> &'static str {
        CHAT
    }

    fn unwanted(&self, network: &Arc<Network>, reader: &Arc<str>) -> Result<BTreeSet<FeedKey>, ReadError> {
        let handle = Handle { network: network.clone(), name: reader.clone(), manner: Manner::default() };
        self.parts(handle).blocked()
    }

    fn gone_for_good(
        &self,
        engine: &Engine,
        feed: &FeedKey,
        cleared: RangeSet,
    ) -> Result<RangeSet, ReadError> {
        erased(engine, &self.view, feed, cleared)
    }

    fn before_answer(&self, engine: &Engine) -> Result<(), LogError> {
        honour_deletes(engine, &self.view)
    }

    fn timeless(&self, words: &[u8], asked: Timestamp) -> Option<Selector> {
        Ask::timeless(words, asked)
    }
}
