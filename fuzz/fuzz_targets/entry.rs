//! Fuzzes one block, whole or cleared.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::entry(data));
