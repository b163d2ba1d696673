//! Fuzzes what a delete of a map feature says.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::delete(data));
