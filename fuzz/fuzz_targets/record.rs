//! Fuzzes one record of the journal.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::record(data));
