//! Fuzzes `simulator`: see fuzz/src/simulator.rs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| aliot_fuzz::simulator(bytes));
