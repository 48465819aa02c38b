//! Through a proxy: the exchange on a connection to it, until it leads to the platform.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::{Error, ErrorKind, Stage};
use crate::proto::proxy::{
    http_answer, http_request, socks_answer, socks_choice, socks_greeting, socks_login,
    socks_login_answer, socks_request,
};
use crate::proto::way::{Proxy, ProxyKind};

/// Asks the proxy at the other end of `stream` for a connection to `host`.
///
/// # Errors
///
/// `Proxy` with what the proxy says, `Network` and `ClosedByPeer` if its connection ends.
pub(super) async fn pass(
    stream: &mut TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), Error> {
    let outcome = match proxy.kind {
        ProxyKind::Http => http(stream, proxy, host, port).await,
        ProxyKind::Socks5 => socks(stream, proxy, host, port).await,
    };
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(problem)) => {
            let text = format!("{proxy} does not connect to {host}:{port}: {problem}");
            Err(Error::new(ErrorKind::Proxy, Stage::Proxy, text))
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            let text = format!("{proxy} closed the connection without an answer");
            Err(Error::new(ErrorKind::ClosedByPeer, Stage::Proxy, text))
        }
        Err(error) => {
            let text = format!("the connection to {proxy} broke: {error}");
            let error_out = Error::new(ErrorKind::Network, Stage::Proxy, text);
            Err(error_out.with_os_error(error.raw_os_error()))
        }
    }
}

async fn http(
    stream: &mut TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> io::Result<Result<(), String>> {
    let request = http_request(host, port, proxy.login.as_ref());
    stream.write_all(&request).await?;
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(outcome) = http_answer(&answer) {
            return Ok(outcome);
        }
    }
}

async fn socks(
    stream: &mut TcpStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> io::Result<Result<(), String>> {
    let login = proxy.login.as_ref();
    stream.write_all(&socks_greeting(login)).await?;
    match (socks_choice(read(stream).await?, login), login) {
        (Err(problem), _) => return Ok(Err(problem)),
        (Ok(true), Some(login)) => {
            stream.write_all(&socks_login(login)).await?;
            if let Err(problem) = socks_login_answer(read(stream).await?) {
                return Ok(Err(problem));
            }
        }
        (Ok(_), _) => {}
    }
    stream.write_all(&socks_request(host, port)).await?;
    let rest = match socks_answer(read(stream).await?) {
        Ok(rest) => rest,
        Err(problem) => return Ok(Err(problem)),
    };
    stream.read_exact(&mut vec![0; rest]).await?;
    Ok(Ok(()))
}

async fn read<const N: usize>(stream: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}
