//! Messages of QoS 0: what is left of them when some have gone.

use super::*;

const NOW: Duration = Duration::ZERO;

fn push(direct: &mut Direct, len: usize) {
    let spares = &mut Spares::default();
    direct.push("t", &vec![0; len], None, Token::FIRST, spares);
}

/// Everything in front, as the socket is given it.
fn pop(direct: &mut Direct) -> BytesMut {
    direct.pop(&mut Shaper::new(None), NOW)
}

#[test]
fn what_was_taken_whole_does_not_come_back() {
    let mut direct = Direct::default();
    push(&mut direct, 10);
    push(&mut direct, 20);
    let bytes = pop(&mut direct);
    let len = bytes.len();
    assert_eq!(direct.take_back(bytes, len).level(), (2, len));
    assert!(direct.is_empty());
}

#[test]
fn a_rate_that_lets_nothing_go_holds_no_mark_back() {
    let (mut direct, mut shaper) = (Direct::default(), Shaper::new(Some(1)));
    push(&mut direct, 10);
    push(&mut direct, 10);
    let mark = direct.mark();
    direct.pop(&mut shaper, NOW);
    direct.handle_taken();
    assert!(direct.pop(&mut shaper, NOW).is_empty());
    assert!(!direct.has_passed(mark));
    assert_eq!(direct.drop_oldest().map(|gone| gone.messages), Some(1));
    assert!(direct.has_passed(mark) && direct.is_empty());
}

#[test]
fn what_follows_a_large_message_does_not_move_it() {
    for (len, segments) in [(LARGE - 10, 1), (LARGE, 2)] {
        let mut direct = Direct::default();
        let mut packet = BytesMut::new();
        codec::encode_publish(&mut packet, "t", &vec![0; len], Qos::AtMostOnce);
        direct.push_encoded(packet, None, Token::FIRST);
        push(&mut direct, 10);
        push(&mut direct, 10);
        assert_eq!(direct.segments.len(), segments, "{len} bytes");
    }
}

#[test]
fn messages_that_rest_hold_no_room() {
    let mut direct = Direct::default();
    push(&mut direct, 10);
    direct.rest();
    assert_eq!(direct.waiting().0, 1);
    pop(&mut direct);
    assert!(direct.segments.capacity() > 0);
    direct.rest();
    assert_eq!(direct.segments.capacity(), 0);
}
