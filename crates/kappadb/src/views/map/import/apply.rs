//! A file applied to what is held: resolved whole, then written (`design/map.md`).

use super::{ImportError, ImportReport, Steps};
use crate::views::map::change::append::Appender;
use crate::views::map::change::changes::Changes;
use crate::views::map::change::judge::{Verdict, nodes};
use kappadb_geo::id::osm;
use kappadb_geo::{Body, ElementKind};
use kappadb_import::{Bare, Import, Item};

/// Items in memory at once, with the corners of ways. What is held of them is looked up in one go: each go reads all over the log, so there must be few.
const CHUNK: usize = 16_384;
/// Of these, how many are compared or written before others have their turn. If they write, what was looked up is so no more.
const PIECE: usize = 1_000;

/// A file in the course of being applied.
pub(super) struct Apply<'a, 'b> {
    changes: Changes<'a, 'b>,
    file: &'b mut Import,
    report: &'b mut ImportReport,
    steps: &'b mut Steps<'a>,
    /// What is to be done with each item, in their order.
    verdicts: Vec<Verdict>,
    /// Items that this import has written already, before somebody else wrote to the map, and nodes without tags before them.
    begun: Option<usize>,
}

impl<'a, 'b> Apply<'a, 'b> {
    pub fn new(
        appender: &'b mut Appender<'a>,
        report: &'b mut ImportReport,
        file: &'b mut Import,
        steps: &'b mut Steps<'a>,
        force: bool,
        begun: Option<usize>,
    ) -> Self {
        Apply { changes: Changes::new(appender, force), file, report, steps, verdicts: Vec::new(), begun }
    }

    pub fn run(mut self) -> Result<(), ImportError> {
        self.resolve()?;
        self.write_bare()?;
        self.changes.write_lost(self.file)?;
        self.write_items(|kind| kind != Some(ElementKind::Relation))?;
        self.changes.write_outdated(self.file)?;
        self.changes.settle_written()?;
        self.write_items(|kind| kind == Some(ElementKind::Relation))?;
        self.changes.settle_written()?;
        self.changes.write_relations(self.file)
    }

    /// Judges every item.
    fn resolve(&mut self) -> Result<(), ImportError> {
        let mut items = self.file.items()?;
        loop {
            let some = items.by_ref().take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            if some.is_empty() {
                return Ok(());
            }
            let ids = |items: &[Item]| items.iter().map(|item| item.id().to_owned()).collect::<Vec<_>>();
            self.changes.prepare(ids(&some))?;
            for piece in some.chunks(PIECE) {
                self.changes.let_in()?;
                self.changes.prepare(ids(piece))?;
                for item in piece {
                    let verdict = self.changes.judge(item)?;
                    let was_written = self.begun.is_some_and(|begun| self.verdicts.len() < begun);
                    let is_ours = verdict == Verdict::Unchanged && was_written;
                    self.report.count(if is_ours { Verdict::Taken } else { verdict });
                    self.steps.compared(verdict);
                    self.verdicts.push(verdict);
                }
            }
        }
    }

    fn write_bare(&mut self) -> Result<(), ImportError> {
        let Apply { changes, file, report, begun, .. } = self;
        let ids =
            |bare: &[Bare]| bare.iter().map(|said| osm(ElementKind::Node, said.node.id)).collect::<Vec<_>>();
        let mut write = |some: &mut Vec<Bare>| {
            changes.prepare(ids(some))?;
            for piece in some.chunks(PIECE) {
                changes.let_in()?;
                changes.prepare(ids(piece))?;
                for said in piece {
                    let verdict = changes.write_bare(said)?;
                    let is_ours = verdict == Verdict::Unchanged && begun.is_some();
                    report.bare += 1;
                    report.count(if is_ours { Verdict::Taken } else { verdict });
                    changes.keep_up(false, &mut || ())?;
                }
            }
            some.clear();
            Ok(())
        };
        let mut some = Vec::new();
        file.each_bare(&mut |said| {
            some.push(said);
            if some.len() < CHUNK { Ok(()) } else { write(&mut some) }
        })?;
        write(&mut some)
    }

    /// What was taken, of these kinds.
    fn write_items(&mut self, wanted: fn(Option<ElementKind>) -> bool) -> Result<(), ImportError> {
        let mut next = 0;
        loop {
            let mut some = self.taken(next, wanted)?;
            let Some((last, _)) = some.last() else { return Ok(()) };
            next = last + 1;
            self.changes.prepare_items(some.iter().map(|(_, item)| item))?;
            while !some.is_empty() {
                let piece: Vec<_> = some.drain(..PIECE.min(some.len())).collect();
                self.changes.prepare_items(piece.iter().map(|(_, item)| item))?;
                piece.into_iter().try_for_each(|(_, item)| self.write_item(item))?;
            }
        }
    }

    /// The next items that were taken, with their numbers.
    fn taken(
        &self,
        from: usize,
        wanted: fn(Option<ElementKind>) -> bool,
    ) -> Result<Vec<(usize, Item)>, ImportError> {
        let is_wanted =
            |number: usize, kind| wanted(kind) && self.verdicts.get(number) == Some(&Verdict::Taken);
        let (mut some, mut weight) = (Vec::new(), 0);
        for item in self.file.items_from(from, is_wanted)? {
            let (number, item) = item?;
            weight += 1 + if let Item::Put { feature, .. } = &item { corners(&feature.body) } else { 0 };
            some.push((number, item));
            if weight >= CHUNK {
                break;
            }
        }
        Ok(some)
    }

    fn write_item(&mut self, item: Item) -> Result<(), ImportError> {
        let verdict = self.changes.write(item, self.file)?;
        self.report.uncount(Verdict::Taken);
        self.report.count(verdict);
        let is_last = self.steps.written();
        Ok(self.changes.keep_up(is_last, &mut || self.steps.tell_durable())?)
    }
}

fn corners(body: &Body) -> usize {
    nodes(body).map_or(0, <[_]>::len)
}
