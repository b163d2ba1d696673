//! `kv import`: JSON lines, of which the damaged ones are told and left out.

use super::Context;
use crate::commands::input::{Input, progress};
use crate::console::{Console, count};
use crate::exit::Exit;
use data_encoding::BASE64;
use kappadb::lines::{LineError, Lines, Next, Object};
use kappadb::{Database, KeyError, Kv, KvError, KvOp, MAX_VALUE, Value, WriterError};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, BufRead};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// Changes in one batch, and about the bytes of their values.
const MAX_OPS: usize = 1_000;
const MAX_BYTES: usize = 4 << 20;
/// Values looked up at a time: each may have many megabytes.
const LOOK: usize = 50;
/// What came is made durable after so long, however little it is.
const FLUSH: Duration = Duration::from_secs(1);
/// What a line may say.
const FIELDS: &[&str] = &["key", "key_base64", "value", "value_base64", "writer"];

/// Why a line was left out.
#[derive(Debug, thiserror::Error)]
enum BadLine {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("{0:?} is no base64")]
    Base64(&'static str),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("a value of {0} bytes; it may have at most {MAX_VALUE}")]
    Value(usize),
    #[error(transparent)]
    Writer(WriterError),
}

pub async fn run(context: &Context, file: &Path) -> anyhow::Result<Exit> {
    let console = &context.console;
    let (input, stopped) = Input::open(console, file)?;
    let database = context.open().await?;
    let mut import = Import::new(console, &database);
    let mut lines = Lines::new(input, FIELDS);
    let read = import.take_all(&mut lines).await;
    // What came before an input that broke off is kept.
    let kept = if matches!(read, Ok(Err(_))) { import.flush(lines.number()).await } else { Ok(()) };
    let Import { imported, known, damaged, safe, .. } = import;
    let broken_off = |error: anyhow::Error| error.context(progress(file, &count(safe, "line")));
    read.map_err(broken_off)?.map_err(|error| broken_off(error.into()))?;
    kept.map_err(|error| broken_off(error.into()))?;
    context.close(database).await?;
    let here = if known > 0 { format!("{known} were here already, ") } else { String::new() };
    let left_out = count(damaged, "damaged line");
    let text = format!("{} imported, {here}{left_out} left out", count(imported, "value"));
    console.result(&json!({ "imported": imported, "known": known, "damaged": damaged }), &text)?;
    Ok(Exit::done_if(!stopped.tell(console) && damaged == 0))
}

fn parse(mut line: Object) -> Result<(KvOp, Option<String>), BadLine> {
    let key = bytes(&mut line, "key", "key_base64")?;
    kappadb::check_key(&key)?;
    let value = bytes(&mut line, "value", "value_base64")?;
    if value.len() > MAX_VALUE {
        return Err(BadLine::Value(value.len()));
    }
    Ok((KvOp::put(key, value), line.text_if_any("writer")?))
}

fn bytes(line: &mut Object, name: &'static str, in_base64: &'static str) -> Result<Vec<u8>, BadLine> {
    match (line.text_if_any(name)?, line.text_if_any(in_base64)?) {
        (Some(text), _) => Ok(text.into_bytes()),
        (None, Some(text)) => BASE64.decode(text.as_bytes()).map_err(|_| BadLine::Base64(in_base64)),
        (None, None) => Err(LineError::Missing(name).into()),
    }
}

/// An import under way: changes gathered for one batch by one writer, no two of one key.
struct Import<'a> {
    console: &'a Console,
    database: &'a Database,
    writers: BTreeMap<String, Kv>,
    writer: Option<String>,
    ops: Vec<KvOp>,
    keys: HashSet<Vec<u8>>,
    bytes: usize,
    flushed: Instant,
    imported: u64,
    /// Values that were here already.
    known: u64,
    damaged: u64,
    /// All lines up to this one are durable.
    safe: u64,
}

impl<'a> Import<'a> {
    fn new(console: &'a Console, database: &'a Database) -> Self {
        Import {
            console,
            database,
            writers: BTreeMap::new(),
            writer: None,
            ops: Vec::new(),
            keys: HashSet::new(),
            bytes: 0,
            flushed: Instant::now(),
            imported: 0,
            known: 0,
            damaged: 0,
            safe: 0,
        }
    }

    /// Takes all that can be read. The inner error is the input's.
    async fn take_all(&mut self, lines: &mut Lines<impl BufRead>) -> anyhow::Result<io::Result<()>> {
        loop {
            match block_in_place(|| lines.next_line()) {
                Ok(Next::Line(line)) => self.take_line(lines.number(), line).await?,
                Ok(Next::Idle) => {}
                Ok(Next::End) => {
                    self.flush(lines.number()).await?;
                    return Ok(Ok(()));
                }
                Err(error) => return Ok(Err(error)),
            }
            if self.flushed.elapsed() >= FLUSH {
                self.flush(lines.number()).await?;
            }
        }
    }

    async fn take_line(&mut self, number: u64, line: Result<Object, LineError>) -> anyhow::Result<()> {
        let bad = match line.map_err(BadLine::from).and_then(parse) {
            Ok((op, writer)) => self.take(number, op, writer).await?,
            Err(bad) => Some(bad),
        };
        if let Some(bad) = bad {
            self.damaged += 1;
            self.console.bad_line(number, &bad);
        }
        Ok(())
    }

    async fn take(
        &mut self,
        number: u64,
        op: KvOp,
        writer: Option<String>,
    ) -> anyhow::Result<Option<BadLine>> {
        if let Some(name) = &writer
            && let Some(bad) = self.meet(name).await?
        {
            return Ok(Some(bad));
        }
        let bytes = if let KvOp::Put { value, .. } = &op { value.len() } else { 0 };
        let full = self.ops.len() >= MAX_OPS || self.bytes + bytes > MAX_BYTES;
        if full || writer != self.writer || self.keys.contains(op.key()) {
            self.flush(number - 1).await?;
        }
        self.writer = writer;
        self.bytes += bytes;
        self.keys.insert(op.key().to_vec());
        self.ops.push(op);
        Ok(None)
    }

    /// Sees to it that there is a writer of this name.
    async fn meet(&mut self, name: &str) -> anyhow::Result<Option<BadLine>> {
        if !self.writers.contains_key(name) {
            match self.database.new_writer(name).await {
                Ok(_) | Err(WriterError::Exists(_)) => {}
                Err(bad @ WriterError::Name(_)) => return Ok(Some(BadLine::Writer(bad))),
                Err(error) => return Err(error.into()),
            }
            self.writers.insert(name.to_owned(), self.database.with_writer(name).await?.kv());
        }
        Ok(None)
    }

    /// Makes durable what was gathered: with it, all lines up to this one are.
    async fn flush(&mut self, number: u64) -> Result<(), KvError> {
        self.flushed = Instant::now();
        let gathered = std::mem::take(&mut self.ops);
        self.keys.clear();
        self.bytes = 0;
        let kv = match self.writer.as_ref().and_then(|name| self.writers.get(name)) {
            Some(kv) => kv.clone(),
            None => self.database.kv(),
        };
        let (all, ops) = (gathered.len() as u64, changes(&kv, gathered).await?);
        let new = ops.len() as u64;
        if !ops.is_empty() {
            kv.batch(ops).await?;
        }
        self.imported += new;
        self.known += all - new;
        self.safe = number;
        Ok(())
    }
}

/// Those of `ops` that change something: a key of which the one version says the same stays as it is. So an import that was broken off
/// goes on where it was when it is run again.
async fn changes(kv: &Kv, ops: Vec<KvOp>) -> Result<Vec<KvOp>, KvError> {
    let mut changes = Vec::with_capacity(ops.len());
    let mut ops = ops.into_iter();
    loop {
        let some: Vec<KvOp> = ops.by_ref().take(LOOK).collect();
        if some.is_empty() {
            return Ok(changes);
        }
        let keys: Vec<&[u8]> = some.iter().map(KvOp::key).collect();
        let values = kv.get_all(&keys).await?;
        let known = |op: &KvOp, value: Option<&Value>| match (op, value) {
            (KvOp::Put { value: new, .. }, Some(old)) => {
                old.heads.len() == 1 && old.bytes.as_ref().is_some_and(|old| old == new)
            }
            _ => false,
        };
        let pairs = some.into_iter().zip(values);
        changes.extend(pairs.filter(|(op, value)| !known(op, value.as_ref())).map(|(op, _)| op));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(line: &str) -> Result<(KvOp, Option<String>), BadLine> {
        match Lines::new(line.as_bytes(), FIELDS).next_line().unwrap() {
            Next::Line(line) => line.map_err(BadLine::from).and_then(parse),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn any_key_and_value_come_through(
            key in prop::collection::vec(any::<u8>(), 1..50),
            value in prop::collection::vec(any::<u8>(), 0..50),
            writer in prop::option::of("[a-z]{1,8}"),
        ) {
            let line = json!({
                "key_base64": BASE64.encode(&key), "value_base64": BASE64.encode(&value), "writer": writer, "more": [1],
            });
            let (op, by) = parsed(&line.to_string()).unwrap();
            prop_assert_eq!((op, by), (KvOp::put(key, value), writer));
        }
    }
}
