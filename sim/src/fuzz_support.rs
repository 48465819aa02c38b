//! What fuzz/ reaches into: the reader of what devices send.
//!
//! Behind the feature `fuzzing`, which is for that alone. No promise covers what is in here.

use bytes::{Bytes, BytesMut};

use crate::packet::{self, Fault};

/// Takes the next whole packet off `buffer` and writes it again.
///
/// # Errors
///
/// Why the stream cannot be read on.
pub fn next_packet(buffer: &mut BytesMut) -> Result<Option<Bytes>, String> {
    match packet::next(buffer) {
        Ok(packet) => Ok(packet.as_ref().map(packet::encode)),
        Err(Fault::Version(reason) | Fault::Malformed(reason)) => Err(reason),
    }
}
