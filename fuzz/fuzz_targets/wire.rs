//! Fuzzes the bytes of a connection, from the first handshake message on.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kappadb_fuzz::wire(data));
