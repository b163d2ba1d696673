//! Fuzzes where a payload lies that has blocks of its own, and a block of it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::detached(data));
