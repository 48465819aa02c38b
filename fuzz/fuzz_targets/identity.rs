//! Fuzzes `identity`: see fuzz/src/identity.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::identity(bytes));
