//! The engines that kappadb is compared with. Every batch is durable when it returns; each has 64 MiB of cache.

use super::{Engine, Rows};
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;

const CACHE: usize = 64 << 20;
const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

pub struct Redb(redb::Database);

impl Engine for Redb {
    fn open(dir: &Path) -> Self {
        let mut builder = redb::Database::builder();
        builder.set_cache_size(CACHE);
        Redb(builder.create(dir.join("redb")).expect("open"))
    }

    fn apply(&mut self, rows: Rows) {
        let writing = self.0.begin_write().expect("begin");
        {
            let mut table = writing.open_table(ROWS).expect("table");
            for (key, value) in &rows {
                table.insert(&key[..], &value[..]).expect("insert");
            }
        }
        writing.commit().expect("commit");
    }

    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize {
        let table = self.0.begin_read().expect("begin").open_table(ROWS).expect("table");
        let get = |key: &&Vec<u8>| {
            table.get(&key[..]).expect("get").is_some_and(|row| !row.value().to_vec().is_empty())
        };
        keys.iter().filter(get).count()
    }

    fn scan(&mut self) -> usize {
        let table = self.0.begin_read().expect("begin").open_table(ROWS).expect("table");
        let rows = table.iter().expect("iter").map(|row| {
            let (key, value) = row.expect("row");
            (key.value().to_vec(), value.value().to_vec())
        });
        rows.filter(|(key, value)| !key.is_empty() && !value.is_empty()).count()
    }

    fn verify(&mut self) {
        assert!(self.0.check_integrity().expect("check"));
    }
}

pub struct Sqlite(rusqlite::Connection);

impl Engine for Sqlite {
    fn open(dir: &Path) -> Self {
        let connection = rusqlite::Connection::open(dir.join("sqlite")).expect("open");
        let setup = format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -{};
             CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID",
            CACHE >> 10
        );
        connection.execute_batch(&setup).expect("setup");
        Sqlite(connection)
    }

    fn apply(&mut self, rows: Rows) {
        let writing = self.0.transaction().expect("begin");
        {
            let mut insert =
                writing.prepare_cached("INSERT OR REPLACE INTO rows VALUES (?, ?)").expect("prepare");
            for (key, value) in &rows {
                assert_eq!(insert.execute((key, value)).expect("insert"), 1);
            }
        }
        writing.commit().expect("commit");
    }

    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize {
        let mut select = self.0.prepare_cached("SELECT value FROM rows WHERE key = ?").expect("prepare");
        let get = |key: &&Vec<u8>| select.query_row([key], |row| row.get::<_, Vec<u8>>(0)).is_ok();
        keys.iter().filter(get).count()
    }

    fn scan(&mut self) -> usize {
        let mut select = self.0.prepare_cached("SELECT key, value FROM rows ORDER BY key").expect("prepare");
        let row = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Vec<u8>>(1)?));
        let rows = select.query_map([], row).expect("query").map(|row| row.expect("row"));
        rows.filter(|(key, value)| !key.is_empty() && !value.is_empty()).count()
    }

    fn verify(&mut self) {
        let said: String = self.0.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("check");
        assert_eq!(said, "ok");
    }
}

pub struct Fjall {
    database: fjall::Database,
    rows: fjall::Keyspace,
}

impl Engine for Fjall {
    fn open(dir: &Path) -> Self {
        let database =
            fjall::Database::builder(dir.join("fjall")).cache_size(CACHE as u64).open().expect("open");
        let rows = database.keyspace("rows", fjall::KeyspaceCreateOptions::default).expect("keyspace");
        Fjall { database, rows }
    }

    fn apply(&mut self, rows: Rows) {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncAll));
        rows.into_iter().for_each(|(key, value)| batch.insert(&self.rows, key, value));
        batch.commit().expect("commit");
    }

    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize {
        let get =
            |key: &&Vec<u8>| self.rows.get(key).expect("get").is_some_and(|value| !value.to_vec().is_empty());
        keys.iter().filter(get).count()
    }

    fn scan(&mut self) -> usize {
        let rows = self.rows.iter().map(|row| {
            let (key, value) = row.into_inner().expect("row");
            (key.to_vec(), value.to_vec())
        });
        rows.filter(|(key, value)| !key.is_empty() && !value.is_empty()).count()
    }
}
