//! A small HTTP client for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use aliot_sim::Sim;
use serde_json::Value;

use crate::device::PATIENCE;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&self.body)))
    }
}

/// Writes a request and reads the answer.
pub(crate) fn exchange(
    stream: &mut (impl Read + Write),
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream.flush().unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim_end().is_empty() {
            break;
        }
        headers.push_str(&line.to_lowercase());
    }
    let length = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or("0", str::trim);
    let mut body = vec![0; length.parse().unwrap()];
    if method != "HEAD" {
        reader.read_exact(&mut body).unwrap();
    }
    Answer {
        status,
        headers,
        body,
    }
}

/// Asks over plain TCP.
pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut stream, method, path, headers, body)
}

/// Asks the API of a simulator as a program does.
pub(crate) fn api(sim: &Sim, method: &str, path: &str, body: &str) -> Answer {
    let headers = [("Host", "localhost"), ("Content-Type", "application/json")];
    let path = format!("/api/v1/{path}");
    request(
        sim.http_addr().unwrap(),
        method,
        &path,
        &headers,
        body.as_bytes(),
    )
}

/// Asks the API and expects it to agree.
pub(crate) fn ask(sim: &Sim, method: &str, path: &str, body: &str) -> Value {
    let answer = api(sim, method, path, body);
    let value = answer.json();
    assert_eq!(answer.status, 200, "{method} {path}: {value}");
    value
}
