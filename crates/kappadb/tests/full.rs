//! A disk of its own that is full for a while, under a process that goes on. Needs to be allowed to mount one (root); else the tests say
//! that they are skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests may fail loudly, and say what they skip"
)]

use kappadb::{Database, KeyRange, ScanOptions};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A small disk in memory.
struct Disk {
    dir: TempDir,
}

impl Disk {
    fn new(size: &str) -> Option<Disk> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(dir.path())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("SKIPPED: this user may not mount a disk of a stated size");
        }
        mounted.then_some(Disk { dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Takes all but so many bytes of the room.
    fn fill(&self, left: u64) {
        let disk = rustix::fs::statvfs(self.dir.path()).unwrap();
        let free = disk.f_bavail * disk.f_frsize;
        let mut bytes = usize::try_from(free.saturating_sub(left)).unwrap();
        while fs::write(self.path("filler"), vec![1; bytes]).is_err() {
            bytes -= 4096;
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.path("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: of a store that could not be closed this process has files open.
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

async fn open(dir: &Path, state: &Path) -> Database {
    Database::builder(dir).state(state).open().await.unwrap()
}

async fn check(database: &Database, keys: usize) {
    assert_eq!(count(database).await, keys);
    assert_eq!(database.verify().await.unwrap(), [""; 0]);
}

async fn count(database: &Database) -> usize {
    let all = database.kv().scan(&KeyRange::ALL, &ScanOptions::default()).await.unwrap();
    all.items.len()
}

#[tokio::test]
async fn a_process_reads_on_a_full_disk_and_writes_again_once_there_is_room() {
    let Some(disk) = Disk::new("8m") else { return };
    let (dir, state) = (disk.path("db"), tempfile::tempdir().unwrap());
    let database = Database::builder(&dir).state(state.path()).create().await.unwrap();
    let kv = database.kv();
    let mut tea = "green".to_owned();
    kv.put("tea", &*tea).await.unwrap();
    for left in [0, 4096, 100_000, 700_000] {
        disk.fill(left);
        let (mut taken, mut refused) = (0, None);
        while refused.is_none() && taken < 1000 {
            match kv.put(format!("{left}/{taken:04}"), vec![b'x'; 20_000]).await {
                Ok(_) => taken += 1,
                Err(error) => refused = Some(error.to_string()),
            }
        }
        let refused = refused.unwrap();
        assert!(refused.contains("full"), "{refused}");
        // Long enough for the derived data to have been flushed, had there been room.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert_eq!(kv.get("tea").await.unwrap().one().unwrap().text(), Some(&*tea), "{left}");
        for n in 0..taken {
            let key = format!("{left}/{n:04}");
            assert!(kv.get(&key).await.unwrap().one().is_some(), "{key}");
        }
        assert!(kv.get(format!("{left}/{taken:04}")).await.unwrap().one().is_none(), "it was refused");
        assert_eq!(database.verify().await.unwrap(), [""; 0]);
        disk.make_room();
        tea = format!("after {left}");
        kv.put("tea", &*tea).await.unwrap();
        assert_eq!(kv.get("tea").await.unwrap().one().unwrap().text(), Some(&*tea));
    }
    let before = count(&database).await;
    drop(kv);
    database.close().await.unwrap();
    let database = open(&dir, state.path()).await;
    assert_eq!((count(&database).await, database.warnings()), (before, vec![]));
    assert_eq!(database.verify().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn what_was_acknowledged_before_the_disk_was_full_is_there_whenever_it_is_opened() {
    let Some(disk) = Disk::new("6m") else { return };
    let (dir, state) = (disk.path("db"), tempfile::tempdir().unwrap());
    let mut database = Database::builder(&dir).state(state.path()).create().await.unwrap();
    let mut keys = 0;
    for left in [2_000_000, 600_000, 0, 4096, 50_000] {
        disk.fill(left);
        while database.kv().put(format!("{keys:05}"), vec![b'x'; 3000]).await.is_ok() {
            keys += 1;
        }
        database.close().await.unwrap();
        // Full as it is, and then not.
        let full = open(&dir, state.path()).await;
        check(&full, keys).await;
        full.close().await.unwrap();
        disk.make_room();
        database = open(&dir, state.path()).await;
        check(&database, keys).await;
    }
}
