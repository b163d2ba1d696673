//! kappadb as its user has it.

use super::{Engine, Rows, timed};
use kappadb::{Database, KeyRange, KvOp, ScanOptions};
use std::path::Path;
use std::time::Instant;
use tokio::runtime::Runtime;

pub struct Kappa {
    runtime: Runtime,
    database: Database,
}

impl Engine for Kappa {
    fn open(dir: &Path) -> Self {
        let runtime = Runtime::new().expect("runtime");
        let builder = || Database::builder(dir.join("kappa"));
        let there = dir.join("kappa").is_dir();
        let database = runtime.block_on(async {
            if there {
                builder().open().await.expect("open")
            } else {
                builder().create().await.expect("create")
            }
        });
        Kappa { runtime, database }
    }

    fn apply(&mut self, rows: Rows) {
        let ops = rows.into_iter().map(|(key, value)| KvOp::put(key, value)).collect();
        drop(self.runtime.block_on(self.database.kv().batch(ops)).expect("batch"));
    }

    fn get_all(&mut self, keys: &[Vec<u8>]) -> usize {
        let kv = self.database.kv().blocking();
        let held =
            |key: &&Vec<u8>| kv.get(key).expect("get").one().is_some_and(|value| value.bytes.is_some());
        keys.iter().filter(held).count()
    }

    fn scan(&mut self) -> usize {
        let items = self.database.kv().blocking().items(&KeyRange::ALL, &ScanOptions::default());
        let items = items.expect("items").map(|item| item.expect("item"));
        items.filter(|item| !item.key.is_empty() && item.value.bytes.is_some()).count()
    }

    fn settle(&mut self) {
        self.runtime.block_on(self.database.ready()).expect("ready");
    }

    fn verify(&mut self) {
        assert_eq!(self.runtime.block_on(self.database.verify()).expect("verify"), Vec::<String>::new());
    }

    fn rebuild(dir: &Path) -> Option<f64> {
        let runtime = Runtime::new().expect("runtime");
        let start = Instant::now();
        runtime.block_on(async {
            let database = Database::builder(dir.join("kappa")).rebuild().open().await.expect("rebuild");
            database.ready().await.expect("ready");
            database.close().await.expect("close");
        });
        Some(start.elapsed().as_secs_f64())
    }

    fn more(&mut self, keys: &[Vec<u8>], few: &[Vec<u8>]) {
        let kv = self.database.kv();
        let get = async |key: &Vec<u8>| {
            kv.get(key).await.expect("get").one().is_some_and(|value| value.bytes.is_some())
        };
        for (how, keys) in [("", keys), (" of 1,000 keys", few)] {
            let (found, seconds) = timed(|| {
                self.runtime.block_on(async {
                    let mut found = 0;
                    for key in keys {
                        found += usize::from(get(key).await);
                    }
                    found
                })
            });
            assert_eq!(found, keys.len());
            println!("  async get, one after the other{how}: {:.0}/s", found as f64 / seconds);
        }
        let (found, seconds) = timed(|| {
            let found =
                keys.chunks(1_000).map(|keys| self.runtime.block_on(kv.get_all(keys)).expect("get_all"));
            found.flatten().flatten().count()
        });
        assert_eq!(found, keys.len());
        println!("  get_all of 1,000: {:.0}/s", found as f64 / seconds);
    }

    fn close(self) {
        self.runtime.block_on(self.database.close()).expect("close");
    }
}
