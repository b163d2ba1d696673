//! Fuzzes one GeoJSON feature.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::geojson(data));
