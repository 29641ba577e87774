//! The addresses of a NAT or FullNAT conn's packets, and of the packets that ICMP errors about it quote: one place says which they
//! are in which direction.

use super::cutting::{must_be_summed, sum_whole};
use super::forward::Refusal;
use crate::pipeline::{Class, Parsed, Reason};
use crate::port::Frame;
use crate::rewrite::icmp::Translation;
use crate::rewrite::{Endpoint, fullnat, icmp, nat};
use conntrack::{Conn, Direction, Method};

/// Gives the packet of a NAT or FullNAT conn the addresses that it has in this direction, or those that the packet has which it
/// quotes.
#[inline(always)]
pub(super) fn translate<F: Frame>(
    frame: &mut F,
    parsed: &Parsed,
    conn: &Conn,
    direction: Direction,
) -> Result<(), Refusal> {
    let chained = frame.bytes().len() < parsed.end as usize;
    let l3 = &mut frame.bytes_mut()[usize::from(parsed.l3)..];
    let l4 = parsed.header_bytes();
    let summed_whole = chained && must_be_summed(l3, l4, parsed, conn);
    match (conn.method(), direction) {
        _ if parsed.class == Class::IcmpError => {
            if !icmp::translate(l3, l4, &error_translation(conn, direction)) {
                return Err((Reason::IcmpUnmatched, None));
            }
        }
        (Method::FullNat, Direction::Inbound) => {
            fullnat::translate(l3, l4, parsed.protocol, local(conn), real_server(conn));
        }
        (Method::FullNat, Direction::Outbound) => {
            fullnat::translate(l3, l4, parsed.protocol, vip(conn), client(conn));
        }
        (_, Direction::Inbound) => {
            nat::translate_destination(l3, l4, parsed.protocol, conn.server_bytes(), conn.server_port());
        }
        (_, Direction::Outbound) => {
            nat::translate_source(l3, l4, parsed.protocol, conn.vip_bytes(), conn.vip_port());
        }
    }
    if summed_whole {
        sum_whole(frame, parsed);
    }
    Ok(())
}

/// How an ICMP error about the conn is translated when it goes in this direction.
fn error_translation(conn: &Conn, direction: Direction) -> Translation<'_> {
    let full = conn.method() == Method::FullNat;
    match direction {
        // Quotes a reply (VIP → client); the server must see its own packet (server → client or local address).
        Direction::Inbound => Translation {
            source: full.then(|| conn.local_bytes()),
            destination: Some(conn.server_bytes()),
            quoted_source: Some(real_server(conn)),
            quoted_destination: full.then(|| local(conn)),
        },
        // Quotes a request (client or local address → server); the client must see its own packet (client → VIP).
        Direction::Outbound => Translation {
            source: Some(conn.vip_bytes()),
            destination: full.then(|| conn.client_bytes()),
            quoted_source: full.then(|| client(conn)),
            quoted_destination: Some(vip(conn)),
        },
    }
}

fn client(conn: &Conn) -> Endpoint<'_> {
    Endpoint { address: conn.client_bytes(), port: conn.client_port() }
}

fn vip(conn: &Conn) -> Endpoint<'_> {
    Endpoint { address: conn.vip_bytes(), port: conn.vip_port() }
}

fn real_server(conn: &Conn) -> Endpoint<'_> {
    Endpoint { address: conn.server_bytes(), port: conn.server_port() }
}

fn local(conn: &Conn) -> Endpoint<'_> {
    Endpoint { address: conn.local_bytes(), port: conn.local_port() }
}
