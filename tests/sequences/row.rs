//! The rows of the table and how they are written.

/// What the device has done when the broker sends the bytes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    /// CONNECT was sent, with a clean session: the bytes come in place of CONNACK.
    Connecting,
    /// The same with a session to be kept.
    Resuming,
    /// Connected, and nothing is owed.
    Connected,
    /// A QoS 1 PUBLISH with packet id 1 waits for its acknowledgement.
    Publishing,
    /// A SUBSCRIBE with packet id 1 for "a" (QoS 1) and "b" (QoS 0) waits.
    Subscribing,
    /// An UNSUBSCRIBE with packet id 1 waits.
    Unsubscribing,
}

/// What the device must do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Close the connection as a breach of the protocol, for a reason that contains this.
    Close(String),
    /// Stay, and this becomes of it.
    Accept(Effect),
}

/// What becomes of a sequence that is accepted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    Connected,
    Ignored,
    /// The message is delivered, and acknowledged if it has QoS 1.
    Delivered,
    /// The operation of the phase completes.
    Completed,
    /// The subscriptions to "a" and "b" complete so; `None` is refused.
    Granted([Option<u8>; 2]),
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The file and the name in it.
    pub(crate) name: String,
    pub(crate) phase: Phase,
    pub(crate) bytes: Vec<u8>,
    pub(crate) verdict: Verdict,
}

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("data/", $name, ".txt")))),*]
    };
}

/// All of them, in the order of the files.
pub(crate) fn rows() -> Vec<Row> {
    let files = files![
        "connack",
        "publish",
        "puback",
        "suback",
        "unsuback",
        "pingresp",
        "pingreq",
        "disconnect",
        "connect",
        "subscribe",
        "unsubscribe",
        "forbidden",
        "auth",
        "pubrec",
        "pubrel",
        "pubcomp",
    ];
    let of_file = |(file, text): (&str, &str)| -> Vec<Row> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| parse(file, line)).collect()
    };
    files.into_iter().flat_map(of_file).collect()
}

fn parse(file: &str, line: &str) -> Row {
    let fields: Vec<&str> = line.split('|').map(str::trim).collect();
    let &[name, phase, bytes, verdict, text] = fields.as_slice() else {
        panic!("{file}: five fields are needed: {line}");
    };
    assert!(!text.is_empty(), "{file}: no reason: {line}");
    let phase = match phase {
        "connecting" => Phase::Connecting,
        "resuming" => Phase::Resuming,
        "connected" => Phase::Connected,
        "publishing" => Phase::Publishing,
        "subscribing" => Phase::Subscribing,
        "unsubscribing" => Phase::Unsubscribing,
        _ => panic!("{file}: no such phase: {line}"),
    };
    let verdict = match verdict {
        "close" => Verdict::Close(text.to_owned()),
        "accept" => Verdict::Accept(effect(text)),
        _ => panic!("{file}: close or accept: {line}"),
    };
    Row {
        name: format!("{file}/{name}"),
        phase,
        bytes: bytes_of(bytes),
        verdict,
    }
}

fn effect(text: &str) -> Effect {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["connected"] => Effect::Connected,
        ["ignored"] => Effect::Ignored,
        ["delivered"] | ["delivered", "and", "acknowledged"] => Effect::Delivered,
        ["completed"] => Effect::Completed,
        ["granted", a, b] => Effect::Granted([a, b].map(|word| word.parse().ok())),
        _ => panic!("no such effect: {text}"),
    }
}

/// Hexadecimal digits; `xx*n` at the end repeats the last byte, n of it in all.
fn bytes_of(text: &str) -> Vec<u8> {
    let (digits, count) = text.split_once('*').unwrap_or((text, "1"));
    let mut bytes = hex::decode(digits).unwrap();
    let last = *bytes.last().unwrap();
    let count: usize = count.parse().unwrap();
    bytes.resize(bytes.len() + count - 1, last);
    bytes
}
