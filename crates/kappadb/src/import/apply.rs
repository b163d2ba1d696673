//! A file applied to what is held: resolved whole, then written (`design/map.md`).

use super::append::Appender;
use super::changes::Changes;
use super::judge::Verdict;
use super::{ImportReport, Steps};
use crate::error::ImportError;
use kappadb_geo::ElementKind;
use kappadb_geo::id::parse_osm;
use kappadb_import::{Import, Item};

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
}

impl<'a, 'b> Apply<'a, 'b> {
    pub fn new(
        appender: &'b mut Appender<'a>,
        report: &'b mut ImportReport,
        file: &'b mut Import,
        steps: &'b mut Steps<'a>,
        force: bool,
    ) -> Self {
        Apply { changes: Changes::new(appender, force), file, report, steps, verdicts: Vec::new() }
    }

    pub fn run(mut self) -> Result<(), ImportError> {
        self.resolve()?;
        self.write_bare()?;
        self.changes.write_lost(self.file)?;
        self.write_items(|item| !is_relation(item.id()))?;
        self.changes.write_outdated(self.file)?;
        self.changes.appender.flush_and_index()?;
        self.write_items(|item| is_relation(item.id()))?;
        self.changes.appender.flush_and_index()?;
        self.changes.write_relations(self.file)
    }

    /// Judges every item.
    fn resolve(&mut self) -> Result<(), ImportError> {
        for item in self.file.items()? {
            let verdict = self.changes.judge(&item?)?;
            self.report.count(verdict);
            self.verdicts.push(verdict);
            self.steps.compared();
        }
        Ok(())
    }

    fn write_bare(&mut self) -> Result<(), ImportError> {
        let Apply { changes, file, report, .. } = self;
        file.each_bare(&mut |said| {
            let verdict = changes.write_bare(&said)?;
            report.bare += 1;
            report.count(verdict);
            Ok(())
        })
    }

    /// What was taken, of these items.
    fn write_items(&mut self, wanted: fn(&Item) -> bool) -> Result<(), ImportError> {
        let mut next = 0;
        while next < self.verdicts.len() {
            let items = self.file.items_from(next as u64)?.take(CHUNK).collect::<Result<Vec<_>, _>>()?;
            let count = items.len();
            for (item, at) in items.into_iter().zip(next..).filter(|(item, _)| wanted(item)) {
                if self.verdicts.get(at) == Some(&Verdict::Taken) {
                    self.changes.write(item, self.file)?;
                }
                self.steps.written(self.changes.appender)?;
            }
            next += count.max(1);
        }
        Ok(())
    }
}

fn is_relation(id: &str) -> bool {
    parse_osm(id).is_some_and(|(kind, _)| kind == ElementKind::Relation)
}
