//! The line protocol of standard input and the control port: one command a line, one answer a line.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::broker::Broker;
use crate::drive::Addressing;
use crate::outbox::End;
use crate::packet::MAX_PAYLOAD;
use crate::registry::Identity;
use crate::state::{Qos, View};

/// The commands, as `help` prints them; kept in one line because every answer is one.
const HELP: &str = "publish|publish1|push|push1 <pk> <dn> <topic-or-suffix> <text>; \
    kick|cut|reset <pk> <dn>; refuse <pk> <dn> <code>|off; drop-acks <pk> <dn> on|off; \
    hold on|off; devices; watch; help";

/// Longest command line: the largest payload with topic and names.
const MAX_LINE: u64 = MAX_PAYLOAD as u64 + 4096;

/// Messages that wait for a watcher before it loses some.
const MAX_WATCHED: usize = 1024;

/// What a command line leads to.
pub(crate) enum Answer {
    /// A line to answer with.
    Line(String),
    /// The line `ok`, and from then on a line for each message.
    Watch,
}

/// Carries out one command line. Never waits.
pub(crate) fn execute(broker: &Broker, line: &str) -> Answer {
    let line = line.trim_end_matches(['\r', '\n']);
    let (command, rest) = word(line);
    if command == "watch" {
        return Answer::Watch;
    }
    let answer = match command {
        "publish" | "publish1" | "push" | "push1" => publish(broker, command, rest),
        "kick" => on_device(rest, |identity, _| broker.kick(identity).map_err(text)),
        "cut" => on_device(rest, |identity, _| {
            broker.end(identity, End::Cut).map_err(text)
        }),
        "reset" => on_device(rest, |identity, _| {
            broker.end(identity, End::Reset).map_err(text)
        }),
        "refuse" => on_device(rest, |identity, code| {
            let code = match code {
                "off" => None,
                code => Some(
                    code.parse()
                        .map_err(|_| "a code is 1 to 255, or off".to_owned())?,
                ),
            };
            broker.refuse(identity, code).map_err(text)
        }),
        "drop-acks" => on_device(rest, |identity, state| {
            broker.drop_acks(identity, on_or_off(state)?);
            Ok(())
        }),
        "hold" => on_or_off(rest).map(|on| {
            broker.set_hold(on);
            String::new()
        }),
        "devices" => Ok(devices(broker)),
        "help" => Ok(HELP.to_owned()),
        "" => Err("an empty line; try help".into()),
        _ => Err("no such command; try help".into()),
    };
    Answer::Line(match answer {
        Ok(text) if text.is_empty() => "ok".to_owned(),
        Ok(text) => format!("ok {text}"),
        Err(reason) => format!("error {reason}"),
    })
}

fn text(error: crate::Error) -> String {
    error.to_string()
}

/// The first word of a line and what follows the one space after it.
fn word(line: &str) -> (&str, &str) {
    line.split_once(' ').unwrap_or((line, ""))
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text.trim() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("say on or off".into()),
    }
}

/// Reads product key and device name off the line and hands over the rest of it.
fn on_device(
    rest: &str,
    act: impl FnOnce(&Identity, &str) -> Result<(), String>,
) -> Result<String, String> {
    let (identity, rest) = identity(rest)?;
    act(&identity, rest.trim()).map(|()| String::new())
}

fn identity(rest: &str) -> Result<(Identity, &str), String> {
    let (key, rest) = word(rest);
    let (name, rest) = word(rest);
    if key.is_empty() || name.is_empty() {
        return Err("product key and device name are missing; try help".into());
    }
    Ok((Identity::new(key, name), rest))
}

fn publish(broker: &Broker, command: &str, rest: &str) -> Result<String, String> {
    let (identity, rest) = identity(rest)?;
    let (topic, payload) = word(rest);
    let qos = if command.ends_with('1') {
        Qos::AtLeastOnce
    } else {
        Qos::AtMostOnce
    };
    let addressing = if command.starts_with("push") {
        Addressing::Forced
    } else {
        Addressing::AsThePlatform
    };
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    broker
        .publish(&identity, topic, payload, qos, addressing)
        .map(|()| String::new())
        .map_err(text)
}

/// The known devices, each with a word that says whether it is connected.
fn devices(broker: &Broker) -> String {
    let state = broker.lock();
    let view = View(&state);
    let mut devices: Vec<Identity> = view.connections().into_iter().map(|c| c.identity).collect();
    for (key, product) in &state.registry.products {
        devices.extend(product.devices.keys().map(|name| Identity::new(key, name)));
    }
    devices.extend(
        state
            .registry
            .verbatim
            .iter()
            .map(|entry| entry.identity.clone()),
    );
    devices.sort();
    devices.dedup();
    let described = devices.iter().map(|identity| {
        let online = view.is_connected(&identity.product_key, &identity.device_name);
        format!(
            "{identity}={}",
            if online { "connected" } else { "offline" }
        )
    });
    described.collect::<Vec<_>>().join(" ")
}

/// Registers a watcher; each message of a device is a line from then on.
pub(crate) fn watch(broker: &Broker) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(MAX_WATCHED);
    broker.lock().watchers.push(sender);
    receiver
}

/// Carries out one command line for a caller without a runtime; see `Sim::command`.
pub(crate) fn command(
    broker: &Broker,
    line: &str,
    mut show: impl FnMut(&str) -> bool + Send + 'static,
) -> String {
    match execute(broker, line) {
        Answer::Line(text) => text,
        Answer::Watch => {
            let mut receiver = watch(broker);
            let pass_on = move || {
                while let Some(text) = receiver.blocking_recv() {
                    if !show(&text) {
                        return;
                    }
                }
            };
            let thread = std::thread::Builder::new().name("sim-watch".into());
            match thread.spawn(pass_on) {
                Ok(_) => "ok".to_owned(),
                Err(error) => format!("error cannot start a thread: {error}"),
            }
        }
    }
}

/// Serves one client of the control port until it closes the connection.
pub(crate) async fn serve(broker: Arc<Broker>, stream: TcpStream) -> std::io::Result<()> {
    let (read_half, mut write_half) = stream.into_split();
    let mut reader = BufReader::new(read_half);
    let mut watched: Option<mpsc::Receiver<String>> = None;
    let mut line = Vec::new();
    loop {
        let mut limited = (&mut reader).take(MAX_LINE.saturating_sub(line.len() as u64));
        tokio::select! {
            // What was read of a line stays in `line` if the other branch is first.
            read = limited.read_until(b'\n', &mut line) => {
                if read? == 0 || line.len() as u64 >= MAX_LINE {
                    return Ok(());
                }
                let answer = match std::str::from_utf8(&line) {
                    Ok(text) => execute(&broker, text),
                    Err(_) => Answer::Line("error the line is not UTF-8".into()),
                };
                line.clear();
                let text = match answer {
                    Answer::Line(text) => text,
                    Answer::Watch => {
                        watched = Some(watch(&broker));
                        "ok".to_owned()
                    }
                };
                write_half.write_all(format!("{text}\n").as_bytes()).await?;
            }
            Some(text) = next_watched(&mut watched) => {
                write_half.write_all(format!("{text}\n").as_bytes()).await?;
            }
        }
    }
}

/// The next line to show, or for ever nothing if nobody watches.
async fn next_watched(watched: &mut Option<mpsc::Receiver<String>>) -> Option<String> {
    match watched {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}
