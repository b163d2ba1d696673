//! Fuzzes an .osm.pbf file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::import_pbf(data));
