//! What the recordings of the kernel (`tests/golden`, through the whole director) do not ask.

use super::*;

#[test]
fn first_packets_are_in_the_recordings_of_both_kinds() {
    use tcp::{Event, State};
    assert_eq!(tcp::first(Event::Ack, Seen::Inbound, false, false), None);
    assert_eq!(tcp::first(Event::Ack, Seen::Inbound, false, true), Some(State::Established));
    assert_eq!(tcp::first(Event::Rst, Seen::Inbound, false, true), None);
    assert_eq!(Seen::of(Method::Dr, Direction::Inbound), Seen::InboundOnly);
    assert_eq!(Seen::of(Method::FullNat, Direction::Outbound), Seen::Outbound);
}

#[test]
fn numbers_and_states_agree() {
    for number in 0..tcp::STATES as u8 {
        assert_eq!(tcp::State::of(number) as u8, number);
    }
    for number in 0..sctp::STATES as u8 {
        assert_eq!(sctp::State::of(number) as u8, number);
    }
    assert_eq!((tcp::State::of(200), sctp::State::of(200)), (tcp::State::None, sctp::State::None));
    assert_eq!((name(UDP, 0), name(50, 0)), ("UDP", "NONE"));
}
