//! What is fuzzed. Each target takes any bytes and panics if something does not hold.

mod c_interface;
mod certificate;
mod codec;
mod device;
mod handshake;
mod identity;
mod input;
mod registration;
mod simulator;
mod topic;

pub use c_interface::c_interface;
pub use certificate::certificate;
pub use codec::codec;
pub use device::device;
pub use handshake::handshake;
pub use identity::identity;
pub use registration::registration;
pub use simulator::simulator;
pub use topic::topic;

/// A target by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, for who replays their corpora.
pub const TARGETS: [Target; 9] = [
    ("c_interface", c_interface),
    ("certificate", certificate),
    ("codec", codec),
    ("device", device),
    ("handshake", handshake),
    ("identity", identity),
    ("registration", registration),
    ("simulator", simulator),
    ("topic", topic),
];
