//! Fuzzes `registration`: see fuzz/src/registration.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::registration(bytes));
