use super::*;
use crate::proto::sign::{HexCase, connect_content, sign};

const SECRET: &str = "Canary0Device0Secret";
const PRODUCT_SECRET: &str = "Canary0Product0Secret";
const CLIENT_ID: &str = "12345|securemode=2,signmethod=hmacsha256,timestamp=789|";
const USERNAME: &str = "device&pk";

fn identity() -> Identity {
    Identity::with_secret("pk", "device", SECRET).unwrap()
}

fn signed(method: SignMethod, key: &str, content: &str) -> String {
    let signature = sign(method, HexCase::Upper, key.as_bytes(), content.as_bytes());
    signature.expose().to_owned()
}

fn content() -> String {
    connect_content(Some("12345"), "device", "pk", Some("789"))
}

fn password() -> String {
    signed(SignMethod::HmacSha256, SECRET, &content())
}

/// The finding, after a look at the text for what it must never hold.
fn find(client_id: &str, username: &str, password: &str) -> (SignFinding, String) {
    let submitted = Submitted {
        client_id,
        username,
        password,
    };
    let (finding, text) =
        check_signature(&identity(), Some(PRODUCT_SECRET), submitted, Some(false)).unwrap();
    assert!(!text.to_lowercase().contains("canary"), "{text}");
    assert!(!text.contains(&self::password()), "{text}");
    assert!(text.len() < 512, "{text}");
    (finding, text)
}

#[test]
fn what_is_right_matches_in_either_case_and_with_every_method() {
    assert_eq!(
        find(CLIENT_ID, USERNAME, &password()).0,
        SignFinding::Matches
    );
    let lower = password().to_lowercase();
    assert_eq!(find(CLIENT_ID, USERNAME, &lower).0, SignFinding::Matches);
    for method in METHODS {
        let client_id = format!("12345|securemode=2,signmethod={}|", method.name());
        let content = connect_content(Some("12345"), "device", "pk", None);
        let password = signed(method, SECRET, &content);
        let (finding, text) = find(&client_id, USERNAME, &password);
        assert_eq!(finding, SignFinding::Matches, "{}: {text}", method.name());
    }
    // Without signmethod it is hmacmd5.
    let password = signed(SignMethod::HmacMd5, SECRET, &content());
    let client_id = "12345|securemode=2,timestamp=789|";
    assert_eq!(find(client_id, USERNAME, &password).0, SignFinding::Matches);
}

#[test]
fn what_the_library_itself_sends_matches() {
    let mut endpoint = crate::Endpoint::region("cn-shanghai").unwrap();
    for plaintext in [false, true] {
        if plaintext {
            endpoint.set_dangerous_plaintext();
        }
        let config = crate::Config::new(&identity(), &endpoint).unwrap();
        let credentials = config.credentials().unwrap();
        let submitted = Submitted {
            client_id: credentials.client_id(),
            username: credentials.username(),
            password: credentials.password().expose(),
        };
        for (known, expected) in [
            (None, SignFinding::Matches),
            (Some(plaintext), SignFinding::Matches),
            (Some(!plaintext), SignFinding::SecureMode),
        ] {
            let found = check_signature(&identity(), None, submitted, known).unwrap();
            assert_eq!(found.0, expected, "{}", found.1);
        }
    }
}

#[test]
fn every_wrong_client_id_is_named() {
    for (client_id, finding, part) in [
        ("12345", SignFinding::ClientIdForm, "both bars"),
        (
            "12345|securemode=2,signmethod=hmacsha256,timestamp=789",
            SignFinding::ClientIdForm,
            "second bar",
        ),
        (
            "12345|securemode=2,signmethod=hmacsha256,timestamp=789|x",
            SignFinding::ClientIdForm,
            "no third",
        ),
        (
            "12345|securemode=2,signmethod=hmacsha256,timestamp=789,x|",
            SignFinding::ClientIdForm,
            "name=value",
        ),
        (
            " 12345|securemode=2,signmethod=hmacsha256,timestamp=789|",
            SignFinding::WhiteSpace,
            "around it",
        ),
        (
            "12345|securemode=2, signmethod=hmacsha256,timestamp=789|\n",
            SignFinding::WhiteSpace,
            "between its bars",
        ),
        (
            "12345|securemode=3,signmethod=hmacsha256,timestamp=789|",
            SignFinding::SecureMode,
            "securemode=2",
        ),
        (
            "12345|signmethod=hmacsha256,timestamp=789|",
            SignFinding::SecureMode,
            "securemode=2",
        ),
        (
            "12345|securemode=2,signmethod=HmacSHA256,timestamp=789|",
            SignFinding::SignMethod,
            "small letters",
        ),
        (
            "12345|securemode=2,signmethod=sha512,timestamp=789|",
            SignFinding::SignMethod,
            "none of",
        ),
    ] {
        let (found, text) = find(client_id, USERNAME, &password());
        assert_eq!(found, finding, "{client_id}: {text}");
        assert!(text.contains(part), "{client_id}: {text}");
    }
}

#[test]
fn every_wrong_user_name_is_named() {
    for (username, finding, part) in [
        ("pk&device", SignFinding::UsernameSwapped, "swap"),
        ("device&pk\n", SignFinding::WhiteSpace, "white space"),
        ("Device&pk", SignFinding::Username, "capital"),
        ("device", SignFinding::Username, "no '&'"),
        ("device&other", SignFinding::Username, "product key"),
        ("other&pk", SignFinding::Username, "device name"),
        ("", SignFinding::Username, "no '&'"),
        (SECRET, SignFinding::Username, "must be device&pk"),
    ] {
        let (found, text) = find(CLIENT_ID, username, &password());
        assert_eq!(found, finding, "{username:?}: {text}");
        assert!(text.contains(part), "{username:?}: {text}");
    }
}

#[test]
fn every_wrong_password_is_explained() {
    use SignFinding as Is;
    let sha256 = |key: &str, content: &str| signed(SignMethod::HmacSha256, key, content);
    let with = |content: &str| sha256(SECRET, content);
    let mut mixed = password().to_lowercase();
    mixed.replace_range(..32, &password()[..32]);
    for (password, finding, part) in [
        (String::new(), Is::PasswordForm, "empty"),
        (SECRET.to_owned(), Is::SecretSent, "itself"),
        (format!("{PRODUCT_SECRET}\n"), Is::SecretSent, "itself"),
        ("not hexadecimal".to_owned(), Is::PasswordForm, "digits"),
        ("ABC".to_owned(), Is::PasswordForm, "has 3 digits"),
        ("A".repeat(40), Is::SignMethod, "as hmacsha1 gives"),
        ("A".repeat(64), Is::Unexplained, "no usual mistake"),
        (format!("{}\n", password()), Is::WhiteSpace, "white space"),
        (mixed, Is::HexCase, "same case"),
        (
            signed(SignMethod::HmacSha1, SECRET, &content()),
            Is::SignMethod,
            "made with hmacsha1, and the client id says hmacsha256",
        ),
        (
            signed(SignMethod::Sha256, SECRET, &content()),
            Is::SignMethod,
            "made with sha256",
        ),
        (
            sha256(PRODUCT_SECRET, &content()),
            Is::ProductSecret,
            "use the device secret",
        ),
        (
            sha256(&format!("{SECRET}\n"), &content()),
            Is::WhiteSpace,
            "the secret was taken with",
        ),
        (
            sha256(&SECRET.to_lowercase(), &content()),
            Is::SecretForm,
            "case",
        ),
        (
            with("clientId12345deviceNamedeviceproductKeypk"),
            Is::Timestamp,
            "not signed",
        ),
        (
            with("clientId12345deviceNamedeviceproductKeypktimestamp2524608000000"),
            Is::Timestamp,
            "must carry timestamp=2524608000000",
        ),
        (
            with(&format!(
                "clientId{CLIENT_ID}deviceNamedeviceproductKeypktimestamp789"
            )),
            Is::SignedClientId,
            "before the first bar",
        ),
        (
            with("deviceNamedeviceproductKeypktimestamp789"),
            Is::SignedClientId,
            "clientId is not signed",
        ),
        (
            with("clientIdpk.devicedeviceNamedeviceproductKeypktimestamp789"),
            Is::SignedClientId,
            "<productKey>.<deviceName>",
        ),
        (
            with("clientIddevice.pkdeviceNamedeviceproductKeypktimestamp789"),
            Is::SignedClientId,
            "<deviceName>.<productKey>",
        ),
        (
            with("clientId12345productKeypkdeviceNamedevicetimestamp789"),
            Is::ContentForm,
            "order",
        ),
        (
            with("clientId12345deviceNamepkproductKeydevicetimestamp789"),
            Is::ContentForm,
            "swapped",
        ),
        (
            with("12345devicepk789"),
            Is::ContentForm,
            "without their names",
        ),
        (
            with("clientId=12345&deviceName=device&productKey=pk&timestamp=789"),
            Is::ContentForm,
            "nothing stands between",
        ),
        (
            with("clientid12345devicenamedeviceproductkeypktimestamp789"),
            Is::ContentForm,
            "small letters",
        ),
        (
            with("clientId12345deviceNamedeviceproductKeypktimestamp789\n"),
            Is::WhiteSpace,
            "after the content",
        ),
    ] {
        let (found, text) = find(CLIENT_ID, USERNAME, &password);
        assert_eq!(found, finding, "{text}");
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_timestamp_that_is_signed_and_not_sent_is_named() {
    let client_id = "12345|securemode=2,signmethod=hmacsha256|";
    let (found, text) = find(client_id, USERNAME, &password());
    assert_eq!(found, SignFinding::Timestamp, "{text}");
    assert!(text.contains("must carry timestamp=789"), "{text}");
}

#[test]
fn two_mistakes_are_both_named() {
    let password = signed(SignMethod::HmacSha1, PRODUCT_SECRET, &content());
    let (found, text) = find(CLIENT_ID, "pk&device", &password);
    assert_eq!(found, SignFinding::UsernameSwapped);
    for part in ["swap", "hmacsha1", "product secret"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn whatever_is_submitted_is_answered_in_a_page() {
    let long = format!("{}|{}|", "x".repeat(65_000), " a ,= b,".repeat(5_000));
    for text in ["", "|", "||", "|||", "&", "=", "\0", "é|é=é,|é", &long] {
        for password in ["", "00", text] {
            let (_, said) = check_signature(
                &identity(),
                None,
                Submitted {
                    client_id: text,
                    username: text,
                    password,
                },
                None,
            )
            .unwrap();
            assert!(said.len() < 1024, "{} bytes", said.len());
        }
    }
}

#[test]
fn an_identity_that_does_not_sign_is_refused() {
    let submitted = Submitted {
        client_id: CLIENT_ID,
        username: USERNAME,
        password: "x",
    };
    for identity in [
        Identity::with_token("pk", "device", "id", "token").unwrap(),
        Identity::verbatim("id", "user", "password").unwrap(),
        Identity::with_certificate("pk", "device").unwrap(),
        Identity::with_certificate("", "").unwrap(),
    ] {
        let error = check_signature(&identity, None, submitted, None).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
    }
}

#[test]
fn the_part_before_the_first_bar_has_1_to_64_characters() {
    for (len, finding) in [
        (0, SignFinding::ClientIdForm),
        (1, SignFinding::Matches),
        (64, SignFinding::Matches),
        (65, SignFinding::ClientIdForm),
    ] {
        let id = "é".repeat(len);
        let content = connect_content(Some(&id), "device", "pk", Some("789"));
        let password = signed(SignMethod::HmacSha256, SECRET, &content);
        let client_id = CLIENT_ID.replace("12345", &id);
        assert_eq!(find(&client_id, USERNAME, &password).0, finding, "{len}");
    }
}

#[test]
fn a_client_id_without_parameters_is_not_told_what_one_of_them_must_be() {
    let (finding, text) = find("12345", USERNAME, &password());
    assert_eq!(finding, SignFinding::ClientIdForm);
    assert!(!text.contains("over TLS"), "{text}");
}

#[test]
fn the_part_of_the_user_name_that_is_wrong_is_named() {
    for (username, words) in [
        ("devicepk", "it has no '&'"),
        ("device&other", "its product key, after"),
        ("other&pk", "its device name, before"),
        ("one&other", "neither its device name"),
    ] {
        let (finding, text) = find(CLIENT_ID, username, &password());
        assert_eq!(finding, SignFinding::Username);
        assert!(text.contains(words), "{text}");
    }
}
