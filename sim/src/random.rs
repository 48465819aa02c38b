//! Numbers and secrets that are random, or the same in every run if a seed was given.

use std::hash::{BuildHasher, RandomState};

/// A generator of the splitmix64 kind. It guards nothing: what it makes is for devices on a desk.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A generator that starts from `seed`, or from wherever the operating system says.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        // The standard library keys its hash maps from the operating system's randomness.
        Self(seed.unwrap_or_else(|| RandomState::new().hash_one(0)))
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A text of 32 hex digits, as the platform's secrets are.
    pub(crate) fn secret(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }

    /// A product key as the platform makes them: `a1` and nine letters or digits.
    pub(crate) fn product_key(&mut self) -> String {
        let alphabet = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";
        let mut letter = || {
            let at = self.next() as usize % alphabet.len();
            alphabet.get(at).copied().map_or('0', char::from)
        };
        let nine: String = (0..9).map(|_| letter()).collect();
        format!("a1{nine}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_secrets_and_none_gives_others() {
        assert_eq!(Random::new(Some(7)).secret(), Random::new(Some(7)).secret());
        assert_ne!(Random::new(None).secret(), Random::new(None).secret());
        assert_eq!(Random::new(None).secret().len(), 32);
        assert_eq!(Random::new(None).product_key().len(), 11);
    }
}
