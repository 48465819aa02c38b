//! Bytes at random against a running simulator: it closes what it must, and goes on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::device::{Device, signed, sim};

struct Random(u64);

impl Random {
    fn draw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 as usize % below
    }
}

/// What a device may say, as a start for what it may not.
fn seeds() -> Vec<Vec<u8>> {
    vec![
        b"\x82\x14\x00\x01\x00\x0f/pk/dn/user/get\x01".to_vec(),
        b"\xa2\x13\x00\x02\x00\x0f/pk/dn/user/get".to_vec(),
        b"\x32\x19\x00\x12/pk/dn/user/update\x00\x05abc".to_vec(),
        b"\x30\x43\x00\x26/sys/pk/dn/thing/event/property/post\x00\x00{\"id\":\"1\",\"params\":{\"a\":1}}".to_vec(),
        b"\x30\x2c\x00\x14/shadow/update/pk/dn{\"method\":\"get\"}xxxxxxx".to_vec(),
        b"\x40\x02\x00\x01".to_vec(),
        b"\xc0\x00".to_vec(),
        signed("").bytes(),
    ]
}

#[test]
fn nothing_that_a_client_sends_stops_the_simulator() {
    let sim = sim();
    let (seeds, mut random) = (seeds(), Random(0x9E37_79B9_7F4A_7C15));
    let mut rest = [0; 4096];
    for round in 0..300 {
        let mut stream = TcpStream::connect(sim.tcp_addr().unwrap()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        // Half of them come as a device that is let in.
        if round % 2 == 0 {
            let _ = stream.write_all(&signed("").bytes());
        }
        for _ in 0..50 {
            let mut bytes = seeds[random.draw(seeds.len())].clone();
            for _ in 0..random.draw(4) {
                let at = random.draw(bytes.len());
                match random.draw(3) {
                    0 => bytes[at] = random.draw(256) as u8,
                    1 => bytes.truncate(at + 1),
                    _ => bytes.insert(at, random.draw(256) as u8),
                }
            }
            if stream.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = stream.read(&mut rest);
    }
    let mut device = Device::connected(&sim, &signed(""));
    device.ping();
    assert!(sim.view(|view| view.accepted()) > 100);
}
