//! A proxy that wants a login, HTTP or SOCKS5 as the client likes, and passes everything on.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use base64ct::{Base64, Encoding};

/// Listens for good. Whoever has another login is let go.
pub(crate) fn start(user: &str, password: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let login = Login {
        socks: [
            &[1, u8::try_from(user.len()).unwrap()],
            user.as_bytes(),
            &[u8::try_from(password.len()).unwrap()],
            password.as_bytes(),
        ]
        .concat(),
        http: format!("Basic {}", basic(user, password)),
    };
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = serve(stream.unwrap(), &login);
        }
    });
    port
}

/// The login as HTTP has it.
pub(crate) fn basic(user: &str, password: &str) -> String {
    let text = format!("{user}:{password}");
    let mut room = vec![0; Base64::encoded_len(text.as_bytes())];
    Base64::encode(text.as_bytes(), &mut room)
        .unwrap()
        .to_owned()
}

struct Login {
    socks: Vec<u8>,
    http: String,
}

fn serve(mut client: TcpStream, login: &Login) -> std::io::Result<()> {
    let mut first = [0];
    client.read_exact(&mut first)?;
    let target = if first == [5] {
        socks(&mut client, login)?
    } else {
        http(&mut client, login)?
    };
    let Some(port) = target else { return Ok(()) };
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || std::io::copy(&mut from, &mut to));
    thread::spawn(move || std::io::copy(&mut server, &mut client));
    Ok(())
}

fn take(stream: &mut TcpStream, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn socks(client: &mut TcpStream, login: &Login) -> std::io::Result<Option<u16>> {
    let methods = take(client, 1)?[0];
    take(client, usize::from(methods))?;
    client.write_all(&[5, 2])?;
    if take(client, login.socks.len())? != login.socks {
        return Ok(None);
    }
    client.write_all(&[1, 0])?;
    let head = take(client, 4)?;
    let len = match head[3] {
        1 => 4,
        3 => usize::from(take(client, 1)?[0]),
        _ => 16,
    };
    take(client, len)?;
    let port = take(client, 2)?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(Some(u16::from_be_bytes([port[0], port[1]])))
}

fn http(client: &mut TcpStream, login: &Login) -> std::io::Result<Option<u16>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(take(client, 1)?);
    }
    let head = String::from_utf8(head).unwrap();
    if !head.contains(&login.http) {
        return Ok(None);
    }
    // "ONNECT host:port HTTP/1.1"
    let target = head.split(' ').nth(1).unwrap();
    let port = target.rsplit(':').next().unwrap().parse().unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    Ok(Some(port))
}
