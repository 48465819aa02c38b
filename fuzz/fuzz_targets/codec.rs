//! Fuzzes `codec`: see fuzz/src/codec.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::codec(bytes));
