//! The views that this library brings, as people use them: a handle each, which asks, reads and writes. A view imports no other but blobs, which all
//! may name. What others have to know of any view is a [`Part`](part::Part).

#[cfg_attr(not(feature = "chat"), expect(dead_code, reason = "only chat asks where a feed forked"))]
pub(crate) mod again;
pub(crate) mod blobs;
pub(crate) mod boxed;
pub(crate) mod built_in;
#[cfg(feature = "chat")]
pub(crate) mod chat;
pub(crate) mod kv;
#[cfg(feature = "map")]
pub(crate) mod map;
pub(crate) mod part;
pub(crate) mod says;
pub(crate) mod watching;

pub use built_in::BuiltIn;
pub(crate) use built_in::BuiltIns;

use crate::network::Handle;
use crate::network::ask::view_of;
use part::Part;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// What a handle of the whole database is made of: its views, for one who reads and writes under one name.
pub(crate) struct Parts {
    /// Those that have something to say to others.
    all: Vec<Arc<dyn Part>>,
    built_ins: BuiltIns,
    /// The last to go.
    handle: Handle,
}

impl Parts {
    pub fn new(built_ins: BuiltIns, handle: Handle) -> Parts {
        let all = built_ins.all().into_iter().map(|view| view.part(&handle)).collect();
        Parts { all, built_ins, handle }
    }

    /// The same for one who reads and writes under this name.
    pub fn named(&self, name: &str) -> Parts {
        self.with(Handle { name: name.into(), ..self.handle.clone() })
    }

    /// The same for another handle of the database.
    pub fn with(&self, handle: Handle) -> Parts {
        Parts::new(self.built_ins.clone(), handle)
    }

    pub fn all(&self) -> &[Arc<dyn Part>] {
        &self.all
    }

    /// A view of this library by its name. None if it was built without.
    pub fn of_view(&self, view: &str) -> Option<&Arc<dyn Part>> {
        self.all.iter().find(|part| part.view() == view)
    }

    /// The view of this library that looks at a space.
    pub fn of_space(&self, space: u32) -> Option<&Arc<dyn Part>> {
        self.of_view(view_of(space)?)
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parts").field(&self.handle).finish()
    }
}

impl Deref for Parts {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}
