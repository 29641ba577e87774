//! The library inside real programs: Debian's ipvsadm and keepalived, and a netlink client of a crate's ([`client`]) that does what
//! those two do not. The director is a mock ([`mock`]) on Unix sockets in a folder of the test's own; no root is needed but for
//! keepalived, no packet is sent but over loopback.

mod client;
mod ipvsadm;
mod keepalived;
mod library;
mod message;
mod mock;
mod object;
mod request;
mod sockets;
