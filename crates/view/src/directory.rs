//! Which tree a view answers from. Each generation of a view has its own tree, `view/<name>/<version>/<generation>`, and
//! a row of the tree `views` names the one that counts: `name` → bincode (version u32, generation u64).

use crate::ViewError;
use kappadb_core::codec;
use kappadb_core::limits::MAX_VIEW_NAME;
use kappadb_store::{Batch, Store, StoreError, Tree};
use std::sync::Arc;

const POINTERS: &str = "views";

/// A generation of a view's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp {
    /// [`crate::View::version`] of the code that wrote them.
    pub version: u32,
    /// Counts up with each rebuild.
    pub generation: u64,
}

/// The trees of one view.
pub(crate) struct Directory {
    store: Arc<dyn Store>,
    name: String,
}

impl Directory {
    pub fn new(store: Arc<dyn Store>, name: &str) -> Result<Self, ViewError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match (1..=MAX_VIEW_NAME).contains(&name.len()) && name.chars().all(fits) {
            true => Ok(Directory { store, name: name.to_owned() }),
            false => Err(ViewError::BadName(name.to_owned())),
        }
    }

    fn folder(&self) -> String {
        format!("view/{}/", self.name)
    }

    fn tree_name(&self, stamp: Stamp) -> String {
        format!("{}{}/{}", self.folder(), stamp.version, stamp.generation)
    }

    /// The tree of a generation, made if it is not there.
    pub fn tree(&self, stamp: Stamp) -> Result<Arc<dyn Tree>, StoreError> {
        self.store.tree(&self.tree_name(stamp))
    }

    /// All generations that have a tree.
    pub fn all(&self) -> Result<Vec<Stamp>, StoreError> {
        let folder = self.folder();
        let parse = |name: String| {
            let (version, generation) = name.strip_prefix(&folder)?.split_once('/')?;
            Some(Stamp { version: version.parse().ok()?, generation: generation.parse().ok()? })
        };
        Ok(self.store.trees()?.into_iter().filter_map(parse).collect())
    }

    /// A generation that no tree was made for yet.
    pub fn fresh(&self, version: u32) -> Result<Stamp, StoreError> {
        let last = self.all()?.into_iter().map(|stamp| stamp.generation).max();
        Ok(Stamp { version, generation: last.map_or(0, |last| last + 1) })
    }

    /// The generation that counts. A row that cannot be read is no row: the view is made anew.
    pub fn pointer(&self) -> Result<Option<Stamp>, StoreError> {
        let row = self.store.tree(POINTERS)?.get(self.name.as_bytes())?;
        let stamp = row.and_then(|row| codec::decode::<(u32, u64), 32>("view pointer", &row).ok());
        let stamp = stamp.map(|(version, generation)| Stamp { version, generation });
        let there = self.all()?;
        Ok(stamp.filter(|stamp| there.contains(stamp)))
    }

    /// Makes a generation the one that counts.
    pub fn point(&self, stamp: Stamp) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(self.name.clone().into_bytes(), codec::encode(&(stamp.version, stamp.generation)));
        self.store.tree(POINTERS)?.apply(&batch)
    }

    /// Drops the trees of all generations but these.
    pub fn sweep(&self, keep: &[Stamp]) -> Result<(), StoreError> {
        for stamp in self.all()?.into_iter().filter(|stamp| !keep.contains(stamp)) {
            self.store.drop_tree(&self.tree_name(stamp))?;
        }
        Ok(())
    }
}
