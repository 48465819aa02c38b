//! What the network, the peer and the process do to a client, and what must hold all the same.
//! README.md beside this file says which fault has which test.

mod alone;
mod blocked;
mod chaos;
mod dialects;
mod leaks;
mod proxy;
mod sigpipe;
mod silence;
#[path = "../behaviour/support/mod.rs"]
#[allow(dead_code, reason = "the behaviour tests use more of it")]
mod support;
mod transport;

/// Rows of the fault table that this machine's network cannot be given without harm to others.
const SKIPPED: [(&str, &str); 4] = [
    (
        "T14 lost segments",
        "needs packet filters in a network namespace; to the library they are latency and silence",
    ),
    (
        "T21 an address that changes between two lookups",
        "needs a resolver of its own; each attempt looks the name up anew",
    ),
    (
        "T23 an interface that goes down and comes back",
        "needs a network namespace; to the library it is silence, and then a connection",
    ),
    (
        "T24 no ephemeral ports",
        "would take the ports from every other test of the machine",
    ),
];

#[test]
fn faults_that_need_a_network_of_their_own_are_named_as_skipped() {
    use std::io::Write as _;
    for (row, why) in SKIPPED {
        // Past the harness, which keeps the output of a test that passes to itself.
        let _ = writeln!(std::io::stderr(), "skipped: {row}: {why}");
    }
}
