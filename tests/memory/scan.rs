//! Looks for bytes in the writable memory of another process.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

/// What an allocator writes into freed memory is at its beginning, so the last bytes are looked for.
const TAIL: usize = 16;
const PAGE: usize = 4096;

/// Something that should not be there.
pub(crate) struct Needle {
    name: &'static str,
    tail: Vec<u8>,
}

impl Needle {
    pub(crate) fn text(name: &'static str, text: &str) -> Self {
        Self::bytes(name, text.as_bytes())
    }

    pub(crate) fn bytes(name: &'static str, bytes: &[u8]) -> Self {
        let tail = bytes[bytes.len().saturating_sub(TAIL)..].to_vec();
        assert!(tail.len() >= 8, "{name} would be found everywhere");
        Self { name, tail }
    }
}

/// What was found where.
pub(crate) struct Scan {
    found: BTreeMap<&'static str, Vec<String>>,
    /// How much was looked through, without what is all zero.
    pub(crate) bytes: usize,
}

impl Scan {
    pub(crate) fn of(process: u32, needles: &[Needle]) -> Self {
        let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
        let memory = File::open(format!("/proc/{process}/mem")).unwrap();
        let mut scan = Self {
            found: BTreeMap::new(),
            bytes: 0,
        };
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
            if !rights.starts_with("rw") {
                continue;
            }
            let what = fields.nth(3).unwrap_or("anonymous");
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            // The stack of a thread may have gone since.
            if memory.read_exact_at(&mut bytes, start).is_ok() {
                scan.search(&bytes, start, what, needles);
            }
        }
        assert!(
            scan.bytes > 16 * PAGE,
            "the memory of {process} cannot be read"
        );
        scan
    }

    fn search(&mut self, bytes: &[u8], start: u64, what: &str, needles: &[Needle]) {
        let is_empty = |page: &[u8]| page == &[0; PAGE][..page.len()];
        let mut pages = bytes.chunks(PAGE).enumerate().peekable();
        while let Some((number, page)) = pages.next() {
            if is_empty(page) {
                continue;
            }
            // Up to the next page that is all zero.
            let from = number * PAGE;
            let mut to = from + page.len();
            while let Some((_, page)) = pages.next_if(|(_, page)| !is_empty(page)) {
                to += page.len();
            }
            let part = &bytes[from..to];
            self.bytes += part.len();
            for needle in needles {
                for at in positions(part, &needle.tail) {
                    let place = format!("{:#x} in {what}", start + (from + at) as u64);
                    self.found.entry(needle.name).or_default().push(place);
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether nothing else was found, and nothing more often than it may be.
    pub(crate) fn is_within(&self, known: &[(&str, usize)]) -> bool {
        let may = |name| known.iter().find(|(known, _)| *known == name);
        self.found
            .iter()
            .all(|(name, places)| may(*name).is_some_and(|(_, most)| places.len() <= *most))
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.found.get(name).map_or(0, Vec::len)
    }
}

impl fmt::Display for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (name, places) in &self.found {
            write!(f, "{separator}{} × {name}", places.len())?;
            separator = ", ";
        }
        f.write_str(if self.found.is_empty() { "nothing" } else { "" })
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.found.fmt(f)
    }
}

/// Where `needle` begins in `bytes`. Written for builds without optimisation.
fn positions(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    let (first, mut at, mut found) = (needle[0], 0, Vec::new());
    while let Some(next) = bytes[at..].iter().position(|&byte| byte == first) {
        if bytes[at + next..].starts_with(needle) {
            found.push(at + next);
        }
        at += next + 1;
    }
    found
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    let byte = |pair: &[u32]| u8::try_from(pair[0] * 16 + pair[1]).unwrap();
    digits.chunks(2).map(byte).collect()
}

pub(crate) fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in text.chars().filter(|&c| c != '=') {
        bits = (bits << 6) | u32::try_from(DIGITS.find(digit).unwrap()).unwrap();
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap());
        }
    }
    bytes
}

/// The private key `number` of P-256 as arithmetic wants it: times 2^256 modulo the order of the
/// group, the lowest byte first.
pub(crate) fn montgomery(number: &[u8]) -> Vec<u8> {
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    // 33 bytes, the highest first: a number below the order, doubled, still fits.
    let widen = |bytes: &[u8]| [&[0], bytes].concat();
    let (order, mut number) = (widen(&from_hex(ORDER)), widen(number));
    for _ in 0..256 {
        let mut carry = 0;
        for byte in number.iter_mut().rev() {
            let doubled = u16::from(*byte) * 2 + carry;
            *byte = doubled.to_le_bytes()[0];
            carry = doubled >> 8;
        }
        if number >= order {
            let mut borrow = 0;
            for (byte, less) in number.iter_mut().zip(&order).rev() {
                let rest = 256 + i16::from(*byte) - i16::from(*less) - borrow;
                *byte = rest.to_le_bytes()[0];
                borrow = i16::from(rest < 256);
            }
        }
    }
    number[1..].iter().rev().copied().collect()
}
