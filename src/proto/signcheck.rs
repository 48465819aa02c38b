//! Says why client id, user name and password that someone else made do not sign a device in.
//!
//! The secret is known here, so the usual mistakes can be made on purpose: the one that leads to
//! the same password is the one that was made. No text contains anything that was given but names
//! of parameters: it may be a secret in the wrong place.

mod password;

use crate::proto::credentials::CLIENT_ID_CHARS;
use crate::proto::sign::SignMethod;
use crate::{Error, Identity};

/// What is wrong, to branch on; the text says it in words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SignFinding {
    /// Nothing: the three sign the device in.
    Matches,
    /// The client id is not `<id>|name=value,…|` with both bars.
    ClientIdForm,
    /// `securemode` is missing, unknown, or does not fit the transport.
    SecureMode,
    /// The user name is not `<deviceName>&<productKey>`.
    Username,
    /// The user name has its two parts swapped.
    UsernameSwapped,
    /// White space or a NUL where none belongs.
    WhiteSpace,
    /// The password mixes upper and lower case digits.
    HexCase,
    /// The password is not a signature in hexadecimal digits.
    PasswordForm,
    /// The password is a secret itself.
    SecretSent,
    /// The password is made with another method than `signmethod` says.
    SignMethod,
    /// The timestamp that is signed and the one in the client id are not the same.
    Timestamp,
    /// The client id that is signed is not the part before the first bar.
    SignedClientId,
    /// The signed names and values are in another order or form.
    ContentForm,
    /// The product secret is used in place of the device secret.
    ProductSecret,
    /// The device secret is used in another form than it has.
    SecretForm,
    /// No usual mistake explains the password.
    Unexplained,
}

/// What someone else would send in CONNECT.
#[derive(Clone, Copy)]
pub struct Submitted<'a> {
    /// The whole MQTT client id.
    pub client_id: &'a str,
    /// The MQTT user name.
    pub username: &'a str,
    /// The MQTT password.
    pub password: &'a str,
}

/// One mistake: which, and the single change that mends it.
pub(super) type Mistake = (SignFinding, String);

/// Finds what keeps `submitted` from signing `identity` in.
///
/// `product_secret` is tried as a key if it is given. `plaintext` says whether the connection is in
/// plain text, if that is known. The text names each mistake and its remedy, the first being the
/// finding's; it contains no secret and nothing of what was submitted.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an identity that does not
/// sign: with a device token, with a certificate, or a verbatim one;
/// [`ErrorKind::InvalidState`](crate::ErrorKind::InvalidState) if the library was built without the
/// feature `sign-check`.
///
/// Source: "Establish MQTT connections", parameters mqttClientId, mqttUsername, mqttPassword.
pub fn check_signature(
    identity: &Identity,
    product_secret: Option<&str>,
    submitted: Submitted<'_>,
    plaintext: Option<bool>,
) -> Result<(SignFinding, String), Error> {
    if !cfg!(feature = "sign-check") {
        return Err(Error::left_out("sign-check"));
    }
    if identity.has_token() || identity.is_verbatim() {
        let problem = "does not sign: what it has is sent as it is";
        return Err(Error::argument("identity", problem));
    }
    if identity.is_certificate() {
        let problem = "does not sign: it proves itself by its certificate";
        return Err(Error::argument("identity", problem));
    }
    let mut mistakes = Vec::new();
    let client_id = ClientId::read(submitted.client_id, &mut mistakes);
    check_securemode(&client_id, plaintext, &mut mistakes);
    mistakes.extend(username_mistake(identity, submitted.username));
    mistakes.extend(password::mistakes(
        identity,
        product_secret,
        &client_id,
        submitted.password,
    ));
    let Some(&(finding, _)) = mistakes.first() else {
        let text = "all three match: they sign the device in";
        return Ok((SignFinding::Matches, text.to_owned()));
    };
    let mut texts: Vec<String> = Vec::new();
    for (_, text) in mistakes {
        // A form that is broken in many places is one mistake.
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    Ok((finding, texts.join("; and ")))
}

/// What the client id says.
struct ClientId<'a> {
    /// All of it, without white space around it.
    whole: &'a str,
    /// The part before the first bar.
    id: &'a str,
    securemode: Option<&'a str>,
    /// The method that counts, and whether it is named as it should be.
    method: SignMethod,
    timestamp: Option<&'a str>,
}

impl<'a> ClientId<'a> {
    fn read(text: &'a str, mistakes: &mut Vec<Mistake>) -> Self {
        let mut report = |finding, text: &str| mistakes.push((finding, text.to_owned()));
        let whole = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        if whole != text {
            report(
                SignFinding::WhiteSpace,
                "client id: remove the white space around it",
            );
        }
        let (id, rest) = whole.split_once('|').unwrap_or((whole, ""));
        let params = match rest.split_once('|') {
            Some((params, "")) => params,
            Some((params, _)) => {
                report(
                    SignFinding::ClientIdForm,
                    "client id: nothing follows its second bar, and it has no third",
                );
                params
            }
            None if whole.contains('|') => {
                report(
                    SignFinding::ClientIdForm,
                    "client id: it ends with a second bar, which is missing",
                );
                rest
            }
            None => {
                report(
                    SignFinding::ClientIdForm,
                    "client id: its parameters are missing, it is \
                     <id>|securemode=2,signmethod=hmacsha256| with both bars",
                );
                ""
            }
        };
        if id.is_empty() || id.chars().count() > CLIENT_ID_CHARS {
            report(
                SignFinding::ClientIdForm,
                "client id: the part before the first bar has 1 to 64 characters",
            );
        }
        let mut read = Self {
            whole,
            id,
            securemode: None,
            // Source: the same page: without signmethod the platform takes hmacmd5.
            method: SignMethod::HmacMd5,
            timestamp: None,
        };
        for param in params.split(',').filter(|_| !params.is_empty()) {
            let Some((name, value)) = param.split_once('=') else {
                report(
                    SignFinding::ClientIdForm,
                    "client id: its parameters are name=value with a comma between them",
                );
                continue;
            };
            if name.trim() != name || value.trim() != value {
                report(
                    SignFinding::WhiteSpace,
                    "client id: remove the white space between its bars",
                );
            }
            let value = value.trim();
            match name.trim() {
                "securemode" => read.securemode = Some(value),
                "timestamp" => read.timestamp = Some(value),
                "signmethod" => match method_of(value) {
                    Some((method, exact)) => {
                        read.method = method;
                        if !exact {
                            let text = format!(
                                "client id: write the method in small letters, signmethod={}",
                                method.name()
                            );
                            report(SignFinding::SignMethod, &text);
                        }
                    }
                    None => report(
                        SignFinding::SignMethod,
                        "client id: its signmethod is none of hmacsha256, hmacsha1, hmacmd5 and \
                         sha256",
                    ),
                },
                _ => {}
            }
        }
        read
    }
}

const METHODS: [SignMethod; 4] = [
    SignMethod::HmacSha256,
    SignMethod::HmacSha1,
    SignMethod::HmacMd5,
    SignMethod::Sha256,
];

/// The method of that name, and whether it is written as it should be.
fn method_of(name: &str) -> Option<(SignMethod, bool)> {
    let plain = name.replace(['-', '_'], "");
    METHODS
        .into_iter()
        .find(|method| plain.eq_ignore_ascii_case(method.name()))
        .map(|method| (method, name == method.name()))
}

fn check_securemode(
    client_id: &ClientId<'_>,
    plaintext: Option<bool>,
    mistakes: &mut Vec<Mistake>,
) {
    let text = match (client_id.securemode, plaintext) {
        (Some("2"), Some(false) | None) | (Some("3"), Some(true) | None) => return,
        // The form of the whole has been complained of.
        (None, _) if !client_id.whole.contains('|') => return,
        (_, Some(true)) => "client id: a connection in plain text has securemode=3",
        (_, Some(false)) => "client id: a connection over TLS has securemode=2",
        (_, None) => "client id: its securemode is 2 over TLS, 3 in plain text",
    };
    mistakes.push((SignFinding::SecureMode, text.to_owned()));
}

fn username_mistake(identity: &Identity, username: &str) -> Option<Mistake> {
    let (device, product) = (identity.device_name(), identity.product_key());
    let expected = format!("{device}&{product}");
    let stripped: String = username
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '\0')
        .collect();
    let (finding, problem) = if username == expected {
        return None;
    } else if stripped == expected {
        (SignFinding::WhiteSpace, "remove the white space in it")
    } else if stripped == format!("{product}&{device}") {
        (
            SignFinding::UsernameSwapped,
            "swap its parts: the device name comes first",
        )
    } else if stripped.eq_ignore_ascii_case(&expected) {
        (
            SignFinding::Username,
            "its capital and small letters are not those of the identity",
        )
    } else {
        let problem = match stripped.split_once('&') {
            None => "it has no '&' between its two parts",
            Some((name, _)) if name == device => "its product key, after the '&', is another one",
            Some((_, key)) if key == product => "its device name, before the '&', is another one",
            Some(_) => "neither its device name nor its product key is the identity's",
        };
        (SignFinding::Username, problem)
    };
    Some((
        finding,
        format!("user name: {problem}; it must be {expected}"),
    ))
}

#[cfg(test)]
mod tests;
