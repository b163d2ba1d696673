//! Fuzzes a journal of hostile segment files.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::segment(data));
