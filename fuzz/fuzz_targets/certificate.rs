//! Fuzzes `certificate`: see fuzz/src/certificate.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::certificate(bytes));
