//! Whatever a client sends, it is answered or not, and the director goes on.

#![no_main]

#[path = "../../src/mock.rs"]
mod mock;

// The mock names them as its own crate does.
use ipvs_netlink::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let (mut mock, mut session) = (mock::Mock::default(), Session::default());
    session.take(datagram);
    while let Some(packet) = session.next_packet(&mut mock, Rights::Edit) {
        assert!(packet.len() <= PACKET_BYTES_MAX);
    }
    assert!(session.is_idle());
    requests(datagram).for_each(drop);
});
