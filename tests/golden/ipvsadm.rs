//! What a recording told the kernel, as edits of the director: `ipvsadm` lines and nft's mark rules. It reads what the tools
//! take, not what the recordings at hand happen to say; a word that it does not know ends the case with a fault.

use conntrack::{Method, Netmask};
use sched::{Flags, Settings, Thresholds};
use std::net::{IpAddr, SocketAddr};
use uvs::director::Control;
use uvs::rewrite::tun::{GueChecksum, Tunnel};
use uvs::services::book::{ServerSpec, ServiceSpec};
use uvs::services::{MarkRule, Persistence, ServiceKey};
use uvs::wire::protocol;

/// ipvsadm's default for `-p` without a time.
const PERSISTENT_S: u32 = 360;

/// One `ipvsadm` line.
#[derive(Debug, Clone)]
pub enum Command {
    AddService(ServiceKey, ServiceSpec),
    EditService(ServiceKey, ServiceSpec),
    DeleteService(ServiceKey),
    AddServer(ServiceKey, SocketAddr, ServerSpec),
    EditServer(ServiceKey, SocketAddr, ServerSpec),
    DeleteServer(ServiceKey, SocketAddr),
}

impl Command {
    /// Reads a line without the word `ipvsadm`.
    pub fn parse(line: &str) -> Result<Command, String> {
        let wrong = |what: &str| format!("ipvsadm {line}: {what}");
        let mut words = line.split_whitespace();
        let command = words.next().ok_or_else(|| wrong("no command"))?;
        let mut said = Said::default();
        said.read(words).map_err(|what| wrong(&what))?;
        let key = said.key().ok_or_else(|| wrong("no service"))?;
        let server = |said: &Said| said.server.ok_or_else(|| wrong("no real server"));
        Ok(match command {
            "-A" | "--add-service" => Command::AddService(key, said.service_spec(key)?),
            "-E" | "--edit-service" => Command::EditService(key, said.service_spec(key)?),
            "-D" | "--delete-service" => Command::DeleteService(key),
            "-a" | "--add-server" => Command::AddServer(key, server(&said)?, said.server_spec()),
            "-e" | "--edit-server" => Command::EditServer(key, server(&said)?, said.server_spec()),
            "-d" | "--delete-server" => Command::DeleteServer(key, server(&said)?),
            _ => return Err(wrong("not a command that changes services")),
        })
    }

    /// The same where masquerading means this method.
    pub fn masquerading_by(mut self, method: Method) -> Command {
        if let Command::AddServer(_, _, spec) | Command::EditServer(_, _, spec) = &mut self
            && spec.method == Method::Nat
        {
            spec.method = method;
        }
        self
    }

    /// Makes the edit.
    pub fn apply(self, control: &mut Control) -> Result<(), String> {
        let done = match self {
            Command::AddService(key, spec) => control.add_service(key, spec),
            Command::EditService(key, spec) => control.edit_service(key, spec),
            Command::DeleteService(key) => control.delete_service(key),
            Command::AddServer(key, address, spec) => control.add_server(key, address, spec),
            Command::EditServer(key, address, spec) => control.edit_server(key, address, spec),
            Command::DeleteServer(key, address) => control.delete_server(key, address),
        };
        done.map_err(|refused| refused.to_string())
    }
}

/// `--set TCP TCPFIN UDP` as lines of `[timeouts]`: seconds, of which 0 leaves a time-out as it is.
pub fn timeouts(line: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("ipvsadm {line}: must be --set and three numbers of seconds");
    let numbers = line.strip_prefix("--set").ok_or_else(wrong)?.split_whitespace();
    let seconds = numbers.map(|word| word.parse::<u32>().map_err(|_| wrong())).collect::<Result<Vec<_>, _>>()?;
    if seconds.len() != 3 {
        return Err(wrong());
    }
    let keys = ["tcp", "tcp_fin", "udp"].into_iter().zip(seconds);
    Ok(keys.filter(|(_, seconds)| *seconds > 0).map(|(key, seconds)| format!("{key} = \"{seconds}s\"")).collect())
}

/// The options of a line.
#[derive(Default)]
struct Said {
    protocol: Option<u8>,
    vip: Option<SocketAddr>,
    mark: Option<u32>,
    v6: bool,
    scheduler: Option<String>,
    flags: Vec<String>,
    persistent_s: Option<u32>,
    netmask: Option<String>,
    one_packet: bool,
    server: Option<SocketAddr>,
    method: Option<Method>,
    weight: Option<u32>,
    thresholds: Thresholds,
    tunnel: Option<&'static str>,
    tunnel_port: u16,
    tunnel_csum: GueChecksum,
}

impl Said {
    fn read<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Result<(), String> {
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            // A long option may carry its value behind an equals sign.
            let (option, mut inline) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (word, None),
            };
            let mut value = || inline.take().or_else(|| words.next()).ok_or(format!("{option} without a value"));
            let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{option}: {text:?} is no number"));
            match option {
                "-t" | "--tcp-service" => (self.protocol, self.vip) = (Some(protocol::TCP), Some(endpoint(value()?)?)),
                "-u" | "--udp-service" => (self.protocol, self.vip) = (Some(protocol::UDP), Some(endpoint(value()?)?)),
                "--sctp-service" => (self.protocol, self.vip) = (Some(protocol::SCTP), Some(endpoint(value()?)?)),
                "-f" | "--fwmark-service" => self.mark = Some(number(value()?)?),
                "-6" | "--ipv6" => self.v6 = true,
                "-s" | "--scheduler" => self.scheduler = Some(value()?.to_string()),
                "-b" | "--sched-flags" => self.flags = value()?.split(',').map(str::to_string).collect(),
                "-p" | "--persistent" => {
                    let given = words.next_if(|next| next.bytes().all(|byte| byte.is_ascii_digit()));
                    self.persistent_s = Some(given.map_or(Ok(PERSISTENT_S), number)?);
                }
                "-M" | "--netmask" => self.netmask = Some(value()?.to_string()),
                "-o" | "--ops" => self.one_packet = true,
                "-r" | "--real-server" => self.server = Some(endpoint(value()?)?),
                "-m" | "--masquerading" => self.method = Some(Method::Nat),
                "-g" | "--gatewaying" => self.method = Some(Method::Dr),
                "-i" | "--ipip" => self.method = Some(Method::Tun),
                "-w" | "--weight" => self.weight = Some(number(value()?)?),
                "-x" | "--u-threshold" => self.thresholds.upper = number(value()?)?,
                "-y" | "--l-threshold" => self.thresholds.lower = number(value()?)?,
                "--tun-type" => {
                    let kind = value()?;
                    let known = ["ipip", "gre", "gue"].into_iter().find(|known| *known == kind);
                    self.tunnel = Some(known.ok_or_else(|| format!("{kind:?} is no tunnel"))?);
                }
                "--tun-port" => self.tunnel_port = number(value()?)? as u16,
                "--tun-csum" => self.tunnel_csum = GueChecksum::Full,
                "--tun-remcsum" => self.tunnel_csum = GueChecksum::Remote,
                "--tun-nocsum" => self.tunnel_csum = GueChecksum::None,
                _ => return Err(format!("unknown option {option}")),
            }
        }
        Ok(())
    }

    fn key(&self) -> Option<ServiceKey> {
        match (self.mark, self.protocol, self.vip) {
            (Some(mark), ..) => Some(ServiceKey::Mark { mark, v6: self.v6 }),
            (None, Some(protocol), Some(vip)) => {
                Some(ServiceKey::Endpoint { protocol, vip: vip.ip(), port: vip.port() })
            }
            _ => None,
        }
    }

    fn service_spec(&self, key: ServiceKey) -> Result<ServiceSpec, String> {
        let scheduler = self.scheduler.as_deref().unwrap_or("wlc");
        let has = |end: &str| self.flags.iter().any(|flag| flag.ends_with(end));
        let netmask = match &self.netmask {
            None => netmask_of(key, if key.is_v6() { 128 } else { 32 }),
            Some(mask) => netmask_of(key, prefix_bits(mask)?),
        };
        Ok(ServiceSpec {
            scheduler: scheduler.parse().map_err(|_| format!("{scheduler:?} is no scheduler"))?,
            settings: Settings {
                flags: Flags { port: has("-port"), fallback: has("-fallback") },
                ..Settings::default()
            },
            persistence: self.persistent_s.map(|timeout_s| Persistence { timeout_s, netmask }),
            one_packet: self.one_packet,
            steer: Default::default(),
        })
    }

    fn server_spec(&self) -> ServerSpec {
        ServerSpec {
            method: self.method.unwrap_or(Method::Dr),
            tunnel: match self.tunnel {
                Some("gre") => Tunnel::Gre { csum: self.tunnel_csum != GueChecksum::None },
                Some("gue") => Tunnel::Gue { port: self.tunnel_port, csum: self.tunnel_csum },
                _ => Tunnel::Ipip,
            },
            weight: self.weight.unwrap_or(1),
            thresholds: self.thresholds,
            next_hop: None,
        }
    }
}

/// `ADDRESS:PORT`, or an address alone: port 0.
pub fn endpoint(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    text.parse()
        .or_else(|_| bare.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0)))
        .map_err(|_| format!("{text:?} is no address with a port"))
}

/// These leading bits of a client of the service.
pub fn netmask_of(key: ServiceKey, bits: u8) -> Netmask {
    if key.is_v6() { Netmask::prefix_v6(bits) } else { Netmask::prefix_v4(bits) }
}

fn prefix_bits(mask: &str) -> Result<u8, String> {
    let dotted = || mask.parse::<std::net::Ipv4Addr>().ok().map(|mask| mask.to_bits().count_ones() as u8);
    mask.parse().ok().or_else(dotted).ok_or_else(|| format!("{mask:?} is no netmask"))
}

/// The rules of an nft script that set marks: `ip daddr 10.99.0.0/16 tcp dport 80 meta mark set 7`.
pub fn mark_rules(script: &str) -> Result<Vec<MarkRule>, String> {
    let spaced = script.replace(['{', '}', ';'], " \n ");
    let mut rules = Vec::new();
    for line in spaced.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.windows(3).position(|three| three == ["meta", "mark", "set"]) else { continue };
        let mark = words.get(at + 3).ok_or("nft: no mark")?;
        let number = mark.strip_prefix("0x").map_or_else(|| mark.parse(), |hex| u32::from_str_radix(hex, 16));
        let mark = number.map_err(|_| format!("nft: {mark:?} is no mark"))?;
        rules.push(mark_rule(&words[..at], mark)?);
    }
    if rules.is_empty() { Err(format!("nft: no rule sets a mark in {script:?}")) } else { Ok(rules) }
}

fn mark_rule(matches: &[&str], mark: u32) -> Result<MarkRule, String> {
    let every_port = 0..=u16::MAX;
    let (source_ports, destination_ports) = (every_port.clone(), every_port);
    let mut rule = MarkRule { source: None, destination: None, protocol: None, source_ports, destination_ports, mark };
    let wrong = |what: &str| format!("nft: {what:?} is not understood");
    let mut words = matches.iter();
    while let Some(word) = words.next() {
        let (Some(field), Some(value)) = (words.next(), words.next()) else { return Err(wrong(word)) };
        let ports = || {
            let (first, last) = value.split_once('-').unwrap_or((value, value));
            Ok::<_, std::num::ParseIntError>(first.parse()?..=last.parse()?)
        };
        match (*word, *field) {
            ("ip" | "ip6", "saddr") => rule.source = Some(network(value).ok_or_else(|| wrong(value))?),
            ("ip" | "ip6", "daddr") => rule.destination = Some(network(value).ok_or_else(|| wrong(value))?),
            ("ip", "protocol") | ("ip6", "nexthdr") | ("meta", "l4proto") => {
                rule.protocol = Some(protocol_number(value).ok_or_else(|| wrong(value))?);
            }
            (name @ ("tcp" | "udp" | "sctp"), "sport" | "dport") => {
                rule.protocol = protocol_number(name);
                let range = ports().map_err(|_| wrong(value))?;
                if *field == "sport" { rule.source_ports = range } else { rule.destination_ports = range }
            }
            _ => return Err(wrong(field)),
        }
    }
    Ok(rule)
}

fn network(text: &str) -> Option<ipnet::IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Into::into))
}

fn protocol_number(name: &str) -> Option<u8> {
    match name {
        "tcp" => Some(protocol::TCP),
        "udp" => Some(protocol::UDP),
        "sctp" => Some(protocol::SCTP),
        _ => name.parse().ok(),
    }
}
