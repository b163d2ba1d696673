//! Fuzzes fork evidence.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::fork(data));
