//! The API and the page over HTTP, and files over HTTPS.

mod actions;
mod api;
mod body;
mod events;
mod guard;
mod inventory;
mod io;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use body::Body;
use io::Io;

use crate::broker::Broker;

type Reply = Response<Body>;

/// The page: nothing in it comes from elsewhere, and nothing of it is built.
const PAGE: [(&str, &str, &str); 5] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../page/index.html"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/page.js"),
    ),
    (
        "/page.css",
        "text/css; charset=utf-8",
        include_str!("../page/page.css"),
    ),
    (
        "/page.svg",
        "image/svg+xml",
        include_str!("../page/page.svg"),
    ),
    (
        "/api/v1/openapi.json",
        "application/json",
        include_str!("../page/openapi.json"),
    ),
];

/// Serves one client of the API and the page.
pub(crate) async fn serve_page(broker: Arc<Broker>, stream: TcpStream, _address: SocketAddr) {
    let service = service_fn(move |request: Request<Incoming>| {
        let broker = Arc::clone(&broker);
        async move { Ok::<_, Infallible>(guard::protect(answer(broker, request).await)) }
    });
    // A client that breaks off has its reasons.
    let _ = http1::Builder::new()
        .serve_connection(Io(stream), service)
        .await;
}

async fn answer(broker: Arc<Broker>, request: Request<Incoming>) -> Reply {
    if let Err(reason) = guard::check(&request) {
        return body::failure(StatusCode::FORBIDDEN, reason);
    }
    let path = request.uri().path();
    if let Some((_, kind, text)) = PAGE.iter().find(|(known, _, _)| *known == path) {
        if request.method() != Method::GET {
            let reason = "this is only to be read: GET";
            return body::failure(StatusCode::METHOD_NOT_ALLOWED, reason);
        }
        return body::whole(StatusCode::OK, kind, Bytes::from_static(text.as_bytes()));
    }
    match path.strip_prefix("/api/v1/") {
        Some("events") if request.method() == Method::GET => events::stream(&broker),
        Some(_) => api::answer(&broker, request).await,
        None => body::failure(StatusCode::NOT_FOUND, "there is nothing here"),
    }
}

/// Serves files to one device.
pub(crate) async fn serve_files(broker: Arc<Broker>, acceptor: TlsAcceptor, stream: TcpStream) {
    let patience = broker.connect_timeout;
    let Ok(Ok(stream)) = timeout(patience, acceptor.accept(stream)).await else {
        broker.log("TLS handshake with a client that wants a file failed");
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let reply = file(&broker, &request);
        async move { Ok::<_, Infallible>(reply) }
    });
    let _ = http1::Builder::new()
        .serve_connection(Io(stream), service)
        .await;
}

/// A file, or the part of it that is asked for, with its length.
fn file(broker: &Broker, request: &Request<Incoming>) -> Reply {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return body::failure(StatusCode::METHOD_NOT_ALLOWED, "files are only read");
    }
    let token = request.uri().path().strip_prefix("/files/");
    let content = token.and_then(|token| broker.lock().platform.files.get(token));
    let Some(content) = content else {
        broker.log("a client asked over HTTPS for a file that is not there");
        return body::failure(StatusCode::NOT_FOUND, "there is no such file");
    };
    let size = content.len();
    let asked = request.headers().get(RANGE).and_then(|v| v.to_str().ok());
    let (status, part, range) = match asked.map(|text| range(text, size)) {
        None | Some(Range::Ignored) => (StatusCode::OK, content, None),
        Some(Range::Part(from, to)) => (
            StatusCode::PARTIAL_CONTENT,
            content.slice(from..to),
            Some(format!("bytes {from}-{}/{size}", to - 1)),
        ),
        Some(Range::Outside) => (
            StatusCode::RANGE_NOT_SATISFIABLE,
            Bytes::new(),
            Some(format!("bytes */{size}")),
        ),
    };
    broker.log(&format!("served a file, {} of {size} bytes", part.len()));
    let length = part.len();
    let shown = if request.method() == Method::HEAD {
        Bytes::new()
    } else {
        part
    };
    let mut reply = body::whole(status, "application/octet-stream", shown);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_LENGTH, length.into());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(value) = range.and_then(|range| HeaderValue::try_from(range).ok()) {
        headers.insert(CONTENT_RANGE, value);
    }
    headers.remove(CONTENT_TYPE);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    reply
}

/// What a `Range` header asks for.
#[derive(Debug, Eq, PartialEq)]
enum Range {
    Part(usize, usize),
    Outside,
    /// One that is not understood is passed over. Source: RFC 9110, 14.2.
    Ignored,
}

fn range(text: &str, size: usize) -> Range {
    let bounds = text
        .strip_prefix("bytes=")
        .and_then(|text| text.split_once('-'));
    let Some((from, to)) = bounds else {
        return Range::Ignored;
    };
    let (from, to) = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), Ok(to)) if from <= to => (from, to.saturating_add(1).min(size)),
        (Ok(from), Err(_)) if to.is_empty() => (from, size),
        (Err(_), Ok(last)) if from.is_empty() => (size.saturating_sub(last), size),
        _ => return Range::Ignored,
    };
    if from < to {
        Range::Part(from, to)
    } else {
        Range::Outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_taken_as_the_standard_says() {
        for (text, expected) in [
            ("bytes=0-4", Range::Part(0, 5)),
            ("bytes=5-", Range::Part(5, 10)),
            ("bytes=-3", Range::Part(7, 10)),
            ("bytes=9-99", Range::Part(9, 10)),
            ("bytes=10-", Range::Outside),
            ("bytes=4-2", Range::Ignored),
            ("bytes=0-1,3-4", Range::Ignored),
            ("lines=0-1", Range::Ignored),
        ] {
            assert_eq!(range(text, 10), expected, "{text}");
        }
    }
}
