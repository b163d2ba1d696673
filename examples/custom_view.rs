//! A view of one's own: a list of tasks that several people edit, with what is open at hand.
//!
//! `cargo run -p kappadb-examples --example custom_view`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use kappadb::view::{
    Change, Draft, Index, Keyed, KeyedIndex, Kind, Notice, Overlay, Selector, Tree, Upkeep, Version, View,
    ViewError, prefix_range, rules,
};
use kappadb::{Database, EntryId, FeedKey, Source};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A random number above 1,023: the space of this program's keys and kinds.
const SPACE: u32 = 0x7a5c;
const OPEN: u8 = 0;
const DONE: u8 = 1;

/// Row prefixes. Those from 1 up are the view's own.
const KEYED: u8 = 1;
const OPEN_TASKS: u8 = 2;

#[derive(Default)]
struct Tasks;

struct TaskIndex {
    rows: Arc<dyn Tree>,
    keyed: Keyed,
}

impl View for Tasks {
    type Index = TaskIndex;

    fn name(&self) -> &str {
        "tasks"
    }

    fn version(&self) -> u32 {
        1
    }

    fn open(&self, rows: Arc<dyn Tree>) -> Result<TaskIndex, ViewError> {
        let keyed = Keyed::open(KEYED, SPACE, &rows)?;
        Ok(TaskIndex { rows, keyed })
    }
}

impl Index for TaskIndex {
    /// Keeps a row for each task that any head says is open: two people who disagree leave it open.
    fn apply(&mut self, changes: &[Change<'_>], rows: &mut Overlay<'_>) -> Result<Vec<Notice>, ViewError> {
        for update in self.keyed.apply_all(rows, changes)? {
            let row = [&[OPEN_TASKS], update.key.as_slice()].concat();
            match rules::heads(&update.after).iter().any(|head| head.kind.code == OPEN) {
                true => rows.put(row, Vec::new()),
                false => rows.delete(row),
            }
        }
        Ok(Vec::new())
    }

    /// The keys are tidied in the background.
    fn upkeep(&mut self, idle: bool) -> Option<Box<dyn Upkeep<Self>>> {
        self.keyed.upkeep(idle, |index| &mut index.keyed)
    }

    fn matches(&self, selector: &Selector, without: &BTreeSet<FeedKey>) -> Result<Vec<EntryId>, ViewError> {
        self.keyed.read().matches(selector, without)
    }
}

impl KeyedIndex for TaskIndex {
    fn active(&self, key: &[u8]) -> Result<Vec<Version>, ViewError> {
        self.keyed.read().active(key)
    }
}

impl TaskIndex {
    fn open_tasks(&self) -> Result<Vec<String>, ViewError> {
        let name = |key: &[u8]| String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
        prefix_range(&*self.rows, &[OPEN_TASKS]).map(|row| Ok(name(&row?.0))).collect()
    }
}

fn task(name: &str, code: u8) -> Draft {
    let kind = Kind { space: SPACE, code };
    Draft { key: Some(name.as_bytes().to_vec()), ..Draft::new(kind) }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let database = Database::builder(scratch.path().join("mine")).create().await?;
    let tasks = database.view(Tasks).await?;

    database.replace(&tasks, task("water the plants", OPEN)).await?;
    database.replace(&tasks, task("feed the cat", OPEN)).await?;
    database.replace(&tasks, task("water the plants", DONE)).await?;

    tasks.ready()?;
    let open = tasks.read(TaskIndex::open_tasks)??;
    println!("still to do: {open:?}");
    assert_eq!(open, ["feed the cat"]);

    // Somebody else asks for the tasks alone: what else is in the database stays where it is.
    database.kv().put("of no interest", "here").await?;
    let server = database.serve(([127, 0, 0, 1], 0).into()).await?;
    let other = Database::builder(scratch.path().join("other")).join(&server.ticket()).await?;
    let theirs = other.view(Tasks).await?;
    let answer = other.ask("tasks", Selector::Everything).from(Source::Peers).await?;
    theirs.ready()?;
    let open = theirs.read(TaskIndex::open_tasks)??;
    println!("fetched {} blocks; still to do there: {open:?}", answer.asked.blocks_fetched);
    assert!(answer.is_complete() && answer.asked.blocks_fetched == 2 && open == ["feed the cat"]);
    other.close().await?;
    server.stop().await;
    database.close().await?;
    Ok(())
}
