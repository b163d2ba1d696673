//! Fuzzes blocks with a proof.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::bundle(data));
