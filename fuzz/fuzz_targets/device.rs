//! Fuzzes `device`: see fuzz/src/device.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::device(bytes));
