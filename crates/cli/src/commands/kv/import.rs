//! `kv import`: JSON lines, of which the damaged ones are told and left out.

use super::Context;
use crate::exit::Exit;
use crate::output::{self, count};
use anyhow::Context as _;
use data_encoding::BASE64;
use kappadb::{Database, KeyError, Kv, KvError, KvOp, MAX_VALUE, WriterError};
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Bytes of a line, at most: any value in base64, or as text with every character escaped, and what goes with it.
const MAX_LINE: u64 = 6 * MAX_VALUE as u64 + (1 << 20);
/// Changes in one batch, and about the bytes of their values.
const MAX_OPS: usize = 1_000;
const MAX_BYTES: usize = 4 << 20;

#[derive(Deserialize)]
struct Line {
    key: Option<String>,
    key_base64: Option<String>,
    value: Option<String>,
    value_base64: Option<String>,
    writer: Option<String>,
}

/// Why a line was left out.
#[derive(Debug, thiserror::Error)]
enum BadLine {
    #[error("it is longer than any value may be")]
    TooLong,
    #[error("no JSON object with text as \"key\" and \"value\": {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0:?} is missing")]
    Missing(&'static str),
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
    let unread = || format!("cannot read {}", file.display());
    let mut input: Box<dyn BufRead> = match file == Path::new("-") {
        true => Box::new(BufReader::new(io::stdin())),
        false => Box::new(BufReader::new(File::open(file).with_context(unread)?)),
    };
    let database = context.open().await?;
    let mut import = Import::new(&database);
    let mut line = Vec::new();
    let mut number = 0_u64;
    while read_line(&mut input, &mut line).with_context(unread)? {
        number += 1;
        import.line(number, &line).await?;
    }
    import.flush().await?;
    let Import { imported, damaged, .. } = import;
    database.close().await?;
    let text = format!("{} imported, {} left out", count(imported, "value"), count(damaged, "damaged line"));
    output::result(&json!({ "imported": imported, "damaged": damaged }), &text)?;
    Ok(Exit::done_if(damaged == 0))
}

/// The next line, without its end. One that is too long is read to its end and cut off after [`MAX_LINE`] bytes.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    if input.take(MAX_LINE + 1).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() as u64 > MAX_LINE {
        input.skip_until(b'\n')?;
    }
    Ok(true)
}

fn parse(line: &[u8]) -> Result<(KvOp, Option<String>), BadLine> {
    if line.len() as u64 > MAX_LINE {
        return Err(BadLine::TooLong);
    }
    let Line { key, key_base64, value, value_base64, writer } = serde_json::from_slice(line)?;
    let key = bytes("key", key, key_base64)?;
    kappadb::check_key(&key)?;
    let value = bytes("value", value, value_base64)?;
    if value.len() > MAX_VALUE {
        return Err(BadLine::Value(value.len()));
    }
    Ok((KvOp::put(key, value), writer))
}

fn bytes(name: &'static str, text: Option<String>, base64: Option<String>) -> Result<Vec<u8>, BadLine> {
    match (text, base64) {
        (Some(text), _) => Ok(text.into_bytes()),
        (None, Some(text)) => BASE64.decode(text.as_bytes()).map_err(|_| BadLine::Base64(name)),
        (None, None) => Err(BadLine::Missing(name)),
    }
}

/// An import under way: changes gathered for one batch by one writer, no two of one key.
struct Import<'a> {
    database: &'a Database,
    writers: BTreeMap<String, Kv>,
    writer: Option<String>,
    ops: Vec<KvOp>,
    keys: HashSet<Vec<u8>>,
    bytes: usize,
    imported: u64,
    damaged: u64,
}

impl<'a> Import<'a> {
    fn new(database: &'a Database) -> Self {
        Import {
            database,
            writers: BTreeMap::new(),
            writer: None,
            ops: Vec::new(),
            keys: HashSet::new(),
            bytes: 0,
            imported: 0,
            damaged: 0,
        }
    }

    async fn line(&mut self, number: u64, line: &[u8]) -> anyhow::Result<()> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let bad = match parse(line) {
            Ok((op, writer)) => self.take(op, writer, line.len()).await?,
            Err(bad) => Some(bad),
        };
        if let Some(bad) = bad {
            self.damaged += 1;
            output::bad_line(number, &bad);
        }
        Ok(())
    }

    async fn take(
        &mut self,
        op: KvOp,
        writer: Option<String>,
        bytes: usize,
    ) -> anyhow::Result<Option<BadLine>> {
        if let Some(name) = &writer
            && let Some(bad) = self.meet(name).await?
        {
            return Ok(Some(bad));
        }
        let full = self.ops.len() >= MAX_OPS || self.bytes + bytes > MAX_BYTES;
        if full || writer != self.writer || self.keys.contains(op.key()) {
            self.flush().await?;
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

    /// Makes durable what was gathered.
    async fn flush(&mut self) -> Result<(), KvError> {
        let ops = std::mem::take(&mut self.ops);
        self.imported += ops.len() as u64;
        self.keys.clear();
        self.bytes = 0;
        match self.writer.as_ref().and_then(|name| self.writers.get(name)) {
            Some(kv) => kv.batch(ops).await?,
            None => self.database.kv().batch(ops).await?,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_cut_at_their_ends_and_the_last_needs_none() {
        let mut input = BufReader::with_capacity(3, &b"one\n\ntwo"[..]);
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while read_line(&mut input, &mut line).unwrap() {
            lines.push(line.clone());
        }
        assert_eq!(lines, [&b"one"[..], b"", b"two"]);
    }

    proptest! {
        #[test]
        fn noise_is_a_bad_line(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&bytes).is_err());
        }

        #[test]
        fn any_key_and_value_come_through(
            key in prop::collection::vec(any::<u8>(), 1..50),
            value in prop::collection::vec(any::<u8>(), 0..50),
            writer in prop::option::of("[a-z]{1,8}"),
        ) {
            let line = json!({
                "key_base64": BASE64.encode(&key), "value_base64": BASE64.encode(&value), "writer": writer, "more": [1],
            });
            let (op, by) = parse(line.to_string().as_bytes()).unwrap();
            prop_assert_eq!((op, by), (KvOp::put(key, value), writer));
        }
    }
}
