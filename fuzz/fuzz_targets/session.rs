//! Fuzzes a whole session with a peer that says anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::session(data));
