//! Fuzzes ids, keys and extents as people type them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::text(data));
