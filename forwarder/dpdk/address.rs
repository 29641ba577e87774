//! How the operator names a device: a PCI address, or a virtual device with its arguments.

use std::{fmt, str::FromStr};

/// A device as DPDK finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAddress {
    /// Where DPDK looks for it.
    pub bus: Bus,
    /// `0000:3b:00.0`, or `net_tap0`.
    pub name: String,
    /// What follows the first comma, for the driver: `iface=uvs-wan`. Often empty.
    pub arguments: String,
}

/// The two kinds of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// A NIC, bound to a driver that DPDK can use.
    Pci,
    /// A device in software.
    Virtual,
}

impl DeviceAddress {
    /// Whether it is a bond of other devices.
    pub fn is_bond(&self) -> bool {
        self.name.starts_with("net_bonding")
    }

    /// The devices that it is a bond of, by their names or PCI addresses.
    pub fn slaves(&self) -> impl Iterator<Item = &str> {
        self.bond_arguments().filter_map(|argument| argument.strip_prefix("slave="))
    }

    /// The one of them that an active-backup bond prefers.
    pub fn primary(&self) -> Option<&str> {
        self.bond_arguments().find_map(|argument| argument.strip_prefix("primary="))
    }

    fn bond_arguments(&self) -> impl Iterator<Item = &str> {
        let arguments = if self.is_bond() { self.arguments.as_str() } else { "" };
        arguments.split(',')
    }
}

impl FromStr for DeviceAddress {
    type Err = String;

    /// Reads `0000:3b:00.0`, `3b:00.0` or `net_tap0,iface=uvs-wan`. Whether such a device exists, only opening it tells.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, arguments) = text.split_once(',').unwrap_or((text, ""));
        let arguments = arguments.to_owned();
        if let Some(name) = pci_name(name) {
            return Ok(DeviceAddress { bus: Bus::Pci, name, arguments });
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || !name.chars().all(plain) {
            return Err(format!(
                "device {text:?} is neither a PCI address such as 0000:3b:00.0 nor a virtual device such as net_tap0,iface=uvs-wan"
            ));
        }
        Ok(DeviceAddress { bus: Bus::Virtual, name: name.to_owned(), arguments })
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.arguments.is_empty() {
            write!(f, ",{}", self.arguments)?;
        }
        Ok(())
    }
}

/// The address as DPDK and sysfs write it, `domain:bus:device.function`, if it is one; the domain may be left out.
fn pci_name(text: &str) -> Option<String> {
    let hex = |part: &str, digits: usize| part.len() == digits && part.chars().all(|c| c.is_ascii_hexdigit());
    let (rest, function) = text.rsplit_once('.')?;
    let parts: Vec<&str> = rest.split(':').collect();
    let (domain, bus, device) = match parts[..] {
        [bus, device] => ("0000", bus, device),
        [domain, bus, device] => (domain, bus, device),
        _ => return None,
    };
    let valid = hex(domain, 4) && hex(bus, 2) && hex(device, 2) && matches!(function.as_bytes(), [b'0'..=b'7']);
    valid.then(|| format!("{domain}:{bus}:{device}.{function}").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_written() {
        let rows = [
            ("0000:3b:00.0", Bus::Pci, "0000:3b:00.0", ""),
            ("3B:00.1", Bus::Pci, "0000:3b:00.1", ""),
            ("0000:3b:00.0,rx_vec_en=1", Bus::Pci, "0000:3b:00.0", "rx_vec_en=1"),
            ("net_tap0,iface=uvs-wan,mac=fixed", Bus::Virtual, "net_tap0", "iface=uvs-wan,mac=fixed"),
            ("net_null0", Bus::Virtual, "net_null0", ""),
        ];
        for (text, bus, name, arguments) in rows {
            let expect = DeviceAddress { bus, name: name.to_owned(), arguments: arguments.to_owned() };
            assert_eq!(text.parse(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["", ",iface=x", "0000:3b:00.9", "3b:00", "eth 0", "-d", "00000:3b:00.0"] {
            let error = text.parse::<DeviceAddress>().expect_err(text);
            assert!(error.contains("0000:3b:00.0") && error.contains("net_tap0"), "{error}");
        }
    }
}
