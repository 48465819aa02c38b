//! Keeps foreign web pages away from the API: whoever reaches it commands the simulator, and a
//! browser on the same machine runs whatever page its user visits.

use hyper::Request;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

use super::Reply;

/// Only what comes from here is run, shown or asked; payloads are hostile.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Refuses a request that a foreign page may have caused.
///
/// The name in `Host` defeats a foreign name that was made to resolve to this machine; `Origin` and
/// `Sec-Fetch-Site` tell who asks. A request without them is none of a page's.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), &'static str> {
    let text = |name: HeaderName| {
        let value = request.headers().get(name)?;
        Some(value.to_str().unwrap_or("?"))
    };
    let host = text(HOST).ok_or("the Host header is missing")?;
    if !is_local(host) {
        return Err("the Host header must name localhost or a loopback address");
    }
    if text(ORIGIN).is_some_and(|origin| origin.strip_prefix("http://") != Some(host)) {
        return Err("another page may not use this API");
    }
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err("another page may not use this API");
    }
    Ok(())
}

/// Whether `host` is a name or address of this machine, with whatever port: it may be forwarded.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// Adds the headers that every answer carries.
pub(super) fn protect(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_its_own_page_may_ask() {
        let ask = |headers: &[(&str, &str)]| {
            let mut request = Request::new(());
            for (name, value) in headers {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            check(&request).is_ok()
        };
        assert!(ask(&[("host", "localhost:8880")]));
        assert!(ask(&[
            ("host", "127.0.0.1:1"),
            ("origin", "http://127.0.0.1:1")
        ]));
        assert!(ask(&[
            ("host", "[::1]:1"),
            ("sec-fetch-site", "same-origin")
        ]));
        assert!(!ask(&[]));
        for host in [
            "evil.example:8880",
            "localhost.evil.example",
            "127.0.0.1.evil:80",
            "",
        ] {
            assert!(!ask(&[("host", host)]), "{host}");
        }
        for origin in [
            "http://evil.example",
            "null",
            "http://localhost:1",
            "https://localhost",
        ] {
            assert!(
                !ask(&[("host", "localhost"), ("origin", origin)]),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site"] {
            assert!(!ask(&[("host", "localhost"), ("sec-fetch-site", site)]));
        }
    }
}
