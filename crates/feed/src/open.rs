//! Opening: the journal is made sure of, and derived state brought up to it or made anew.

use crate::blocks::{Blocks, run_of};
use crate::config::{Config, OpenReport, Rebuilt, lock};
use crate::index::Index;
use crate::keys::Keys;
use crate::replay::{Found, Replay};
use crate::rows::{self, Cursor, FeedRow, tag};
use crate::state::{FeedState, Visible};
use crate::writer::Writer;
use crate::{CommitError, OpenError, ReadError, lost};
use kappadb_core::limits::MAX_FEED_BLOCKS;
use kappadb_core::{FeedKey, Head, Lseq};
use kappadb_journal::{Damage, DirLock, Journal, Locking, Position, Reader, Record, Recovery};
use kappadb_merkle::{ForkEvidence, root_hash};
use kappadb_store::{Store, StoreError, Tree, prefix_range};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, RwLock};

/// What opening makes.
pub(crate) struct Opened {
    pub writer: Writer,
    pub blocks: Arc<Blocks>,
    pub visible: Arc<RwLock<Visible>>,
    pub lock: Arc<DirLock>,
    pub report: OpenReport,
}

/// Derived state as it was found.
enum Derived {
    Usable(Arc<dyn Tree>, Box<Cursor>),
    Useless(Rebuilt),
}

pub(crate) fn open(mut config: Config, progress: &mut dyn FnMut(u64, u64)) -> Result<Opened, OpenError> {
    let lock = match config.lock.take() {
        Some(lock) => lock,
        None => Arc::new(lock(&config.dir, &Locking::default())?),
    };
    let keys = Keys::load(&config.dir)?;
    let derived = find(&config);
    let journal = config.dir.join("journal");
    let kept = config.disk.is_some() || Journal::exists(&journal);
    if !kept && !keys.is_empty() && matches!(derived, Derived::Useless(_)) {
        return Err(OpenError::Gone(journal));
    }
    let (journal, recovery) = open_journal(&config, &derived, progress)?;
    let reader = journal.reader();
    let layout = journal.layout();
    let (index, cursor, rebuilt) = load(&config, derived, &reader, &recovery, &layout)?;
    let (blocks, visible) = (index.blocks.clone(), index.visible.clone());
    let mut writer = Writer {
        journal: Some(journal),
        index,
        keys,
        witness: config.witness.clone(),
        database: config.database,
        appending: BTreeMap::new(),
        damage: Vec::new(),
        anchor: cursor.as_ref().and_then(|cursor| cursor.anchor),
        kept_anchor: None,
        unnoted: BTreeMap::new(),
        dirty: false,
        broken: false,
    };
    let report = catch_up(&mut writer, cursor, recovery, rebuilt, progress)?;
    Ok(Opened { writer, blocks, visible, lock, report })
}

/// The tree and its cursor, if both are there and ours.
fn find(config: &Config) -> Derived {
    let Ok(tree) = config.store.tree(rows::TREE) else { return Derived::Useless(Rebuilt::Unreadable) };
    match tree.get(&rows::cursor_key()) {
        Err(_) => Derived::Useless(Rebuilt::Unreadable),
        Ok(None) => Derived::Useless(Rebuilt::Missing),
        Ok(Some(value)) => match rows::read_cursor(&value) {
            Some(cursor) if cursor.format == rows::FORMAT && cursor.database == config.database => {
                Derived::Usable(tree, Box::new(cursor))
            }
            _ => Derived::Useless(Rebuilt::Unreadable),
        },
    }
}

fn open_journal(
    config: &Config,
    derived: &Derived,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Journal, Recovery), OpenError> {
    let start = match derived {
        Derived::Usable(_, cursor) if !cursor.damaged => Some(cursor.durable),
        _ => None,
    };
    let mut random16 = || {
        let mut bytes = [0; 16];
        (config.random)(&mut bytes);
        bytes
    };
    let options = &config.journal;
    Ok(match &config.disk {
        Some(disk) => Journal::open_on(disk.clone(), options, start, &mut random16, progress)?,
        None => Journal::open(&config.dir.join("journal"), options, start, &mut random16, progress)?,
    })
}

/// Reads what was derived; from nothing, if that is no use.
fn load(
    config: &Config,
    derived: Derived,
    reader: &Reader,
    recovery: &Recovery,
    layout: &[(u32, u8)],
) -> Result<(Index, Option<Cursor>, Option<Rebuilt>), OpenError> {
    let why = match derived {
        Derived::Useless(why) => why,
        Derived::Usable(_, cursor) if !fits(&cursor, layout, reader) || !belongs(&cursor, reader) => {
            Rebuilt::Stale
        }
        Derived::Usable(tree, cursor) => match read_whats_left(&*tree, &cursor, reader, recovery) {
            Ok((visible, hurt)) => {
                let blocks = Arc::new(Blocks::new(tree, reader.clone()));
                let index = Index::new(blocks, Arc::new(RwLock::new(visible)));
                return Ok((index, Some(*cursor), hurt.then_some(Rebuilt::Hurt)));
            }
            Err(_) => Rebuilt::Unreadable,
        },
    };
    let tree = empty_tree(&*config.store)?;
    let index = Index::new(Arc::new(Blocks::new(tree, reader.clone())), Arc::default());
    // With an empty journal there was nothing to rebuild.
    let nothing =
        reader.scan(Position::START).all(|item| matches!(item, Ok(l) if is_journals_own(&l.record)));
    Ok((index, None, (!nothing).then_some(why)))
}

/// The readers' picture, and whether blocks that the rows spoke of are lost.
fn read_whats_left(
    tree: &dyn Tree,
    cursor: &Cursor,
    reader: &Reader,
    recovery: &Recovery,
) -> Result<(Visible, bool), ReadError> {
    let hurt = !recovery.damage.is_empty() && lost::take_out(tree, reader, &recovery.damage)?;
    Ok((read(tree, cursor.lseq)?, hurt))
}

fn is_journals_own(record: &Record) -> bool {
    matches!(record, Record::Incarnation(_) | Record::Closed)
}

pub(crate) fn empty_tree(store: &dyn Store) -> Result<Arc<dyn Tree>, StoreError> {
    store.drop_tree(rows::TREE)?;
    store.tree(rows::TREE)
}

/// True if the rows speak of the journal's segments as they are. What led into one of which there is no file any more is taken out.
fn fits(cursor: &Cursor, layout: &[(u32, u8)], reader: &Reader) -> bool {
    cursor.layout.iter().filter(|(segment, _)| !reader.is_missing(*segment)).eq(layout)
}

/// True if the journal has, where the cursor says, the signature that it says.
fn belongs(cursor: &Cursor, reader: &Reader) -> bool {
    let within = cursor.at <= reader.durable();
    let anchored =
        cursor.anchor.is_none_or(|(at, signature)| match reader.read(at).map(|located| located.record) {
            Ok(Record::Head { head, .. } | Record::Fetched { head, .. }) => head.signature == signature,
            _ => false,
        });
    within && anchored
}

/// The readers' picture from the rows.
fn read(tree: &dyn Tree, end: Lseq) -> Result<Visible, ReadError> {
    let mut visible = Visible { end, ..Visible::default() };
    let mut feeds: BTreeMap<u32, FeedState> = BTreeMap::new();
    for row in prefix_range(tree, &[tag::FEED]) {
        let (key, value) = row?;
        let number = rows::feed_number(&key).unwrap_or_default();
        let row = rows::decode::<FeedRow>(&value)?;
        let beyond = row.held > row.front;
        let mut state = FeedState::from_row(number, row);
        if beyond {
            read_beyond(tree, &mut state)?;
        }
        feeds.insert(number, state);
    }
    for row in prefix_range(tree, &[tag::FORK]) {
        let (key, value) = row?;
        let evidence: ForkEvidence = rows::decode(&value)?;
        if let Some(state) = rows::feed_number(&key).and_then(|number| feeds.get_mut(&number)) {
            state.fork = Some((kappadb_merkle::flat::leaf_span(evidence.index).start, Arc::new(evidence)));
        }
    }
    for row in prefix_range(tree, &[tag::CLEARED]) {
        let (key, value) = row?;
        if let Some(state) = rows::feed_number(&key).and_then(|number| feeds.get_mut(&number)) {
            state.cleared = rows::decode(&value)?;
        }
    }
    for row in prefix_range(tree, &[tag::DROPPED]) {
        visible.dropped.extend(rows::feed_at_end(&row?.0));
    }
    for row in prefix_range(tree, &[tag::FORGOTTEN]) {
        let (key, value) = row?;
        if let Some(feed) = rows::feed_at_end(&key) {
            visible.forgotten.insert(feed, rows::decode(&value)?);
        }
    }
    if let Some(row) = tree.get(&rows::settled_key())? {
        visible.settled = rows::decode::<Vec<(u32, u64, u64)>>(&row)?.into_iter().collect();
    }
    feeds.values().try_for_each(check_reach)?;
    feeds.into_values().for_each(|state| visible.show(state));
    Ok(visible)
}

/// The blocks of a feed that are held beyond its first gap.
fn read_beyond(tree: &dyn Tree, state: &mut FeedState) -> Result<(), ReadError> {
    let [first, last] = [state.held.end(), u64::MAX].map(|seq| rows::location_key(state.number, seq));
    for row in tree.range(Bound::Included(&first), Bound::Included(&last)) {
        let (run, _) = run_of(&row?)?;
        state.held.insert(run);
    }
    Ok(())
}

/// No feed holds blocks beyond its longest head.
fn check_reach(state: &FeedState) -> Result<(), ReadError> {
    let heads = state.newest.iter().chain(state.unlinked.iter().map(|unlinked| &unlinked.head));
    let longest = heads.map(|head| head.head.length).max().unwrap_or_default();
    match state.held.end() <= longest.min(MAX_FEED_BLOCKS) {
        true => Ok(()),
        false => {
            Err(ReadError::Beyond { feed: state.definition.feed, end: state.held.end(), length: longest })
        }
    }
}

fn catch_up(
    writer: &mut Writer,
    cursor: Option<Cursor>,
    recovery: Recovery,
    rebuilt: Option<Rebuilt>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<OpenReport, OpenError> {
    let from = cursor.as_ref().map_or(Position::START, |cursor| cursor.at);
    let total = writer.journal()?.next_lseq();
    let layout = writer.journal()?.layout();
    let replay = Replay::new(&mut writer.index, writer.database, writer.anchor, layout.clone(), false);
    let (anchor, Found { problems, damage, dropped, headless }) = replay.run(from, total, progress)?;
    let told = cursor.as_ref().is_some_and(|cursor| {
        (cursor.lseq, cursor.anchor, cursor.damaged) == (total, anchor, false)
            && cursor.layout == layout
            && cursor.durable == cursor.at
    });
    let told = told && !writer.index.has_news();
    writer.anchor = anchor;
    let seen = |damage: &Damage| {
        recovery.damage.iter().any(|d| (d.segment, d.from) == (damage.segment, damage.from))
    };
    let more: Vec<Damage> = damage.into_iter().filter(|damage| !seen(damage)).collect();
    writer.damage = [recovery.damage, more].concat();
    // A cursor that says all there is stays where it is: opening to look writes nothing.
    writer.dirty = !(told && writer.damage.is_empty());
    writer.kept_anchor = anchor;
    writer.commit()?;
    // With damage, the missing head may be among what was lost.
    if writer.damage.is_empty() {
        match headless.iter().try_for_each(|feed| restate_head(writer, feed)).and_then(|()| writer.commit()) {
            // The next append takes their numbers, which says the same.
            Err(error) if error.is_refusal() => {}
            restated => restated?,
        }
    }
    let (damage, cut, incarnation) = (writer.damage.clone(), recovery.cut, recovery.incarnation);
    let settled = writer.unsettled().is_none();
    Ok(OpenReport { rebuilt, cut, damage, settled, dropped, problems, incarnation })
}

/// States the feed's head again: whoever reads the journal later learns that the blocks before it which it does not cover are gone.
fn restate_head(writer: &mut Writer, feed: &FeedKey) -> Result<(), CommitError> {
    let secret = match writer.keys.get(feed) {
        Ok(Some(secret)) => secret.clone(),
        Ok(None) => return Ok(()),
        // Whoever appends to it is told.
        Err(error) => {
            tracing::warn!(%feed, %error, "the head of a feed could not be stated again");
            return Ok(());
        }
    };
    let empty = Head { length: 0, byte_length: 0, root_hash: root_hash(&[]) };
    let newest = writer.index.with(feed, |state| state.newest).flatten();
    let head = newest.unwrap_or_else(|| empty.sign(&writer.database, &secret));
    writer.write(&Record::Head { feed: *feed, head })?;
    Ok(())
}

/// Makes all derived rows anew. Readers see the old picture until the new one is whole; what they read meanwhile may fail.
pub(crate) fn rebuild(writer: &mut Writer, progress: &mut dyn FnMut(u64, u64)) -> Result<(), OpenError> {
    if !writer.broken {
        writer.commit()?;
    }
    let blocks = writer.index.blocks.clone();
    clear(&*blocks.tree)?;
    blocks.forget();
    let mut index = Index::new(blocks, Arc::default());
    let total = writer.journal()?.next_lseq();
    let layout = writer.journal()?.layout();
    let replay = Replay::new(&mut index, writer.database, None, layout, false);
    let (anchor, _) = replay.run(Position::START, total, progress)?;
    (writer.anchor, writer.kept_anchor) = (anchor, anchor);
    index.publish(&writer.cursor()?)?;
    index.show_in(&writer.index.visible.clone());
    writer.appending.clear();
    writer.index = index;
    Ok(())
}

/// Deletes all rows, the cursor first: a crash in between leaves no rows that look whole.
fn clear(tree: &dyn Tree) -> Result<(), ReadError> {
    loop {
        let mut batch = kappadb_store::Batch::new();
        for row in tree.range(Bound::Unbounded, Bound::Unbounded).take(10_000) {
            batch.delete(row?.0);
        }
        if batch.is_empty() {
            return Ok(());
        }
        tree.apply(&batch)?;
    }
}
