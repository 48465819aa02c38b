//! A small HTTP client for the simulator's own API.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longest wait for an answer: the longest call of a device, and time to spare.
const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer that is read.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// What a request carries.
pub(crate) enum Content<'a> {
    /// Nothing.
    None,
    /// JSON.
    Json(&'a str),
    /// A file.
    File(&'a [u8]),
}

/// Asks the API at `address` and returns status and body.
pub(crate) fn ask(
    address: &str,
    method: &str,
    path: &str,
    content: &Content<'_>,
) -> std::io::Result<(u16, String)> {
    let mut reader = send(address, method, path, content)?;
    reader.get_ref().set_read_timeout(Some(PATIENCE))?;
    let status = head(&mut reader)?;
    let mut body = String::new();
    reader.take(MAX_ANSWER).read_to_string(&mut body)?;
    Ok((status, body))
}

/// Asks for what happens and hands over the data of each event until `show` returns false.
pub(crate) fn follow(
    address: &str,
    path: &str,
    mut show: impl FnMut(&str) -> bool,
) -> std::io::Result<()> {
    let mut reader = send(address, "GET", path, &Content::None)?;
    let status = head(&mut reader)?;
    if status != 200 {
        return Err(Error::other(format!("the simulator answers {status}")));
    }
    for line in reader.lines() {
        if line?.strip_prefix("data: ").is_some_and(|data| !show(data)) {
            return Ok(());
        }
    }
    Err(Error::new(
        ErrorKind::UnexpectedEof,
        "the simulator is gone",
    ))
}

/// Sends a request. HTTP/1.0 has neither chunks nor connections to be kept.
fn send(
    address: &str,
    method: &str,
    path: &str,
    content: &Content<'_>,
) -> std::io::Result<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(address)?;
    let (kind, body) = match content {
        Content::None => ("application/json", &[][..]),
        Content::Json(text) => ("application/json", text.as_bytes()),
        Content::File(bytes) => ("application/octet-stream", *bytes),
    };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    stream.write_all(body)?;
    Ok(BufReader::new(stream))
}

/// Reads status and headers of an answer.
fn head(reader: &mut BufReader<TcpStream>) -> std::io::Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    let Some(status) = status else {
        let reason = "whoever listens there does not speak HTTP";
        return Err(Error::new(ErrorKind::InvalidData, reason));
    };
    while line.trim_end() != "" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            break;
        }
    }
    Ok(status)
}
