//! A real server as the book has it.

use super::ServerSpec;
use crate::rewrite::tun::Tunnel;
use crate::services::{RealServer, ServerId};
use sched::{Server, Thresholds};
use std::net::SocketAddr;

/// A real server with its history.
#[derive(Debug, Clone, Copy)]
pub struct Listed {
    /// As workers see it.
    pub server: RealServer,
    /// What its packets travel in, with [`Method::Tun`].
    pub tunnel: Tunnel,
    /// Its thresholds.
    pub thresholds: Thresholds,
    /// The last weight above 0: quiescing a server must not move mh's table.
    pub(super) last_weight: u32,
}

impl Listed {
    /// A server that had this weight above 0 before, if it has none now.
    pub(super) fn new(id: ServerId, address: SocketAddr, spec: ServerSpec, last_weight: u32) -> Listed {
        let ServerSpec { method, tunnel, weight, thresholds, next_hop } = spec;
        let server = RealServer { id, address: address.ip(), port: address.port(), method, weight, next_hop };
        Listed { server, tunnel, thresholds, last_weight: if weight > 0 { weight } else { last_weight } }
    }

    /// Address and port.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.server.address, self.server.port)
    }

    pub(in crate::services) fn described(&self) -> Server {
        Server {
            id: self.server.id.0,
            address: self.server.address,
            port: self.server.port,
            weight: self.server.weight,
            last_weight: self.last_weight,
        }
    }
}
