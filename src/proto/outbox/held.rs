//! An encoded QoS 1 message, kept until it is acknowledged.

use bytes::{Bytes, BytesMut};

use crate::proto::spares::LARGE;

/// See the module.
#[derive(Debug)]
pub enum Held {
    /// The outbox has it alone.
    Own(BytesMut),
    /// It is on its way into the socket as well, or was.
    Shared(Bytes),
}

impl Held {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether it leaves from its place. A smaller one is copied, together with others, because one
    /// write of many is worth more than a copy of each.
    pub fn is_large(&self) -> bool {
        self.len() >= LARGE
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    /// To be changed, which the socket must not see: a copy, if it still has it.
    pub fn edit(&mut self) -> &mut [u8] {
        if let Self::Shared(bytes) = self {
            let own = std::mem::take(bytes).try_into_mut();
            *self = Self::Own(own.unwrap_or_else(|shared| BytesMut::from(shared.as_ref())));
        }
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(_) => &mut [],
        }
    }

    /// For the socket, without a copy.
    pub fn share(&mut self) -> Bytes {
        if let Self::Own(bytes) = self {
            *self = Self::Shared(std::mem::take(bytes).freeze());
        }
        match self {
            Self::Shared(bytes) => bytes.clone(),
            Self::Own(_) => Bytes::new(),
        }
    }

    /// Its memory, for the next message. None, if the socket still has it.
    pub fn into_memory(self) -> BytesMut {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes.try_into_mut().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_gets_it_without_a_copy_and_the_memory_serves_again() {
        let mut held = Held::Own(BytesMut::from(&b"packet"[..]));
        let place = held.bytes().as_ptr();
        let sent = held.share();
        assert_eq!((sent.as_ptr(), held.share().as_ptr()), (place, place));
        assert_eq!((held.len(), held.bytes()), (6, &b"packet"[..]));
        drop(sent);
        held.edit()[0] = b'P';
        assert_eq!(
            (held.bytes(), held.bytes().as_ptr()),
            (&b"Packet"[..], place)
        );
        assert_eq!(held.share(), "Packet");
        assert_eq!(held.into_memory().as_ptr(), place);
    }

    #[test]
    fn what_the_socket_has_does_not_change_under_it() {
        let mut held = Held::Own(BytesMut::from(&b"packet"[..]));
        let sent = held.share();
        held.edit()[0] = b'P';
        assert_eq!((&sent[..], held.bytes()), (&b"packet"[..], &b"Packet"[..]));
        let again = held.share();
        assert_eq!(held.into_memory().capacity(), 0);
        assert_eq!(&again[..], b"Packet");
    }

    #[test]
    fn large_begins_at_16_kib() {
        let is_large = |len| Held::Own(BytesMut::zeroed(len)).is_large();
        assert_eq!([LARGE - 1, LARGE].map(is_large), [false, true]);
    }
}
