//! Fuzzes `handshake`: see fuzz/src/handshake.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::handshake(bytes));
