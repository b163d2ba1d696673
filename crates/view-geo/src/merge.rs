//! Merging runs in the background: the items of several, in order, packed into one. It reads what never changes and writes a file
//! that nobody reads until the run is installed, so it needs neither the index nor more memory than a few pages and the marks.

use crate::MapIndex;
use crate::item::{ItemRef, Slot};
use crate::packed::{Packed, Source, Stream, Window, first};
use crate::page::{Builder, Shape};
use crate::rank::Rank;
use crate::run::{self, Descriptor, Run, RunWriter, Stored, Which};
use kappadb_store::{Overlay, Tree};
use kappadb_view::{Upkeep, ViewError, packed};
use std::collections::HashSet;
use std::sync::Arc;

const LACKING: ViewError = ViewError::Inconsistent("a run of the map index lacks boxes, or has too many");

/// A run to be merged, as it was when the merge began.
#[derive(Debug)]
pub struct Origin {
    pub packed: packed::Run,
    pub descriptor: Descriptor,
    /// Rows of marks that it had.
    pub marks: u32,
}

/// What became of a merge, and what it is to take the place of.
#[derive(Debug)]
pub struct Merged {
    pub outcome: Outcome,
    pub origins: Vec<Origin>,
}

#[derive(Debug)]
pub enum Outcome {
    Run(Run),
    /// All of it was dead.
    Nothing,
    /// The disk is full: the runs stay as they are.
    Full,
}

pub struct Merge {
    tree: Arc<dyn Tree>,
    number: u64,
    merged: Merged,
    descriptor: Descriptor,
    /// Items copied in one piece of the work.
    piece: usize,
    /// None before the first piece, and at the end.
    writer: Option<RunWriter>,
    /// What is dead in each origin.
    dead: Vec<Arc<HashSet<Slot>>>,
    /// Trees that are not begun, the next one last.
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
    pages: Stored,
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
    pub fn new(tree: Arc<dyn Tree>, number: u64, origins: Vec<Origin>, piece: usize) -> Merge {
        let merged = Merged { outcome: Outcome::Full, origins };
        let (descriptor, left) = (Descriptor::default(), vec![Which::Past, Which::Places]);
        Merge { tree, number, merged, descriptor, piece, writer: None, dead: Vec::new(), left, packing: None }
    }

    fn begin(&mut self) -> Result<RunWriter, ViewError> {
        let dead = self.merged.origins.iter().map(|origin| {
            let marks = run::marks(&*self.tree, origin.packed.number, 0..origin.marks)?;
            Ok(Arc::new(marks.into_iter().map(|(slot, _)| slot).collect()))
        });
        self.dead = dead.collect::<Result<_, ViewError>>()?;
        RunWriter::new(&*self.tree, self.number)
    }

    /// Opens the next tree; none if there is no more.
    fn open(&mut self) -> Result<Option<Packing>, ViewError> {
        let Some(which) = self.left.pop() else { return Ok(None) };
        let input = |(origin, dead): (&Origin, &Arc<HashSet<Slot>>)| {
            let shape = origin.descriptor.shape(which).clone();
            let pages = Stored { pack: origin.packed.pack.clone(), which };
            let mut input = Input { stream: Stream::new(&shape), shape, pages, dead: dead.clone() };
            input.advance().map(|()| input)
        };
        let inputs = self.merged.origins.iter().zip(&self.dead).map(input).collect::<Result<_, _>>()?;
        Ok(Some(Packing { which, inputs, builder: Builder::default() }))
    }

    /// Copies some items. True if there are more.
    fn copy(&mut self) -> Result<bool, ViewError> {
        let mut writer = self.writer.take().map_or_else(|| self.begin(), Ok)?;
        let packing = self.packing.take().map_or_else(|| self.open(), |packing| Ok(Some(packing)))?;
        let Some(mut packing) = packing else {
            let run = writer.finish(std::mem::take(&mut self.descriptor))?;
            self.merged.outcome = run.map_or(Outcome::Nothing, Outcome::Run);
            return Ok(false);
        };
        let which = packing.which;
        let sink = &mut |level, number, page: Vec<u8>| writer.put(which, level, number, page);
        let mut left = self.piece;
        while let Some(input) = first(&packing.inputs).and_then(|at| packing.inputs.get_mut(at)) {
            if left == 0 {
                (self.packing, self.writer) = (Some(packing), Some(writer));
                return Ok(true);
            }
            left -= 1;
            if let Some((rank, item)) = input.head() {
                packing.builder.push(&item, rank, sink)?;
            }
            input.advance()?;
        }
        let shape = packing.builder.finish(sink)?;
        match which {
            Which::Places => self.descriptor.places = shape,
            Which::Past => self.descriptor.past = shape,
        }
        writer.end_tree()?;
        self.writer = Some(writer);
        Ok(true)
    }
}

impl Upkeep<MapIndex> for Merge {
    fn work(&mut self) -> Result<bool, ViewError> {
        Ok(packed::unless_full(self.copy())?.unwrap_or(false))
    }

    fn install(self: Box<Self>, index: &mut MapIndex, rows: &mut Overlay<'_>) -> Result<(), ViewError> {
        index.space.install(self.merged, &*index.tree, rows)
    }
}
