//! Fuzzes an OSM XML file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::import_osm(data));
