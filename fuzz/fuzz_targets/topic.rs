//! Fuzzes `topic`: see fuzz/src/topic.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::topic(bytes));
