//! The views that this library brings, as people use them: a handle each, which asks, reads and writes. A view imports no other but blobs, which all
//! may name.

pub(crate) mod blobs;
pub(crate) mod boxed;
mod built_in;
pub(crate) mod chat;
pub(crate) mod kv;
pub(crate) mod map;
pub(crate) mod watching;

pub use built_in::BuiltIn;
pub(crate) use built_in::BuiltIns;

use crate::network::Handle;
use blobs::BlobParts;
use chat::ChatParts;
use kv::KvParts;
use map::MapParts;
use std::ops::Deref;
use std::sync::Arc;

/// What a handle of the whole database is made of: those of its views, for one who reads and writes under one name.
#[derive(Debug)]
pub(crate) struct Parts {
    pub kv: Arc<KvParts>,
    pub map: Arc<MapParts>,
    pub chat: Arc<ChatParts>,
    pub blobs: Arc<BlobParts>,
    /// The last to go.
    handle: Handle,
}

impl Parts {
    pub fn new(views: &BuiltIns, handle: Handle) -> Parts {
        let BuiltIns { kv, map, chat, chat_state, blobs } = views.clone();
        Parts {
            kv: Arc::new(KvParts { kv, handle: handle.clone() }),
            map: Arc::new(MapParts { map, handle: handle.clone() }),
            chat: Arc::new(ChatParts { chat, state: chat_state, handle: handle.clone() }),
            blobs: Arc::new(BlobParts { blobs, handle: handle.clone() }),
            handle,
        }
    }

    /// The same for one who reads and writes under this name.
    pub fn named(&self, name: &str) -> Parts {
        self.with(Handle { name: name.into(), ..self.handle.clone() })
    }

    /// The same for another handle of the database.
    pub fn with(&self, handle: Handle) -> Parts {
        let (kv, map) = (self.kv.kv.clone(), self.map.map.clone());
        let (chat, chat_state) = (self.chat.chat.clone(), self.chat.state.clone());
        let views = BuiltIns { kv, map, chat, chat_state, blobs: self.blobs.blobs.clone() };
        Parts::new(&views, handle)
    }
}

impl Deref for Parts {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}
