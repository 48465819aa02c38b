//! What the system may deny a program at any moment: memory, address space, system calls. A C
//! program each, because the test itself would be denied as much.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::run;
use crate::toolbox::ran::{is_long, ran};
use crate::toolbox::{ROOT, build, build_preload, checker, installed_library, say};

/// Lets the allocation whose number is in `FAIL_AT` fail, and all that follow it if `FAIL_ON` is
/// set. It counts from the moment at which the program says so, over all threads.
const FAILING_ALLOCATOR: &str = r#"
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
static atomic_long made, fail_at = -1;
static atomic_int counts, on;
long failures_begin(void)
{
    const char *at = getenv("FAIL_AT");
    fail_at = at != NULL ? atol(at) : -1;
    on = getenv("FAIL_ON") != NULL;
    counts = 1;
    return 0;
}
long failures_end(void)
{
    counts = 0;
    return made;
}
static int fails(void)
{
    if (!counts)
        return 0;
    long number = atomic_fetch_add(&made, 1) + 1;
    if (fail_at < 0 || number < fail_at || (number > fail_at && !on))
        return 0;
    errno = ENOMEM;
    return 1;
}
void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return fails() ? NULL : __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { return fails() ? NULL : __libc_realloc(old, size); }
void *aligned_alloc(size_t align, size_t size)
{
    return fails() ? NULL : __libc_memalign(align, size);
}
int posix_memalign(void **out, size_t align, size_t size)
{
    void *found = fails() ? NULL : __libc_memalign(align, size);
    if (found == NULL)
        return ENOMEM;
    *out = found;
    return 0;
}
"#;

/// What became of a life that was denied something.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum End {
    /// It came to its end all the same.
    Done,
    /// A call said by its result what it could not have.
    Denied,
    /// An allocation failed in Rust, which ends the process and says so.
    Aborted,
    /// The loader could not map the program.
    NotLoaded,
}

/// Built once: these tests run at the same time.
fn life() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let source = Path::new(ROOT).join("tests/c/child/life.c");
    let built = BUILT.get_or_init(|| build(&source, &installed_library(), "-O1"));
    built.clone()
}

/// Runs the program by the words of another in front of it. Every other end than the four is an
/// accident: a signal, a check that failed, a sanitizer's report.
fn live(way: &str, transport: &str, before: &[&str], life: &Path) -> (End, String) {
    let mut command = Command::new(before.first().map_or(life.as_os_str(), |it| it.as_ref()));
    if !before.is_empty() {
        command.args(&before[1..]).arg(life);
    }
    command.env("RUST_BACKTRACE", "0");
    let output = run(way, command, transport);
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let end = match (output.status.code(), output.status.signal()) {
        (Some(0), _) if output.stdout.ends_with(b"done\n") => End::Done,
        (Some(3), _) if said.contains("denied: ") => End::Denied,
        (Some(127), _) if said.contains("error while loading shared libraries") => End::NotLoaded,
        // A shell tells the signal of its child as 128 more.
        (None, Some(6)) | (Some(134), _)
            if said.contains("memory allocation of ") || said.contains("out of memory") =>
        {
            End::Aborted
        }
        _ => panic!("{before:?}: {}: {said}", output.status),
    };
    (end, said)
}

/// Rust ends the process when an allocation fails, and libraries in Rust cannot do otherwise: so it
/// ends by abort, saying why. What C allocates underneath, for threads and names, is told by a
/// result or tried again. Nothing else happens: no memory is touched that was not given.
#[test]
fn an_allocation_that_fails_is_an_abort_that_says_so_or_a_result() {
    let test = "an_allocation_that_fails_is_an_abort_that_says_so_or_a_result";
    if checker().is_some() {
        return say(&format!(
            "skipped: {test}: the sanitizer has an allocator of its own"
        ));
    }
    let Some(library) = build_preload("failing_allocator", FAILING_ALLOCATOR) else {
        return say(&format!("skipped: {test}: cc makes no shared libraries"));
    };
    let life = life();
    let preload = format!("LD_PRELOAD={}", library.display());
    let (end, said) = live("allocator", "tls", &["env", &preload], &life);
    assert_eq!(end, End::Done);
    let total = said
        .lines()
        .find_map(|line| line.strip_prefix("allocations: "));
    let total: usize = total.unwrap().parse().unwrap();
    // The first ten, which build everything, and twenty of the others; all of them in a long run.
    let some = (1..=10).chain((1..=20).map(|n| 10 + n * (total - 10) / 20));
    let chosen: Vec<usize> = if is_long() {
        (1..=total).collect()
    } else {
        some.collect()
    };
    let mut ends = BTreeMap::<End, usize>::new();
    for at in chosen {
        for (transport, and_on) in [("tls", None), ("tcp", Some("FAIL_ON=1"))] {
            let at = format!("FAIL_AT={at}");
            let mut before = vec!["env", &preload, &at];
            before.extend(and_on);
            let (end, _) = live("allocator", transport, &before, &life);
            *ends.entry(end).or_default() += 1;
        }
    }
    ran(test, ends.values().sum());
    say(&format!(
        "measured: of {total} allocations, some failed: {ends:?}"
    ));
    assert!(ends[&End::Aborted] > 0, "{ends:?}");
    assert!(!ends.contains_key(&End::NotLoaded), "{ends:?}");
}

/// Threads and their stacks are what takes address space.
#[test]
fn as_little_address_space_as_there_may_be_is_enough_or_told() {
    let test = "as_little_address_space_as_there_may_be_is_enough_or_told";
    if checker().is_some() {
        return say(&format!("skipped: {test}: the sanitizer maps terabytes"));
    }
    let life = life();
    let mut ends = Vec::new();
    for mebibytes in [400, 256, 128, 96, 64, 48, 40, 32, 24, 20, 16, 12, 9] {
        let script = format!("ulimit -v {}; exec \"$@\"", mebibytes * 1024);
        let (end, _) = live("space", "tls", &["sh", "-c", &script, "sh"], &life);
        ends.push((mebibytes, end));
    }
    ran(test, ends.len());
    say(&format!("measured: address space in MiB: {ends:?}"));
    for (mebibytes, end) in ends {
        assert!(
            mebibytes < 64 || end == End::Done,
            "{mebibytes} MiB: {end:?}"
        );
    }
}

/// Polling among them, and opening and closing: a program in C has no start that needs them. Not
/// reading and writing, which would reach the descriptors that wake threads, where no system fails.
#[test]
fn system_calls_that_fail_at_random_are_results_or_delays() {
    let test = "system_calls_that_fail_at_random_are_results_or_delays";
    if checker().is_some() {
        return say(&format!(
            "skipped: {test}: it would run with two libraries preloaded"
        ));
    }
    if Command::new("fiu-run").arg("-h").output().is_err() {
        return say(&format!(
            "skipped: {test}: fiu-run is not there (on Debian: fiu-utils)"
        ));
    }
    let life = life();
    let rounds = if is_long() { 20 } else { 1 };
    let mut ends = BTreeMap::<(&str, End), usize>::new();
    let one = |names, probability| {
        let rule = format!("enable_random name=posix/io/{names},probability={probability}");
        let (end, said) = live("fiu", "tcp", &["fiu-run", "-x", "-c", &rule], &life);
        let told = said
            .lines()
            .find_map(|line| line.strip_prefix("failures: "));
        (end, told.map_or(0, |it| it.parse::<usize>().unwrap()))
    };
    let mut failures = 0;
    for _ in 0..rounds {
        for names in ["net/*", "sync/*", "oc/*"] {
            for probability in ["0.01", "0.05", "0.2"] {
                let (end, failed) = one(names, probability);
                failures += failed;
                *ends.entry((names, end)).or_default() += 1;
            }
        }
    }
    ran(test, ends.values().sum());
    // All of them may have had luck; not fifty more.
    for _ in 0..50 {
        if failures == 0 {
            failures = one("net/*", "0.2").1;
        }
    }
    say(&format!(
        "measured: calls of posix/io failed at random: {ends:?}; failed attempts and lost \
         connections: {failures}"
    ));
    assert!(failures > 0, "no call ever failed");
    let all_done = ends.keys().all(|(_, end)| *end == End::Done);
    assert!(all_done, "{ends:?}");
}
