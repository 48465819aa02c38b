//! Certificates that end soon, the device's own among them: which of them is told of, and how.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};

use super::expiry::{Anchor, notice};
use super::testing::{Ca, echo, named, run};
use super::tests_client::{show, verifier};
use super::tests_matrix::{Issuer, LATE, NAME, authority, notices};
use super::tls_error::now_s;

const DAY: u64 = 86_400;

#[test]
fn the_devices_own_certificate_is_warned_of_before_it_ends() {
    run(async {
        let (devices, ca) = (authority("devices", None, LATE), Ca::new("server"));
        let ends = now_s() + 2 * DAY + DAY / 2;
        for version in [&TLS12, &TLS13] {
            let config = ca.server_verifying(&[NAME], version, verifier(&devices));
            let mut target = named(echo(config).await, ca.trust(), NAME);
            show(&mut target, &ca, &devices, |params| {
                params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(ends);
            });
            for resumed in [false, true] {
                let (result, notices) = notices(&target).await;
                result.unwrap();
                assert_eq!(notices.len(), 1, "{version:?}, resumed {resumed}");
                assert_eq!(notices[0].ends, ends);
                let text = &notices[0].text;
                assert!(
                    text.starts_with("this device's own certificate ends on 20")
                        && text.contains(", in 2 days: give the device a new one before"),
                    "{text}"
                );
            }
            show(&mut target, &ca, &devices, |params| {
                params.not_after = date_time_ymd(2090, 1, 1);
            });
            assert_eq!(notices(&target).await.1, []);
        }
    });
}

/// The server's certificate ends on 1 January 2030; its root, named "root", with the value.
fn leaf(root: &Issuer) -> (CertificateDer<'static>, Vec<Anchor>) {
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    params.not_after = date_time_ymd(2030, 1, 1);
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), root);
    let anchors = Anchor::all_in(root.pem().as_bytes());
    (leaf.unwrap().der().clone(), anchors)
}

#[test]
fn what_ends_first_is_told_and_what_has_ended_only_if_there_is_nothing_else() {
    const LEAF_ENDS: u64 = 1_893_456_000;
    let ended = authority("root", None, (2028, 1, 28));
    let good = authority("root", None, LATE);
    let ask = |root: &Issuer, own: Option<u64>, now: u64, days: u64| {
        let (leaf, anchors) = leaf(root);
        let within = Duration::from_secs(days * DAY);
        let notice = notice(&[leaf], &anchors, own, now, within);
        notice.map(|notice| notice.text)
    };
    let before = LEAF_ENDS - 10 * DAY;
    const LEAF: &str = "the server's certificate ends on 2030-01-01 00:00:00 UTC, in 10 days";
    const ROOT: &str = "the root \"root\" ended on 2028-01-28 00:00:00 UTC; other devices may no \
                        longer accept it";
    for (root, own, days, expected) in [
        (&good, None, 9, None),
        (&good, None, 10, Some(LEAF)),
        (
            &good,
            Some(LEAF_ENDS - 1),
            30,
            Some("this device's own certificate ends on 2029-12-31"),
        ),
        (&good, Some(LEAF_ENDS + 1), 30, Some(LEAF)),
        // Which it would do for years, and hide what can be mended in time.
        (&ended, None, 30, Some(LEAF)),
        (&ended, None, 9, Some(ROOT)),
        (
            &ended,
            Some(before + DAY),
            9,
            Some("this device's own certificate ends on 2029-12-23"),
        ),
        (&ended, Some(before + 30 * DAY), 9, Some(ROOT)),
        (
            &good,
            Some(before),
            9,
            Some("this device's own certificate ended on 2029-12-22 00:00:00 UTC: give the device"),
        ),
        (&good, Some(before - DAY), 30, Some(LEAF)),
        (&ended, Some(before), 0, None),
    ] {
        let text = ask(root, own, before, days);
        match expected {
            None => assert_eq!(text, None),
            Some(expected) => assert!(
                text.as_deref()
                    .is_some_and(|text| text.starts_with(expected)),
                "{text:?} instead of {expected}"
            ),
        }
    }
    for (seconds, words) in [
        (1, "in less than a day: "),
        (DAY - 1, "in less than a day: "),
        (DAY, "in 1 day: "),
        (2 * DAY - 1, "in 1 day: "),
        (2 * DAY, "in 2 days: "),
    ] {
        let text = ask(&good, Some(before + seconds), before, 5).unwrap();
        assert!(text.contains(words), "{text}");
    }
    // Without a certificate of the server's that can be read, there is still the device's own.
    let own = notice(&[], &[], Some(before + 1), before, Duration::from_secs(DAY));
    assert_eq!(own.map(|own| own.ends), Some(before + 1));
}
