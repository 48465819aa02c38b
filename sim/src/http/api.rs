//! The routes of the API. `page/openapi.json` describes them.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::body;
use super::{Reply, actions, inventory};
use crate::broker::Broker;
use crate::config::without_values;
use crate::error::Error;
use crate::faults::{Early, Faults};
use crate::registry::Identity;

/// Longest body: a payload in hex with its topic, or a file.
const MAX_BODY: usize = 1024 * 1024;
const MAX_FILE: usize = 64 * 1024 * 1024;

/// Why a request is not carried out.
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::InvalidArgument(_) | Error::Config(_) => StatusCode::BAD_REQUEST,
            Error::NotConnected(_) | Error::NotSubscribed(_) => StatusCode::CONFLICT,
            Error::RateLimited(_) | Error::QueueFull(_) => StatusCode::TOO_MANY_REQUESTS,
            Error::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let reason = match error {
            Error::Timeout => "the device did not answer in time".to_owned(),
            error => error.to_string(),
        };
        Self { status, reason }
    }
}

/// What became of a request: a value, or the reason why not.
pub(super) type Outcome = Result<Value, Failure>;

/// A request whose body has been read.
pub(super) struct Asked {
    method: Method,
    path: Vec<String>,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl Asked {
    /// The body as JSON; an absent one is an empty object.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        let text = if self.body.is_empty() {
            b"{}"
        } else {
            self.body.as_ref()
        };
        serde_json::from_slice(text).map_err(|error| {
            let reason = format!("the body: {}", without_values(&error.to_string()));
            Failure::new(StatusCode::BAD_REQUEST, reason)
        })
    }

    /// A parameter of the query.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A number of the query.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let reason = || {
            let reason = format!("{name} in the query is a number");
            Failure::new(StatusCode::BAD_REQUEST, reason)
        };
        self.param(name)
            .map(|text| text.parse().map_err(|_| reason()))
            .transpose()
    }

    pub(super) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

/// Carries out a request.
pub(super) async fn answer(broker: &Arc<Broker>, request: Request<Incoming>) -> Reply {
    let outcome = match read(request).await {
        Ok(asked) => route(broker, &asked).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(value) => body::json(StatusCode::OK, &value),
        Err(Failure { status, reason }) => {
            let reason = broker.lock().registry.redact(&reason).into_owned();
            body::failure(status, &reason)
        }
    }
}

async fn read(request: Request<Incoming>) -> Result<Asked, Failure> {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = kind.split(';').next().unwrap_or("").trim().to_owned();
    let uri = request.uri();
    let path = uri.path().strip_prefix("/api/v1/").unwrap_or("").to_owned();
    let query = uri.query().unwrap_or("").to_owned();
    let method = request.method().clone();
    let is_file = kind == "application/octet-stream";
    let limit = if is_file { MAX_FILE } else { MAX_BODY };
    let Some(content) = body::read(request.into_body(), limit).await else {
        let reason = format!("the body has more than {limit} bytes");
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, reason));
    };
    // Kinds that a foreign page could send without being asked back are not taken.
    if !content.is_empty() && !is_file && kind != "application/json" {
        let reason = "the body is application/json or, for a file, application/octet-stream";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    Ok(Asked {
        method,
        path: path.split('/').map(decode).collect(),
        query: query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decode(name), decode(&value.replace('+', " "))))
            .collect(),
        body: content,
    })
}

/// Percent-encoded text decoded; what is not well-formed stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let pair = tail.get(..2).filter(|_| *first == b'%');
        match pair.and_then(|pair| hex::decode(pair).ok()) {
            Some(byte) => {
                bytes.extend(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EarlyFault {
    close_at: Early,
}

async fn route(broker: &Arc<Broker>, asked: &Asked) -> Outcome {
    let path: Vec<&str> = asked.path.iter().map(String::as_str).collect();
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    let method = &asked.method;
    let is = |wanted: &Method| method == wanted;
    match path.as_slice() {
        ["products"] if is(&get) => Ok(inventory::products(broker)),
        ["products"] if is(&post) => inventory::add_product(broker, asked),
        ["products", key, "config"] if is(&put) => {
            let url = broker.push_config(key, asked.body())?;
            Ok(json!({"url": url}))
        }
        ["products", key, "broadcast"] if is(&post) => actions::broadcast(broker, key, asked),
        ["devices"] if is(&get) => Ok(inventory::devices(broker)),
        ["devices"] if is(&post) => inventory::add_device(broker, asked),
        ["connections"] if is(&get) => Ok(inventory::connections(broker)),
        ["messages"] if is(&get) => inventory::messages(broker, asked),
        ["log"] if is(&get) => inventory::log(broker, asked),
        ["faults"] if is(&put) => {
            broker.set_early(asked.json::<EarlyFault>()?.close_at);
            Ok(json!({"close_at": broker.early()}))
        }
        ["faults"] if is(&get) => Ok(json!({"close_at": broker.early()})),
        ["hold"] if is(&put) => actions::hold(broker, asked),
        ["devices", key, name, rest @ ..] => {
            let identity = Identity::new(*key, *name);
            match rest {
                [] if is(&get) => inventory::device(broker, &identity),
                [] if is(&delete) => inventory::remove_device(broker, &identity),
                ["faults"] if is(&get) => Ok(json!(broker.faults(&identity))),
                ["faults"] if is(&put) => {
                    broker.set_faults(&identity, asked.json::<Faults>()?)?;
                    Ok(json!(broker.faults(&identity)))
                }
                action if is(&post) => actions::on_device(broker, &identity, action, asked).await,
                _ => nowhere(),
            }
        }
        _ => nowhere(),
    }
}

/// There is no such path, or not with this method.
pub(super) fn nowhere() -> Outcome {
    let reason = "there is nothing of this path and method; see /api/v1/openapi.json";
    Err(Failure::new(StatusCode::NOT_FOUND, reason))
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn percent_encoded_text_is_decoded_and_anything_else_stays() {
        for (text, expected) in [
            ("a%20b", "a b"),
            ("%C3%A9", "é"),
            ("100%", "100%"),
            ("%zz", "%zz"),
            ("%FF", "%FF"),
        ] {
            assert_eq!(decode(text), expected);
        }
    }
}
