//! Fuzzes an entry of chat.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::chat(data));
