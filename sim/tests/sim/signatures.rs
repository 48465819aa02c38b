//! A wrong signature and the sentence that says which mistake made it.

use aliot_sim::signature::{Method, Signed};

use crate::device::{Connect, SECRET, signed_as, sim, wait_for_line};
use crate::refusals::{code, with};

/// Right but for the password, which is made by `method` from `content` with `secret`.
fn with_password(method: Method, secret: &str, content: &str) -> Connect {
    with(|connect| connect.password = method.sign(secret.as_bytes(), content.as_bytes()))
}

#[test]
fn a_wrong_signature_is_explained() {
    let sim = sim();
    sim.edit_registry(|registry| {
        registry.products.get_mut("pk").unwrap().secret = Some("the-product-secret".into());
    });
    let right = Signed {
        client_id: Some("pk.dn"),
        device_name: "dn",
        product_key: "pk",
        timestamp: Some("789"),
    };
    let whole = "pk.dn|securemode=3,signmethod=hmacsha256,timestamp=789|";
    let content = right.content();
    let sha256 = Method::HmacSha256;
    let no_timestamp = Signed {
        timestamp: None,
        ..right
    }
    .content();
    for (connect, line) in [
        (
            with_password(Method::HmacSha1, SECRET, &content),
            "made with hmacsha1",
        ),
        (
            with_password(Method::Sha256, SECRET, &content),
            "made with sha256",
        ),
        (
            with_password(sha256, SECRET, &no_timestamp),
            "the timestamp stands in the client id",
        ),
        (
            with_password(
                sha256,
                SECRET,
                &Signed {
                    client_id: None,
                    ..right
                }
                .content(),
            ),
            "clientId is not signed",
        ),
        (
            with_password(
                sha256,
                SECRET,
                &Signed {
                    client_id: Some(whole),
                    ..right
                }
                .content(),
            ),
            "the whole client id is signed",
        ),
        (
            with_password(
                sha256,
                SECRET,
                "productKeypkdeviceNamedntimestamp789clientIdpk.dn",
            ),
            "another order",
        ),
        (
            with_password(sha256, "the-product-secret", &content),
            "product secret",
        ),
        (
            with_password(sha256, "another-device-secret", &content),
            "secret of device other",
        ),
        (
            with_password(sha256, &SECRET.to_lowercase(), &content),
            "lower case",
        ),
        (
            with_password(sha256, &format!("{SECRET}\n"), &content),
            "white space or a NUL after it",
        ),
        (
            with_password(sha256, SECRET, &format!("{content}\n")),
            "a line end or a NUL",
        ),
        (
            with(|connect| connect.password.push('\n')),
            "the password has white space in it",
        ),
        (
            with_password(Method::HmacMd5, "the-product-secret", &no_timestamp),
            "made with hmacmd5, but the client id says signmethod=hmacsha256; and the timestamp \
             stands in the client id, but is not signed; and it is made with the product secret",
        ),
    ] {
        assert_eq!(code(&sim, &connect), 4, "{line}");
        wait_for_line(
            &sim,
            &["refused pk/dn", "code 4", "the signature is wrong", line],
        );
    }
    let mut connect = signed_as("dn", SECRET, "securemode=3,signmethod=hmacsha256");
    connect.client_id = "pk.dn|securemode=3|".into();
    assert_eq!(code(&sim, &connect), 4);
    wait_for_line(&sim, &["signmethod is missing, which means hmacmd5"]);
}
