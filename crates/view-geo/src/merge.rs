//! Merging runs in the background: the items of several, in order, packed into one. It reads what never changes and writes pages
//! that nobody reads until the run is installed, so it needs neither the index nor more memory than a few pages and the marks.

use crate::MapIndex;
use crate::item::{ItemRef, Slot};
use crate::packed::{Packed, Source, Stream, Window, first};
use crate::page::{Builder, Shape};
use crate::rank::Rank;
use crate::run::{self, Descriptor, Stored, Which};
use kappadb_store::{Batch, Overlay, Tree};
use kappadb_view::{Upkeep, ViewError};
use std::collections::HashSet;
use std::sync::Arc;

const LACKING: ViewError = ViewError::Inconsistent("a run of the map index lacks boxes, or has too many");

/// A run to be merged, as it was when the merge began.
#[derive(Debug)]
pub struct Origin {
    pub run: u32,
    pub descriptor: Descriptor,
    /// Rows of marks that it had.
    pub marks: u32,
}

/// A run whose pages are written, and what it is to take the place of.
#[derive(Debug)]
pub struct Merged {
    pub id: u32,
    pub descriptor: Descriptor,
    pub origins: Vec<Origin>,
}

pub struct Merge {
    tree: Arc<dyn Tree>,
    merged: Merged,
    /// Items copied in one piece of the work.
    piece: usize,
    /// What is dead in each origin; none before the first piece.
    dead: Vec<Arc<HashSet<Slot>>>,
    /// Trees that are not begun.
    left: Vec<Which>,
    packing: Option<Packing>,
}

/// A tree being packed.
struct Packing {
    which: Which,
    inputs: Vec<Input>,
    builder: Builder,
}

/// A tree being read.
struct Input {
    stream: Stream,
    shape: Shape,
    pages: Stored<Arc<dyn Tree>>,
    dead: Arc<HashSet<Slot>>,
}

impl Source for Input {
    fn head(&self) -> Option<(Rank, ItemRef<'_>)> {
        self.stream.head()
    }

    fn advance(&mut self) -> Result<(), ViewError> {
        let Input { stream, shape, pages, dead } = self;
        stream.advance(&Packed { shape, pages, dead }, &Window::ALL)?;
        // A merge would make a loss whole: what is left fits together.
        let ended = stream.head().is_none();
        if stream.read > shape.items || (ended && stream.read != shape.items) { Err(LACKING) } else { Ok(()) }
    }
}

impl Merge {
    pub fn new(tree: Arc<dyn Tree>, id: u32, origins: Vec<Origin>, piece: usize) -> Merge {
        let merged = Merged { id, descriptor: Descriptor::default(), origins };
        Merge { tree, merged, piece, dead: Vec::new(), left: Which::BOTH.to_vec(), packing: None }
    }

    /// Opens the next tree; none if there is no more.
    fn open(&mut self) -> Result<Option<Packing>, ViewError> {
        if self.dead.is_empty() {
            let dead = self.merged.origins.iter().map(|origin| {
                let marks = run::marks(&*self.tree, origin.run, 0..origin.marks)?;
                Ok(Arc::new(marks.into_iter().map(|(slot, _)| slot).collect()))
            });
            self.dead = dead.collect::<Result<_, ViewError>>()?;
        }
        let Some(which) = self.left.pop() else { return Ok(None) };
        let input = |(origin, dead): (&Origin, &Arc<HashSet<Slot>>)| {
            let shape = origin.descriptor.shape(which).clone();
            let pages = Stored { tree: self.tree.clone(), run: origin.run, which };
            let mut input = Input { stream: Stream::new(&shape), shape, pages, dead: dead.clone() };
            input.advance().map(|()| input)
        };
        let inputs = self.merged.origins.iter().zip(&self.dead).map(input).collect::<Result<_, _>>()?;
        Ok(Some(Packing { which, inputs, builder: Builder::default() }))
    }

    /// Copies some items. True if there are more.
    fn copy(&mut self, pages: &mut Batch) -> Result<bool, ViewError> {
        let packing = self.packing.take().map_or_else(|| self.open(), |packing| Ok(Some(packing)))?;
        let Some(mut packing) = packing else { return Ok(false) };
        let (id, which) = (self.merged.id, packing.which);
        let sink = &mut |level, number, page: Vec<u8>| {
            pages.put(run::page_key(id, which, level, number), page);
            Ok(())
        };
        for _ in 0..self.piece {
            let Some(input) = first(&packing.inputs).and_then(|at| packing.inputs.get_mut(at)) else {
                let shape = packing.builder.finish(sink)?;
                match which {
                    Which::Places => self.merged.descriptor.places = shape,
                    Which::Past => self.merged.descriptor.past = shape,
                }
                return Ok(!self.left.is_empty());
            };
            if let Some((rank, item)) = input.head() {
                packing.builder.push(&item, rank, sink)?;
            }
            input.advance()?;
        }
        self.packing = Some(packing);
        Ok(true)
    }
}

impl Upkeep<MapIndex> for Merge {
    fn work(&mut self) -> Result<bool, ViewError> {
        let mut pages = Batch::new();
        let more = self.copy(&mut pages)?;
        self.tree.apply(&pages)?;
        Ok(more)
    }

    fn install(self: Box<Self>, index: &mut MapIndex, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        index.space.install(self.merged, &*index.tree, rows)
    }
}
