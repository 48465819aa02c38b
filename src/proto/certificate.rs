//! What the library itself reads in an X.509 certificate: names, validity, public key.
//!
//! Whether a certificate is good is decided elsewhere, by the TLS library. This serves warnings and
//! pins, and gives up on anything unusual.
//!
//! Source: RFC 5280, 4.1; ITU-T X.690.

/// Pieces of a certificate, as the DER they stand in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Certificate<'a> {
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// SubjectPublicKeyInfo: what a pin is the hash of.
    pub(crate) public_key: &'a [u8],
    /// The last second of its validity, since 1970.
    pub(crate) not_after: u64,
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xA0;

const COMMON_NAME: [u8; 3] = [0x55, 4, 3];
const RSA: [u8; 9] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1];

impl<'a> Certificate<'a> {
    /// Reads `der`, which must be one certificate.
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Reader(Reader(der).content(SEQUENCE)?);
        let mut body = Reader(certificate.content(SEQUENCE)?);
        if body.0.first() == Some(&VERSION) {
            body.element(VERSION)?;
        }
        body.element(INTEGER)?;
        body.element(SEQUENCE)?;
        let issuer = body.element(SEQUENCE)?;
        let mut validity = Reader(body.content(SEQUENCE)?);
        validity.time()?;
        let not_after = validity.time()?;
        let subject = body.element(SEQUENCE)?;
        let public_key = body.element(SEQUENCE)?;
        Some(Self {
            issuer,
            subject,
            public_key,
            not_after,
        })
    }
}

/// The common name in a distinguished name, for people.
pub(crate) fn common_name(name: &[u8]) -> Option<String> {
    let mut parts = Reader(Reader(name).content(SEQUENCE)?);
    let mut found = None;
    while !parts.0.is_empty() {
        let mut attributes = Reader(parts.content(SET)?);
        while !attributes.0.is_empty() {
            let mut attribute = Reader(attributes.content(SEQUENCE)?);
            if attribute.content(OID)? == COMMON_NAME {
                let (_, value, _) = attribute.next()?;
                found = Some(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    found
}

/// The bits of an RSA key, which is given as SubjectPublicKeyInfo. `None` for other keys.
///
/// Source: RFC 3279, 2.3.1.
pub(crate) fn rsa_bits(public_key: &[u8]) -> Option<usize> {
    let mut info = Reader(Reader(public_key).content(SEQUENCE)?);
    let mut algorithm = Reader(info.content(SEQUENCE)?);
    if algorithm.content(OID)? != RSA {
        return None;
    }
    let (unused_bits, key) = info.content(BIT_STRING)?.split_first()?;
    if *unused_bits != 0 {
        return None;
    }
    let modulus = Reader(Reader(key).content(SEQUENCE)?).content(INTEGER)?;
    let at = modulus.iter().position(|&byte| byte != 0)?;
    let (first, rest) = modulus.get(at..)?.split_first()?;
    Some(rest.len() * 8 + 8 - first.leading_zeros() as usize)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Tag, content and whole of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (len, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x0F))?;
                let len = bytes
                    .iter()
                    .fold(0, |len, &byte| len << 8 | usize::from(byte));
                (len, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(len)?;
        let whole = self.0.get(..self.0.len() - rest.len())?;
        self.0 = rest;
        Some((tag, content, whole))
    }

    fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content, _) = self.next()?;
        (found == tag).then_some(content)
    }

    fn element(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, _, whole) = self.next()?;
        (found == tag).then_some(whole)
    }

    fn time(&mut self) -> Option<u64> {
        let (tag, text, _) = self.next()?;
        let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
        let (year, rest) = match tag {
            GENERALIZED_TIME => (text.get(..4)?.parse::<u64>().ok()?, text.get(4..)?),
            UTC_TIME => {
                let short: u64 = text.get(..2)?.parse().ok()?;
                let century = if short < 50 { 2000 } else { 1900 };
                (century + short, text.get(2..)?)
            }
            _ => return None,
        };
        if rest.len() != 10 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let part = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
        let days = days_from_civil(year, part(0)?, part(2)?)?;
        Some(((days * 24 + part(4)?) * 60 + part(6)?) * 60 + part(8)?)
    }
}

/// Days from 1 January 1970; 0 for what is before. Source: Hinnant, "chrono-compatible low-level
/// date algorithms", `days_from_civil`.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9999 {
        return None;
    }
    let (year, shifted) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era).saturating_sub(719_468))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData, date_time_ymd};

    use super::*;

    fn made(not_after: (i32, u8, u8)) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "A name");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Someone");
        params.not_after = date_time_ymd(not_after.0, not_after.1, not_after.2);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        (der, key.subject_public_key_info())
    }

    #[test]
    fn names_validity_and_key_are_those_that_were_put_in() {
        for (date, seconds) in [
            ((2028, 1, 28), 1_832_630_400),
            ((2049, 12, 31), 2_524_521_600),
            ((2050, 1, 1), 2_524_608_000),
            ((2100, 3, 1), 4_107_542_400),
            ((1999, 2, 28), 920_160_000),
        ] {
            let (der, key) = made(date);
            let certificate = Certificate::parse(&der).unwrap();
            assert_eq!(certificate.not_after, seconds);
            assert_eq!(certificate.issuer, certificate.subject);
            assert_eq!(certificate.public_key, key);
            assert_eq!(common_name(certificate.subject).as_deref(), Some("A name"));
        }
    }

    fn der(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    #[test]
    fn an_rsa_key_has_the_bits_of_its_modulus() {
        let key = |kind: &[u8], unused_bits: u8, modulus: &[u8]| {
            let numbers = [der(INTEGER, modulus), der(INTEGER, &[3])].concat();
            let bits = [vec![unused_bits], der(SEQUENCE, &numbers)].concat();
            let parts = [der(SEQUENCE, &der(OID, kind)), der(BIT_STRING, &bits)];
            der(SEQUENCE, &parts.concat())
        };
        for (modulus, bits) in [
            (&[1][..], 1),
            (&[0, 0xFF], 8),
            (&[0x80, 0], 16),
            (&[0, 0x40, 0, 0], 23),
        ] {
            assert_eq!(rsa_bits(&key(&RSA, 0, modulus)), Some(bits), "{modulus:x?}");
        }
        assert_eq!(rsa_bits(&key(&RSA[1..], 0, &[1])), None, "of another kind");
        assert_eq!(rsa_bits(&key(&RSA, 1, &[1])), None, "not whole bytes");
        assert_eq!(rsa_bits(&key(&RSA, 0, &[0])), None, "no number");
    }

    fn read_time(tag: u8, text: &str) -> Option<u64> {
        Reader(&der(tag, text.as_bytes())).time()
    }

    #[test]
    fn a_moment_is_read_to_the_second() {
        for (tag, text, seconds) in [
            (UTC_TIME, "260304050607Z", 1_772_600_767),
            (UTC_TIME, "491231235958Z", 2_524_607_998),
            // RFC 5280, 4.1.2.5.1: from 50 on, the years are of the century before.
            (UTC_TIME, "500101000000Z", 0),
            // The same, 4.1.2.5: no end is known.
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(read_time(tag, text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment_is_not_read() {
        for text in [
            "260304050607",
            "2603040506Z",
            "260304050607+0000Z",
            "26030405060708Z",
            "260304+506+7Z",
            "26030405 607Z",
            "260004050607Z",
            "261304050607Z",
            "260300050607Z",
            "260332050607Z",
        ] {
            assert_eq!(read_time(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(read_time(OID, "260304050607Z"), None);
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        let (der, _) = made((2030, 1, 1));
        for len in 0..der.len() {
            assert_eq!(Certificate::parse(&der[..len]), None);
        }
    }

    proptest! {
        #[test]
        fn no_change_at_all_does_harm(places in prop::collection::vec(any::<(u16, u8)>(), 1..8)) {
            let (mut der, _) = made((2030, 1, 1));
            for (place, value) in places {
                let place = usize::from(place) % der.len();
                der[place] = value;
            }
            if let Some(certificate) = Certificate::parse(&der) {
                let _ = common_name(certificate.subject);
                let _ = rsa_bits(certificate.public_key);
            }
        }
    }
}
