//! The limits on what waits for the application, to the byte and to the message.

use std::iter;

use super::*;

fn delivered(inbox: &mut Inbox, len: usize) -> u64 {
    inbox.handle_delivered(Inbox::charge(len), iter::empty())
}

#[test]
fn one_message_always_fits_and_the_next_one_of_qos_0_is_dropped() {
    let mut inbox = Inbox::new(10, 1000);
    assert!(inbox.accept(1_000_000, false));
    assert_eq!(inbox.level(), 1_000_000 + MESSAGE_OVERHEAD);
    assert!(!inbox.accept(1, false) && !inbox.accept(1, false));
    assert_eq!(inbox.level(), 1_000_000 + MESSAGE_OVERHEAD);
    assert_eq!(delivered(&mut inbox, 1_000_000), 2);
    assert_eq!(inbox.level(), 0);
    assert_eq!(delivered(&mut inbox, 0), 0, "each is reported once");
}

#[test]
fn messages_fill_the_inbox_to_the_byte() {
    let half = 500 - MESSAGE_OVERHEAD;
    let mut inbox = Inbox::new(10, 1000);
    assert!(inbox.accept(half, false) && inbox.accept(half, true));
    assert_eq!(inbox.level(), 1000);
    let mut inbox = Inbox::new(10, 1000);
    assert!(inbox.accept(half, true));
    assert!(!inbox.accept(half + 1, false) && !inbox.accept(half + 1, true));
    // The one of QoS 1 comes again: it is not lost.
    assert_eq!(delivered(&mut inbox, half), 1);
    assert_eq!(inbox.level(), 0);
}

#[test]
fn no_more_messages_of_qos_1_are_held_than_allowed() {
    let mut inbox = Inbox::new(3, 100_000);
    assert!((0..3).all(|_| inbox.accept(1, true)));
    assert!(!inbox.accept(1, true));
    assert!(inbox.accept(1, false), "QoS 0 is not held");
    // Acknowledgements that have not left yet do not count a second time.
    for id in [1, 2] {
        assert_eq!(inbox.handle_delivered(Inbox::charge(1), iter::once(id)), 0);
    }
    assert!(inbox.accept(1, true) && inbox.accept(1, true));
    assert!(!inbox.accept(1, true));
}

#[test]
fn acknowledgements_leave_once_and_in_order() {
    let mut inbox = Inbox::new(3, 1000);
    assert!(inbox.accept(1, true) && inbox.accept(1, true));
    assert!(!inbox.has_acks());
    inbox.handle_delivered(2 * Inbox::charge(1), [7, 258].into_iter());
    assert!(inbox.has_acks());
    let mut head = BytesMut::new();
    inbox.fill_acks(&mut head);
    assert_eq!(*head, [0x40, 2, 0, 7, 0x40, 2, 1, 2]);
    assert!(!inbox.has_acks());
}

#[test]
fn with_the_connection_goes_what_was_owed_on_it() {
    let mut inbox = Inbox::new(1, 1000);
    assert!(inbox.accept(1, true) && !inbox.accept(900, false));
    inbox.acks.push(1);
    assert_eq!(inbox.handle_lost(), 1);
    assert!(!inbox.has_acks());
    assert!(inbox.accept(1, true), "nothing is held on the next one");
    assert_eq!(
        inbox.level(),
        2 * Inbox::charge(1),
        "both wait for their callbacks"
    );
}

#[test]
fn what_was_taken_before_a_mark_is_held_until_its_callback_returns() {
    let mut inbox = Inbox::new(10, 100_000);
    assert!(!inbox.is_held(inbox.mark()));
    assert!(inbox.accept(1, true) && inbox.accept(1, true));
    let mark = inbox.mark();
    assert!(inbox.accept(1, true) && inbox.is_held(mark));
    inbox.handle_delivered(0, iter::once(1));
    assert!(inbox.is_held(mark));
    inbox.handle_delivered(0, iter::once(2));
    assert!(!inbox.is_held(mark) && inbox.is_held(inbox.mark()));
    inbox.handle_lost();
    assert!(!inbox.is_held(inbox.mark()));
}
