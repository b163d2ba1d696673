//! A process that may have no more files open: what it is told, and what is left behind.

#![expect(clippy::unwrap_used, reason = "tests may fail loudly")]

#[expect(dead_code, reason = "each test program uses a part of it")]
mod common;

use common::{builder, run};
use kappadb::{Cause, CreateError, OpenError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;

#[test]
fn a_database_that_finds_no_files_to_open_says_so_and_leaves_no_folder_behind() {
    run(async {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum }).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (held, new) = (dir.path().join("held"), dir.path().join("new"));
        let database = builder(&held).create().await.unwrap();
        database.kv().put("key", "value").await.unwrap();
        database.close().await.unwrap();
        // So many are left: from none to almost enough.
        for left in (0..12).chain([20, 50, 80]) {
            let mut taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
            taken.truncate(taken.len() - left.min(taken.len()));
            let made = builder(&new).create().await;
            let opened = builder(&held).open().await;
            drop(taken);
            let error = made.err().unwrap();
            assert_eq!(Cause::of(&error), Some(Cause::TooManyFiles), "{left}: {error:?}");
            assert!(error.to_string().contains("too many open files"), "{left}: {error}");
            assert!(!new.exists(), "{left}: {:?}", std::fs::read_dir(&new).unwrap().collect::<Vec<_>>());
            assert!(matches!(error, CreateError::Open(OpenError::TooManyFiles { .. })), "{left}");
            let error = opened.err().unwrap();
            assert_eq!(Cause::of(&error), Some(Cause::TooManyFiles), "{left}: {error:?}");
        }
        // What was in the folder before stays.
        std::fs::create_dir(&new).unwrap();
        std::fs::write(new.join("notes"), "dear").unwrap();
        let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).skip(20).collect();
        assert!(builder(&new).create().await.is_err());
        drop(taken);
        let names: Vec<_> =
            std::fs::read_dir(&new).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["notes"]);
        builder(&new).create().await.unwrap();
        let database = builder(&held).open().await.unwrap();
        assert!(database.warnings().is_empty(), "{:?}", database.warnings());
        assert_eq!(database.kv().get("key").await.unwrap().one().unwrap().text(), Some("value"));
        assert_eq!(database.verify().await.unwrap(), [""; 0]);
    });
}
