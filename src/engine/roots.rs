//! The roots the platform's certificates lead to, carried in the library.
//!
//! No public store has all of them: the platform's own root is private, and GlobalSign R1 has been
//! leaving the stores since April 2025.

/// The five certificates as PEM text, in the order of [`ROOTS`].
pub(crate) const PEM: &[u8] = include_bytes!("roots/aliyun-iot-roots.pem");

/// What a review needs to know of one root; a test compares it with the certificates.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    /// Its common name, or what tells it apart where that is not enough.
    pub(crate) name: &'static str,
    /// The end of its validity in seconds since 1970, UTC.
    pub(crate) not_after: u64,
    /// SHA-256 of the DER certificate, in hex.
    pub(crate) sha256: &'static str,
}

/// The built-in roots.
#[cfg(test)]
pub(crate) const ROOTS: [Root; 5] = [
    // Ports 1883 and 443. To 2028-01-28 12:00:00.
    Root {
        name: "GlobalSign Root CA (R1)",
        not_after: 1_832_673_600,
        sha256: "ebd41040e4bb3ec742c9e381d31ef2a41a48b6685c96e7cef3c1df6cd4331c99",
    },
    // Port 8883. To 2053-07-04 06:36:58.
    Root {
        name: "Aliyun IoT Root CA (S1)",
        not_after: 2_635_223_818,
        sha256: "7ca438a3976b5242d231f861499822da855831382735836b361e7e9715661676",
    },
    // What GlobalSign moves to. To 2034-12-10 00:00:00.
    Root {
        name: "GlobalSign Root CA - R6",
        not_after: 2_049_321_600,
        sha256: "2cabeafe37d06ca22aba7391c0033d25982952c453647349763a3ab5ad6ccf69",
    },
    // To 2046-03-20 00:00:00.
    Root {
        name: "GlobalSign Root E46",
        not_after: 2_405_116_800,
        sha256: "cbb9c44d84b8043e1050ea31a69f514955d7bfd2e2c6b49301019ad61d9f5058",
    },
    // To 2046-03-20 00:00:00.
    Root {
        name: "GlobalSign Root R46",
        not_after: 2_405_116_800,
        sha256: "4fa3126d8d3a11d1c4855a4f807cbad6cf919d3a5a88b03bea2c6372d93c40c9",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tls_error::date_text;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    use sha2::{Digest, Sha256};

    fn certificates() -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(PEM)
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn the_table_has_one_row_for_each_certificate() {
        assert_eq!(certificates().len(), ROOTS.len());
    }

    #[test]
    fn each_certificate_has_the_fingerprint_of_its_row() {
        for (der, root) in certificates().iter().zip(ROOTS) {
            assert_eq!(
                hex::encode(Sha256::digest(der)),
                root.sha256,
                "{}",
                root.name
            );
        }
    }

    #[test]
    fn each_certificate_has_the_name_of_its_row() {
        for (der, root) in certificates().iter().zip(ROOTS) {
            let name = root.name.split(" (").next().unwrap();
            assert!(find(der, name.as_bytes()).is_some(), "{}", root.name);
        }
    }

    #[test]
    fn each_certificate_ends_when_its_row_says() {
        for (der, root) in certificates().iter().zip(ROOTS) {
            let digits: String = date_text(root.not_after)
                .chars()
                .filter(char::is_ascii_digit)
                .collect();
            // Years from 2050 on have four digits. Source: RFC 5280, 4.1.2.5.
            let time = match digits.strip_prefix("20") {
                Some(short) if short < "5" => format!("\x17\x0d{short}Z"),
                _ => format!("\x18\x0f{digits}Z"),
            };
            let at = find(der, time.as_bytes()).expect(root.name);
            // The beginning, a UTCTime, stands right before the end.
            assert_eq!(der[at - 15..at - 13], [0x17, 13], "{}", root.name);
        }
    }

    fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
        haystack
            .windows(needle.len())
            .position(|window| window == needle)
    }
}
