//! A file applied to what is held: resolved whole, then written (`design/map.md`).

use super::append::Appender;
use super::changes::Changes;
use super::judge::Verdict;
use super::{ImportReport, Steps};
use crate::error::ImportError;
use kappadb_geo::ElementKind;
use kappadb_geo::id::osm;
use kappadb_import::{Bare, Import};

/// Items in memory at once.
const CHUNK: usize = 1_000;

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
            self.changes.let_in()?;
            self.changes.prepare(some.iter().map(|item| item.id().to_owned()))?;
            for item in &some {
                let verdict = self.changes.judge(item)?;
                let was_written = self.begun.is_some_and(|begun| self.verdicts.len() < begun);
                let is_ours = verdict == Verdict::Unchanged && was_written;
                self.report.count(if is_ours { Verdict::Taken } else { verdict });
                self.steps.compared(verdict);
                self.verdicts.push(verdict);
            }
        }
    }

    fn write_bare(&mut self) -> Result<(), ImportError> {
        let Apply { changes, file, report, begun, .. } = self;
        let mut some = Vec::with_capacity(CHUNK);
        let mut write = |some: &mut Vec<Bare>| {
            changes.let_in()?;
            changes.prepare(some.iter().map(|said| osm(ElementKind::Node, said.node.id)))?;
            for said in some.drain(..) {
                let verdict = changes.write_bare(&said)?;
                let is_ours = verdict == Verdict::Unchanged && begun.is_some();
                report.bare += 1;
                report.count(if is_ours { Verdict::Taken } else { verdict });
                changes.keep_up(false, &mut || ())?;
            }
            Ok(())
        };
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
            let verdicts = &self.verdicts;
            let is_wanted =
                |number: usize, kind| wanted(kind) && verdicts.get(number) == Some(&Verdict::Taken);
            let some = self.file.items_from(next, is_wanted)?.take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            let Some((last, _)) = some.last() else { return Ok(()) };
            next = last + 1;
            self.changes.prepare_items(some.iter().map(|(_, item)| item))?;
            for (_, item) in some {
                let verdict = self.changes.write(item, self.file)?;
                self.report.uncount(Verdict::Taken);
                self.report.count(verdict);
                let is_last = self.steps.written();
                self.changes.keep_up(is_last, &mut || self.steps.tell_durable())?;
            }
        }
    }
}
