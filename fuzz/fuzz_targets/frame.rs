//! Fuzzes one frame of a session.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::frame(data));
