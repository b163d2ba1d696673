//! Fuzzes a map feature's payload.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::feature(data));
