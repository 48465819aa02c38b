//! Bugs planted in Rust, for the sanitizers that `make asan-behaviour` and `make tsan-behaviour` put
//! into the tests of the Rust API. Those run this first, with the very flags of the tests, and it
//! fails unless each bug is reported.
//!
//! Each bug is in a process of its own: this program again, with one of the ignored tests below. It
//! is there twice, in this file and in the library, so that neither can be without the sanitizer.

#![expect(unsafe_code, reason = "bugs that safe Rust does not let one plant")]

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aliot::Identity;

/// What has to be planted, what is said of it, and where it must have been seen.
const OF_ADDRESS: [(&str, &str, &str); 3] = [
    (
        "planted_a_use_after_free",
        "heap-use-after-free",
        "checkers::",
    ),
    (
        "planted_a_use_after_free_in_the_library",
        "heap-use-after-free",
        "aliot::",
    ),
    ("planted_a_leak", "LeakSanitizer", "checkers::"),
];
const OF_THREAD: [(&str, &str, &str); 2] = [
    ("planted_a_race", "data race", "checkers::"),
    ("planted_a_race_with_the_library", "data race", "aliot::"),
];

#[test]
fn the_sanitizer_finds_what_was_planted_in_rust() {
    let checker = std::env::var("ALIOT_CHECKER");
    let bugs: &[_] = match checker.as_deref() {
        Ok("address") => &OF_ADDRESS,
        Ok("thread") => &OF_THREAD,
        _ => {
            let text = "skipped: bugs planted in Rust, which `make asan-behaviour` and `make \
                        tsan-behaviour` look for\n";
            std::io::stderr().write_all(text.as_bytes()).unwrap();
            return;
        }
    };
    for (bug, report, place) in bugs {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                bug,
                "--ignored",
                "--nocapture",
                "--test-threads=1",
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{bug} goes unnoticed:\n{said}");
        assert!(said.contains(report), "{bug} is not \"{report}\":\n{said}");
        // The stacks of the accesses themselves, or of the allocation of what leaked.
        let (_, stacks) = said.split_once(report).unwrap();
        let ends = ["is located", "created by", "SUMMARY"];
        let end = ends.iter().filter_map(|end| stacks.find(end)).min();
        let stacks = &stacks[..end.unwrap_or(stacks.len())];
        let frames = stacks
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with('#'));
        let frames = with_names(&frames.collect::<Vec<_>>());
        assert!(
            frames.contains(place),
            "{bug} was not seen in {place}:\n{frames}\n{said}"
        );
    }
}

/// The frames of a report, which has no names without a symbolizer of the sanitizer's own version:
/// then only where they are in this program.
fn with_names(frames: &[&str]) -> String {
    if !frames.iter().any(|frame| frame.contains("<null>")) {
        return frames.join("\n");
    }
    let places = frames.iter().filter_map(|frame| {
        let (_, place) = frame.split_once("+0x")?;
        Some(format!("0x{}", place.split(')').next()?))
    });
    let output = Command::new("addr2line")
        .args(["--functions", "--demangle", "--inlines", "--exe"])
        .arg(std::env::current_exe().unwrap())
        .args(places)
        .output()
        .expect("addr2line comes with the linker");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Nobody else who runs ignored tests wants a bug.
fn is_asked_for() -> bool {
    std::env::var_os("ALIOT_CHECKER").is_some()
}

/// A text whose memory is given back while it can still be read.
fn freed() -> &'static str {
    let text = String::from("a device's name");
    let (at, len) = (text.as_ptr(), text.len());
    drop(text);
    // SAFETY: there is none, on purpose: the memory is freed.
    let bytes = unsafe { std::slice::from_raw_parts(black_box(at), len) };
    // SAFETY: they were a text.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

#[test]
#[ignore = "a bug, for `the_sanitizer_finds_what_was_planted_in_rust`"]
fn planted_a_use_after_free() {
    if !is_asked_for() {
        return;
    }
    let sum = freed()
        .bytes()
        .fold(0_u32, |sum, byte| sum + u32::from(byte));
    black_box(sum);
}

#[test]
#[ignore = "a bug, for `the_sanitizer_finds_what_was_planted_in_rust`"]
fn planted_a_use_after_free_in_the_library() {
    if !is_asked_for() {
        return;
    }
    let _ = black_box(Identity::with_secret("product", freed(), "secret"));
}

#[test]
#[ignore = "a bug, for `the_sanitizer_finds_what_was_planted_in_rust`"]
fn planted_a_leak() {
    if !is_asked_for() {
        return;
    }
    for n in 0..100_u64 {
        std::mem::forget(black_box(Box::new([n; 100])));
    }
}

/// What lets two threads at one text without a lock.
struct Text(UnsafeCell<[u8; 8]>);

// SAFETY: it is none, on purpose.
unsafe impl Sync for Text {}

static SHARED: Text = Text(UnsafeCell::new(*b"a device"));

/// Reads the text here and writes to it in a thread that has begun before, without anything that
/// would order the two: the flag is relaxed. All of it is written, because ThreadSanitizer remembers
/// the last few of the reads.
fn race(read: impl FnOnce(&'static str)) {
    static HAS_READ: AtomicBool = AtomicBool::new(false);
    let writer = std::thread::spawn(|| {
        while !HAS_READ.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        // SAFETY: there is none, on purpose: others may be reading.
        unsafe { SHARED.0.get().write(black_box(*b"A DEVICE")) };
    });
    // SAFETY: there is none, on purpose: another thread writes.
    let bytes: &'static [u8; 8] = unsafe { &*SHARED.0.get() };
    // SAFETY: it is a text at every moment.
    read(unsafe { std::str::from_utf8_unchecked(black_box(bytes)) });
    HAS_READ.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

#[test]
#[ignore = "a bug, for `the_sanitizer_finds_what_was_planted_in_rust`"]
fn planted_a_race() {
    if !is_asked_for() {
        return;
    }
    race(|text| {
        black_box(text.bytes().fold(0_u32, |sum, byte| sum + u32::from(byte)));
    });
}

#[test]
#[ignore = "a bug, for `the_sanitizer_finds_what_was_planted_in_rust`"]
fn planted_a_race_with_the_library() {
    if !is_asked_for() {
        return;
    }
    race(|text| {
        let _ = black_box(Identity::with_secret("product", text, "secret"));
    });
}
