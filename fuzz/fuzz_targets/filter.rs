//! Fuzzes a filter and a map feature.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::filter(data));
