//! Fuzzes everything that is plain bincode: ranges, known trees, ids, definitions, heads.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::codec(data));
