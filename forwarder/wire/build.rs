//! Whole frames with right checksums, for tests and for the demonstration; workers write what they send into frames
//! they have.
//!
//! `Frame::between("10.1.2.3", "10.99.0.1").ttl(2).udp(20002, 80, b"hello")` is a frame with what is not said as a
//! host sends it: TTL 64, don't fragment, id 0x1234.

use std::net::IpAddr;

use zerocopy::IntoBytes;

use super::{Ethernet, Icmp, Ipv4, Ipv6, Mac, Tcp, Udp, checksum, ethernet, ipv4, protocol};

/// What a frame has below its transport header.
#[derive(Clone, Debug)]
pub struct Frame {
    source_mac: Mac,
    destination_mac: Mac,
    source: IpAddr,
    destination: IpAddr,
    tos: u8,
    ttl: u8,
    id: u16,
    dont_fragment: bool,
    options: Vec<u8>,
    window: u16,
    tcp_options: Vec<u8>,
}

impl Frame {
    /// A frame between two addresses of one family.
    ///
    /// # Panics
    /// If one address is IPv4 and the other IPv6.
    pub fn new(source: IpAddr, destination: IpAddr) -> Frame {
        assert_eq!(source.is_ipv4(), destination.is_ipv4(), "{source} > {destination}: must be one family");
        Frame {
            source_mac: Mac([2, 0, 0, 0, 0, 1]),
            destination_mac: Mac([2, 0, 0, 0, 0, 2]),
            source,
            destination,
            tos: 0,
            ttl: 64,
            id: 0x1234,
            dont_fragment: true,
            options: Vec::new(),
            window: 0xffff,
            tcp_options: Vec::new(),
        }
    }

    /// The same, from text.
    ///
    /// # Panics
    /// If a text is no address, or the families differ.
    pub fn between(source: &str, destination: &str) -> Frame {
        let parse = |text: &str| text.parse().unwrap_or_else(|_| panic!("{text:?}: must be an IPv4 or IPv6 address"));
        Frame::new(parse(source), parse(destination))
    }

    /// Sets the hardware addresses.
    pub fn macs(mut self, source: Mac, destination: Mac) -> Frame {
        (self.source_mac, self.destination_mac) = (source, destination);
        self
    }

    /// Sets TOS or traffic class.
    pub fn tos(mut self, tos: u8) -> Frame {
        self.tos = tos;
        self
    }

    /// Sets TTL or hop limit.
    pub fn ttl(mut self, ttl: u8) -> Frame {
        self.ttl = ttl;
        self
    }

    /// Sets the identification; IPv6 has none.
    pub fn id(mut self, id: u16) -> Frame {
        self.id = id;
        self
    }

    /// Sets or clears "don't fragment"; IPv6 has none.
    pub fn dont_fragment(mut self, dont_fragment: bool) -> Frame {
        self.dont_fragment = dont_fragment;
        self
    }

    /// Sets IPv4 options, a multiple of four bytes and at most 40.
    pub fn options(mut self, options: &[u8]) -> Frame {
        assert!(options.len() <= 40 && options.len().is_multiple_of(4), "IPv4 options: {} bytes", options.len());
        self.options = options.to_vec();
        self
    }

    /// Sets the receive window of TCP segments.
    pub fn window(mut self, window: u16) -> Frame {
        self.window = window;
        self
    }

    /// Sets TCP options, a multiple of four bytes and at most 40.
    pub fn tcp_options(mut self, options: &[u8]) -> Frame {
        assert!(options.len() <= 40 && options.len().is_multiple_of(4), "TCP options: {} bytes", options.len());
        self.tcp_options = options.to_vec();
        self
    }

    /// A TCP segment. `numbers` are sequence and acknowledgement.
    pub fn tcp(&self, ports: (u16, u16), numbers: (u32, u32), flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = Tcp::new(ports.0, ports.1, numbers.0, numbers.1, flags);
        header.set_window(self.window);
        header.set_header_bytes(Tcp::BYTES + self.tcp_options.len());
        self.packet(protocol::TCP, &[header.as_bytes(), &self.tcp_options, payload].concat())
    }

    /// A UDP datagram.
    pub fn udp(&self, source_port: u16, destination_port: u16, payload: &[u8]) -> Vec<u8> {
        let header = Udp::new(source_port, destination_port, payload.len());
        self.packet(protocol::UDP, &[header.as_bytes(), payload].concat())
    }

    /// An echo request.
    pub fn echo_request(&self, identifier: u16, sequence: u16, payload: &[u8]) -> Vec<u8> {
        let kind = if self.source.is_ipv4() { super::icmp::v4::ECHO_REQUEST } else { super::icmp::v6::ECHO_REQUEST };
        self.icmp(kind, 0, u32::from(identifier) << 16 | u32::from(sequence), payload)
    }

    /// An ICMP or ICMPv6 message, whichever the family has. An error's `body` is the packet it is about, from its IP
    /// header on.
    pub fn icmp(&self, kind: u8, code: u8, rest: u32, body: &[u8]) -> Vec<u8> {
        let protocol = if self.source.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        self.packet(protocol, &[Icmp::new(kind, code, rest).as_bytes(), body].concat())
    }

    /// Any IP packet. The checksum of a protocol that is known is filled in.
    pub fn packet(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (ether_type, header) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let bytes = self.options.len() + payload.len();
                let mut ip = Ipv4::new(protocol, source.octets(), destination.octets(), bytes);
                ip.set_tos(self.tos);
                ip.set_ttl(self.ttl);
                ip.set_id(self.id);
                ip.set_dont_fragment(self.dont_fragment);
                let mut header = [ip.as_bytes(), &self.options].concat();
                header[0] = 0x40 | (header.len() / 4) as u8;
                ipv4::fill_checksum(&mut header);
                (ethernet::IPV4, header)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut ip = Ipv6::new(protocol, source.octets(), destination.octets(), payload.len());
                ip.set_traffic_class(self.tos);
                ip.set_hop_limit(self.ttl);
                (ethernet::IPV6, ip.as_bytes().to_vec())
            }
            _ => unreachable!("new() refuses mixed families"),
        };
        let ethernet = Ethernet::new(self.destination_mac, self.source_mac, ether_type);
        let mut frame = [ethernet.as_bytes(), &header, payload].concat();
        checksum::fill_transport(&mut frame[Ethernet::BYTES..], header.len(), protocol);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp::SYN;

    /// The golden recordings' frame of one UDP request with TOS 0xb8.
    #[test]
    fn udp_has_the_bytes_that_the_kernel_saw() {
        let frame = Frame::between("10.1.2.3", "10.99.0.1").tos(0xb8).udp(20002, 80, &[0x71; 33]);
        let expect = [
            0x45, 0xb8, 0x00, 0x3d, 0x12, 0x34, 0x40, 0x00, 0x40, 0x11, 0x11, 0x5d, 0x0a, 0x01, 0x02, 0x03, 0x0a, 0x63,
            0x00, 0x01, 0x4e, 0x22, 0x00, 0x50, 0x00, 0x29, 0x12, 0xab, 0x71,
        ];
        assert_eq!(frame[14..43], expect);
        assert_eq!(frame.len(), 75);
    }

    /// The golden recordings' SYN to a port without a service, and its IPv6 counterpart.
    #[test]
    fn tcp_has_the_bytes_that_the_kernel_saw() {
        let frame = Frame::between("10.1.2.3", "10.99.0.1").tcp((20001, 81), (1000, 0), SYN, &[]);
        let expect = [
            0x45, 0x00, 0x00, 0x28, 0x12, 0x34, 0x40, 0x00, 0x40, 0x06, 0x12, 0x35, 0x0a, 0x01, 0x02, 0x03, 0x0a, 0x63,
            0x00, 0x01, 0x4e, 0x21, 0x00, 0x51, 0x00, 0x00, 0x03, 0xe8, 0x00, 0x00, 0x00, 0x00, 0x50, 0x02, 0xff, 0xff,
            0x47, 0x21, 0x00, 0x00,
        ];
        assert_eq!(frame[14..], expect);
        let frame = Frame::between("fd10::1:2:3", "fd99::1").tcp((20001, 81), (1000, 0), SYN, &[]);
        assert_eq!(frame[14 + 40 + 16..][..2], [0x62, 0xd7]);
    }

    #[test]
    fn options_lengthen_the_header() {
        let frame = Frame::between("10.1.2.3", "10.99.0.1").options(&[1, 1, 1, 0]).udp(20002, 80, &[0x71; 20]);
        assert_eq!(frame[14..18], [0x46, 0, 0, 0x34]);
        assert!(ipv4::checksum_is_right(&frame[14..]));
        assert!(checksum::transport_is_right(&frame[14..], 24, protocol::UDP));
    }

    #[test]
    fn echo_requests_of_both_families_have_right_checksums() {
        for (source, destination, l4, protocol) in
            [("10.1.2.3", "10.99.0.1", 20, protocol::ICMP), ("fd10::1", "fd99::1", 40, protocol::ICMPV6)]
        {
            let frame = Frame::between(source, destination).echo_request(0x1122, 1, b"odd");
            assert!(checksum::transport_is_right(&frame[14..], l4, protocol), "{source}");
        }
    }
}
