//! `uvs decap`: what a real server of a TUN service needs where the kernel lacks the ipip modules. Packets with an IP header around
//! them (protocol 4 or 41, in IPv4 or IPv6) come by raw sockets, lose that header, and enter the kernel again by a TUN device, where
//! the VIP on `lo` takes them. Only this direction: what the server answers goes straight to the client.
//! For the demo and the tests; a real server should use its kernel's tunnels.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tappers::{DeviceState, Interface, Tun};

/// IP protocol number of IPv4 inside something (RFC 2003).
const IPPROTO_IPIP: i32 = 4;
/// IP protocol number of IPv6 inside something (RFC 2473, RFC 4213).
const IPPROTO_IPV6: i32 = 41;
/// The largest IP packet.
const PACKET_BYTES_MAX: usize = 65_536;
/// Packets wait here while the program does not run; the kernel's default holds about a hundred.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Arguments of `uvs decap`.
#[derive(Clone, Debug, clap::Args)]
pub struct DecapArgs {
    /// Name of the TUN device to create; it is up as soon as packets are taken
    #[arg(long, value_name = "NAME")]
    pub tun: String,
    /// Only packets to these addresses of this host
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub local: Vec<IpAddr>,
}

/// Runs until it is killed.
pub fn run(args: &DecapArgs) -> ExitCode {
    let Err(error) = forward(args);
    eprintln!("uvs decap: {error}");
    ExitCode::FAILURE
}

fn forward(args: &DecapArgs) -> io::Result<std::convert::Infallible> {
    let name = Interface::new(&args.tun)?;
    let mut tun = Tun::new_named(name)?;
    let mut sockets = Vec::new();
    for &local in &args.local {
        for protocol in [IPPROTO_IPIP, IPPROTO_IPV6] {
            sockets.push((listen(local, protocol)?, local.is_ipv4()));
        }
    }
    tun.set_state(DeviceState::Up)?;

    let tun = Arc::new(tun);
    let threads: Vec<_> = sockets
        .into_iter()
        .map(|(socket, outer_is_ipv4)| {
            let tun = Arc::clone(&tun);
            thread::spawn(move || unwrap_packets(socket, outer_is_ipv4, &tun))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| io::Error::other("a receiving thread panicked"))??;
    }
    Err(io::Error::other("no address to listen on"))
}

fn listen(local: IpAddr, protocol: i32) -> io::Result<Socket> {
    let domain = if local.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(protocol)))?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(&SockAddr::from(SocketAddr::new(local, 0)))?;
    Ok(socket)
}

/// A raw IPv4 socket gives the outer header too, a raw IPv6 socket does not.
fn unwrap_packets(mut socket: Socket, outer_is_ipv4: bool, tun: &Tun) -> io::Result<()> {
    let mut packet = vec![0; PACKET_BYTES_MAX];
    loop {
        let length = socket.read(&mut packet)?;
        let outer_bytes = if outer_is_ipv4 { usize::from(packet[0] & 0x0f) * 4 } else { 0 };
        let inner = packet.get(outer_bytes..length).unwrap_or_default();
        // What the kernel does not take as a packet is the sender's fault and is lost, as with the kernel's own tunnels.
        let _ = tun.send(inner);
    }
}
