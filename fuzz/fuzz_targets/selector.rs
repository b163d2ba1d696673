//! Fuzzes two selectors and the places that they are asked about.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::selector(data));
