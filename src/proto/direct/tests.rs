//! The memory that messages of QoS 0 take, and what is left of them when they have gone.

use super::*;

const NOW: Duration = Duration::ZERO;

fn push(direct: &mut Direct, len: usize) {
    direct.push("t", &vec![0; len], None, Token::FIRST);
}

/// Everything in front, as the socket is given it.
fn pop(direct: &mut Direct) -> BytesMut {
    direct.pop(&mut Shaper::new(None), NOW)
}

#[test]
fn an_idle_connection_holds_no_memory_of_what_it_sent() {
    let mut direct = Direct::default();
    push(&mut direct, 50_000);
    let sent = pop(&mut direct);
    assert!(sent.capacity() > 50_000);
    direct.handle_taken(sent);
    push(&mut direct, 10);
    assert!(pop(&mut direct).capacity() < 1000);
}

#[test]
fn a_burst_takes_the_memory_of_what_the_socket_has_already_unless_it_is_large() {
    for (first, is_kept) in [(vec![1000; 66], true), (vec![200_000], false)] {
        let mut direct = Direct::default();
        first.into_iter().for_each(|len| push(&mut direct, len));
        push(&mut direct, SEGMENT_LEN);
        let sent = pop(&mut direct);
        let capacity = sent.capacity();
        direct.handle_taken(sent);
        push(&mut direct, 10);
        let sent = pop(&mut direct);
        direct.handle_taken(sent);
        assert_eq!(pop(&mut direct).capacity() == capacity, is_kept);
    }
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
    let bytes = direct.pop(&mut shaper, NOW);
    direct.handle_taken(bytes);
    assert!(direct.pop(&mut shaper, NOW).is_empty());
    assert!(!direct.has_passed(mark));
    assert_eq!(direct.drop_oldest().map(|gone| gone.messages), Some(1));
    assert!(direct.has_passed(mark) && direct.is_empty());
}
