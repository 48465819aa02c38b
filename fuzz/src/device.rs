//! The session's state machine: any sequence of calls, packets, cuts and time, against the model of
//! src/proto/device/tests_random.rs.

/// Longest script: libFuzzer finds more in many short walks than in one long.
const MAX_STEPS: usize = 2048;

/// Two bytes of configuration, then the choices of the walk.
pub fn device(bytes: &[u8]) {
    aliot::fuzz_support::walk(&bytes[..bytes.len().min(MAX_STEPS)]);
}
