//! Fuzzes the name of a channel.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::channel(data));
