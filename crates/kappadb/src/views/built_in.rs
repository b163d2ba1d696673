//! The views of this library, opened, and what the network has to be told of them.

use super::blobs::BlobView;
use super::chat::{self, ChatParts, ChatState};
use crate::engine::Engine;
use crate::error::{LogError, OpenError, ReadError};
use crate::network::ask::CHAT;
use crate::network::{Handle, Manner, Network, ViewRules};
use kappadb_core::{EntryId, FeedKey, RangeSet};
use kappadb_entry::rules::Version;
use kappadb_entry::space;
use kappadb_view::{View, ViewError, ViewHandle, Views};
use kappadb_view_chat::ChatView;
use kappadb_view_geo::MapView;
use kappadb_view_kv::KvView;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A view that this library brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BuiltIn {
    /// Map features: [`Map`](crate::Map).
    Map,
    /// Keys and values: [`Kv`](crate::Kv).
    Kv,
    /// Messages in channels: [`Chat`](crate::Chat).
    Chat,
    /// Bytes of any number: [`Blobs`](crate::Blobs).
    Blobs,
}

impl BuiltIn {
    /// All that there are.
    pub const ALL: [BuiltIn; 4] = [BuiltIn::Map, BuiltIn::Kv, BuiltIn::Chat, BuiltIn::Blobs];
}

/// All of them, with what belongs to one alone.
#[derive(Clone)]
pub(crate) struct BuiltIns {
    pub kv: ViewHandle<KvView>,
    pub map: ViewHandle<MapView>,
    pub chat: ViewHandle<ChatView>,
    pub chat_state: Arc<ChatState>,
    pub blobs: ViewHandle<BlobView>,
}

impl BuiltIns {
    /// Has those run that are to.
    pub fn open(
        views: &Views,
        run: &BTreeSet<BuiltIn>,
        chat_state: ChatState,
    ) -> Result<BuiltIns, OpenError> {
        Ok(BuiltIns {
            map: register(views, MapView::default(), run.contains(&BuiltIn::Map))?,
            kv: register(views, KvView, run.contains(&BuiltIn::Kv))?,
            chat: register(views, ChatView::default(), run.contains(&BuiltIn::Chat))?,
            blobs: register(views, BlobView, run.contains(&BuiltIn::Blobs))?,
            chat_state: Arc::new(chat_state),
        })
    }
}

fn register<V: View>(views: &Views, view: V, runs: bool) -> Result<ViewHandle<V>, ViewError> {
    if runs { views.register(view) } else { Ok(views.absent(view)) }
}

impl ViewRules for BuiltIns {
    fn heads(&self, space: u32, key: &[u8]) -> Result<BTreeSet<EntryId>, ReadError> {
        let heads: Vec<Version> = match space {
            space::KV => self.kv.read(|index| index.read().heads(key))??,
            _ => self.map.read(|index| index.heads(key))??,
        };
        Ok(heads.into_iter().map(|head| head.id).collect())
    }

    fn unwanted(
        &self,
        network: &Arc<Network>,
        view: &str,
        reader: &Arc<str>,
    ) -> Result<BTreeSet<FeedKey>, ReadError> {
        if view != CHAT {
            return Ok(BTreeSet::new());
        }
        let handle = Handle { network: network.clone(), name: reader.clone(), manner: Manner::default() };
        ChatParts { chat: self.chat.clone(), state: self.chat_state.clone(), handle }.blocked()
    }

    fn gone_for_good(
        &self,
        engine: &Engine,
        view: &str,
        feed: &FeedKey,
        cleared: RangeSet,
    ) -> Result<RangeSet, ReadError> {
        if view != CHAT { Ok(RangeSet::new()) } else { chat::erased(engine, &self.chat, feed, cleared) }
    }

    fn before_answer(&self, engine: &Engine, view: &str) -> Result<(), LogError> {
        if view != CHAT { Ok(()) } else { chat::honour_deletes(engine, &self.chat) }
    }
}
