//! Rust texts lent to C: NUL-terminated copies that live as long as their owner.

use std::ffi::c_char;

use zeroize::Zeroizing;

/// A NUL-terminated text. Its memory is overwritten when it is dropped, because it may be a secret.
pub(super) struct CText(Zeroizing<Vec<u8>>);

impl Default for CText {
    fn default() -> Self {
        Self::new("")
    }
}

impl CText {
    pub(super) fn new(text: &str) -> Self {
        let mut owned = Self(Zeroizing::new(Vec::with_capacity(text.len() + 1)));
        owned.set(text);
        owned
    }

    /// Replaces the text and returns its address, which is valid until the next change. A NUL
    /// inside the text, which nothing that was checked contains, becomes a question mark.
    pub(super) fn set(&mut self, text: &str) -> *const c_char {
        self.0.clear();
        self.0.extend_from_slice(text.as_bytes());
        for byte in self.0.iter_mut().filter(|byte| **byte == 0) {
            *byte = b'?';
        }
        self.0.push(0);
        self.as_ptr()
    }

    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_copied_with_one_nul_at_its_end() {
        let mut text = CText::new("a\0b");
        assert_eq!(*text.0, b"a?b\0");
        text.set("longer than before");
        assert_eq!(*text.0, b"longer than before\0");
    }
}
