//! The seeds run through their targets, without cargo-fuzz.

use std::fs;
use std::path::Path;

/// Bytes that all seeds together may have.
const ROOM: u64 = 200 << 10;

#[test]
fn every_target_has_seeds_and_takes_them() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut bytes = 0;
    for (name, run) in kappadb_fuzz::TARGETS {
        let files: Vec<_> =
            fs::read_dir(seeds.join(name)).expect(name).map(|file| file.expect(name).path()).collect();
        assert!(!files.is_empty(), "{name} has no seeds");
        for file in files {
            println!("{}", file.display());
            let data = fs::read(&file).expect(name);
            bytes += data.len() as u64;
            run(&data);
        }
    }
    assert!(bytes < ROOM, "{bytes} bytes of seeds");
}

#[test]
fn every_target_takes_nothing_and_noise() {
    for (_, run) in kappadb_fuzz::TARGETS {
        run(&[]);
        for byte in 0..=255 {
            run(&[byte]);
            run(&[byte; 40]);
        }
    }
}
