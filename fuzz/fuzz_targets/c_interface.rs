//! Fuzzes `c_interface`: see fuzz/src/c_interface.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::c_interface(bytes));
