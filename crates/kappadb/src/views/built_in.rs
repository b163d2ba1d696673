//! The views of this library, opened.

use super::blobs::BlobView;
#[cfg(feature = "chat")]
use super::chat::OpenChat;
use super::part::Opened;
use crate::engine::Engine;
use crate::error::OpenError;
use crate::network::Rules;
use kappadb_view::{View, ViewError, ViewHandle};
#[cfg(feature = "map")]
use kappadb_view_geo::MapView;
use kappadb_view_kv::KvView;
use std::collections::BTreeSet;

/// A view that this library brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BuiltIn {
    /// Map features: [`Map`](crate::Map).
    #[cfg(feature = "map")]
    Map,
    /// Keys and values: [`Kv`](crate::Kv).
    Kv,
    /// Messages in channels: [`Chat`](crate::Chat).
    #[cfg(feature = "chat")]
    Chat,
    /// Bytes of any number: [`Blobs`](crate::Blobs).
    Blobs,
}

impl BuiltIn {
    /// All that there are.
    pub const ALL: &[BuiltIn] = &[
        #[cfg(feature = "map")]
        BuiltIn::Map,
        BuiltIn::Kv,
        #[cfg(feature = "chat")]
        BuiltIn::Chat,
        BuiltIn::Blobs,
    ];
}

/// All of them.
#[derive(Clone)]
pub(crate) struct BuiltIns {
    pub kv: ViewHandle<KvView>,
    #[cfg(feature = "map")]
    pub map: ViewHandle<MapView>,
    #[cfg(feature = "chat")]
    pub chat: OpenChat,
    pub blobs: ViewHandle<BlobView>,
}

impl BuiltIns {
    /// Has those run that are to.
    pub fn open(engine: &Engine, run: &BTreeSet<BuiltIn>) -> Result<BuiltIns, OpenError> {
        Ok(BuiltIns {
            #[cfg(feature = "map")]
            map: register(engine, MapView::default(), run.contains(&BuiltIn::Map))?,
            kv: register(engine, KvView, run.contains(&BuiltIn::Kv))?,
            #[cfg(feature = "chat")]
            chat: OpenChat::open(engine, run.contains(&BuiltIn::Chat))?,
            blobs: register(engine, BlobView, run.contains(&BuiltIn::Blobs))?,
        })
    }

    /// Those that have something to say to others. To blobs there is nothing.
    pub fn all(&self) -> Vec<&dyn Opened> {
        Vec::from([
            &self.kv as &dyn Opened,
            #[cfg(feature = "map")]
            &self.map,
            #[cfg(feature = "chat")]
            &self.chat,
        ])
    }

    pub fn rules(&self) -> Rules {
        Rules::new(self.all().into_iter().map(Opened::rules).collect())
    }
}

/// Has a view run, or not.
pub(super) fn register<V: View>(engine: &Engine, view: V, runs: bool) -> Result<ViewHandle<V>, ViewError> {
    if runs { engine.views.register(view) } else { Ok(engine.views.absent(view)) }
}
