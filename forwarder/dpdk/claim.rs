//! One director per device. The kernel would let two of them read one interface (packet sockets share, a tap has more queues to
//! give), and each would take its part of the frames; so a director claims its devices before it touches one.
//!
//! A claim is a Unix socket in the abstract namespace: it leaves no file, ends with its process however that ends, tells who
//! holds it, and is one of its network namespace, as interfaces are. A PCI device is every namespace's, and other programs claim
//! nothing, so who has it open is asked, too (`pci.rs`).

use super::processes::Process;
use super::{Bus, DeviceAddress, Error, pci};
use rustix::net::sockopt::socket_peercred;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

/// Device arguments that name an interface of the kernel.
const INTERFACE_KEYS: [&str; 4] = ["iface", "rx_iface", "rx_iface_in", "tx_iface"];

/// A device is this process's until this is dropped.
#[derive(Debug)]
pub struct Claim {
    _sockets: Vec<UnixListener>,
}

impl Claim {
    /// Claims the device of the port `name`, with the interfaces that it is on. Devices that are nowhere but in their process
    /// (net_null) need no claim.
    pub fn take(name: &str, address: &DeviceAddress) -> Result<Claim, Error> {
        let claim = |what: String| {
            let socket = SocketAddr::from_abstract_name(format!("uvs/{what}"))?;
            UnixListener::bind_addr(&socket).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => io::Error::other(taken(&what, &socket)),
                _ => error,
            })
        };
        let refusal = |why: &str| Error::new(format!("port {name}"), format!("device \"{address}\": {why}"));
        let sockets = claimed(address).into_iter().map(claim).collect::<Result<_, _>>();
        let claim = Claim { _sockets: sockets.map_err(|error: io::Error| refusal(&error.to_string()))? };
        match (address.bus == Bus::Pci).then(|| pci::why_busy(&address.name)).flatten() {
            Some(why) => Err(refusal(&why)),
            None => Ok(claim),
        }
    }
}

/// What nobody else may drive.
fn claimed(address: &DeviceAddress) -> Vec<String> {
    if address.bus == Bus::Pci {
        return vec![format!("PCI device {}", address.name)];
    }
    let pairs = address.arguments.split(',').filter_map(|argument| argument.split_once('='));
    let mut interfaces: Vec<_> =
        pairs.filter(|(key, _)| INTERFACE_KEYS.contains(key)).map(|(_, name)| format!("interface {name}")).collect();
    // One device may receive and transmit by the same interface.
    interfaces.sort();
    interfaces.dedup();
    interfaces
}

fn taken(what: &str, socket: &SocketAddr) -> String {
    let holder = UnixStream::connect_addr(socket).and_then(|stream| Ok(socket_peercred(stream)?));
    match holder.map(|holder| Process::of(holder.pid.as_raw_nonzero().get() as u32)) {
        Ok(holder) if holder.is_own() => {
            format!("{what} is another port's already; each port needs a device of its own")
        }
        Ok(holder) => format!("{what} is another director's ({holder}); stop it, or give this port another device"),
        Err(_) => format!("{what} is another director's; stop it, or give this port another device"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(device: &str) -> Result<Claim, Error> {
        Claim::take("wan", &device.parse().unwrap())
    }

    #[test]
    fn a_device_is_claimed_once_whoever_drives_it() {
        let name = format!("uvs-t{}", std::process::id());
        let tap = take(&format!("net_tap0,mac=fixed,iface={name}")).unwrap();
        let refusal = take(&format!("net_af_packet0,iface={name},qpairs=1")).unwrap_err().to_string();
        let says = format!("interface {name} is another port's already; each port needs a device of its own");
        assert_eq!(refusal, format!("port wan: device \"net_af_packet0,iface={name},qpairs=1\": {says}"));
        take(&format!("net_af_packet0,iface={name}2")).unwrap();
        drop(tap);
        take(&format!("net_pcap0,rx_iface={name},tx_iface={name}")).unwrap();
    }

    #[test]
    fn what_a_device_claims() {
        let rows: [(&str, &[&str]); 5] = [
            ("3b:00.0,x=1", &["PCI device 0000:3b:00.0"]),
            ("net_tap0,iface=uvs-wan", &["interface uvs-wan"]),
            ("net_pcap0,rx_iface=b,tx_iface=a", &["interface a", "interface b"]),
            ("net_pcap0,rx_pcap=a.pcap", &[]),
            ("net_null0,no-rx=1", &[]),
        ];
        for (device, expect) in rows {
            assert_eq!(claimed(&device.parse().unwrap()), expect, "{device}");
        }
        let (_one, _two) = (take("net_null0").unwrap(), take("net_null0").unwrap());
    }
}
