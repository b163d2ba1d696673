//! Fuzzes a ticket's text.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::ticket(data));
