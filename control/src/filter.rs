//! Which conns to show. The director looks at a conn's addresses before it copies or prints anything of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::show::Protocol;

/// Conns for which all of this is so. On the command line and on the socket alike each is a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
pub struct ConnFilter {
    /// Only conns of this service: tcp:192.0.2.10:80, udp:[2001:db8::10]:53 (port 0: of every port), or fwmark:7
    #[arg(long, value_name = "SERVICE")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceFilter>,
    /// Only conns to this real server: 10.0.0.11, 10.0.0.11:8080 or [fd00::11]:8080
    #[arg(long, value_name = "SERVER")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerFilter>,
    /// Only conns of these clients: 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32
    #[arg(long, value_name = "CLIENT")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientFilter>,
}

/// A service as a conn has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServiceFilter {
    /// By VIP and port; port 0 is every port.
    Endpoint(Protocol, SocketAddr),
    /// By firewall mark, of either family. Whose conns these are, the director knows by their real servers.
    Mark(u32),
}

/// A real server, with its port or with all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerFilter(IpAddr, Option<u16>);

/// Clients of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientFilter(IpNet);

impl ConnFilter {
    /// Whether a conn of these endpoints is to be shown, but for its mark.
    pub fn takes(&self, protocol: Protocol, client: SocketAddr, vip: SocketAddr, server: SocketAddr) -> bool {
        let of_service = match self.service {
            Some(ServiceFilter::Endpoint(of, address)) => {
                of == protocol && address.ip() == vip.ip() && (address.port() == 0 || address.port() == vip.port())
            }
            Some(ServiceFilter::Mark(_)) | None => true,
        };
        of_service
            && self
                .server
                .is_none_or(|ServerFilter(ip, port)| ip == server.ip() && port.is_none_or(|port| port == server.port()))
            && self.client.is_none_or(|ClientFilter(clients)| clients.contains(&client.ip()))
    }

    /// The firewall mark that is asked for.
    pub fn mark(&self) -> Option<u32> {
        match self.service {
            Some(ServiceFilter::Mark(mark)) => Some(mark),
            _ => None,
        }
    }
}

impl FromStr for ServiceFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "found {text:?}; must be tcp:VIP:PORT, udp:VIP:PORT or fwmark:N, such as tcp:192.0.2.10:80 or udp:[2001:db8::10]:53"
            )
        };
        let (kind, rest) = text.split_once([':', ' ']).ok_or_else(wrong)?;
        let protocol = match kind.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            "fwmark" => return rest.parse().map(ServiceFilter::Mark).map_err(|_| wrong()),
            _ => return Err(wrong()),
        };
        rest.parse().map(|address| ServiceFilter::Endpoint(protocol, address)).map_err(|_| wrong())
    }
}

impl FromStr for ServerFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alone = text.parse().map(|ip| ServerFilter(ip, None));
        alone.or_else(|_| text.parse().map(|address: SocketAddr| ServerFilter(address.ip(), Some(address.port())))).map_err(|_| {
            format!("found {text:?}; must be a real server's address, with or without its port: 10.0.0.11, 10.0.0.11:8080, [fd00::11]:8080")
        })
    }
}

impl FromStr for ClientFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let alone = text.parse().map(|ip: IpAddr| ClientFilter(ip.into()));
        alone.or_else(|_| text.parse().map(ClientFilter)).map_err(|_| {
            format!(
                "found {text:?}; must be a client's address or a prefix: 203.0.113.7, 203.0.113.0/24, 2001:db8::/32"
            )
        })
    }
}

impl fmt::Display for ServiceFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceFilter::Endpoint(Protocol::Udp, address) => write!(f, "udp:{address}"),
            ServiceFilter::Endpoint(_, address) => write!(f, "tcp:{address}"),
            ServiceFilter::Mark(mark) => write!(f, "fwmark:{mark}"),
        }
    }
}

impl fmt::Display for ServerFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ServerFilter(ip, Some(port)) => SocketAddr::new(ip, port).fmt(f),
            ServerFilter(ip, None) => ip.fmt(f),
        }
    }
}

impl fmt::Display for ClientFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// As texts on the socket.
macro_rules! as_text {
    ($($of:ty),*) => { $(
        impl From<$of> for String {
            fn from(filter: $of) -> String {
                filter.to_string()
            }
        }

        impl TryFrom<String> for $of {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    )* };
}

as_text!(ServiceFilter, ServerFilter, ClientFilter);

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(json: &str) -> Result<ConnFilter, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn each_part_takes_what_it_names() {
        let conn = ("203.0.113.7:40000", "192.0.2.10:80", "10.0.0.11:8080");
        let six = ("[2001:db8::7]:40000", "[2001:db8::10]:80", "10.0.0.11:8080");
        let rows = [
            ("{}", true, true),
            (r#"{"service":"tcp:192.0.2.10:80"}"#, true, false),
            (r#"{"service":"tcp:192.0.2.10:0"}"#, true, false),
            (r#"{"service":"tcp:192.0.2.10:81"}"#, false, false),
            (r#"{"service":"udp:192.0.2.10:80"}"#, false, false),
            (r#"{"service":"TCP [2001:db8::10]:80"}"#, false, true),
            (r#"{"service":"fwmark:7"}"#, true, true),
            (r#"{"server":"10.0.0.11"}"#, true, true),
            (r#"{"server":"10.0.0.11:80"}"#, false, false),
            (r#"{"server":"fd00::11"}"#, false, false),
            (r#"{"client":"203.0.113.7"}"#, true, false),
            (r#"{"client":"203.0.112.0/23","server":"10.0.0.11:8080"}"#, true, false),
            (r#"{"client":"203.0.113.8/31"}"#, false, false),
            (r#"{"client":"2001:db8::/32"}"#, false, true),
        ];
        for (json, of_four, of_six) in rows {
            let filter = filter(json).unwrap();
            for ((client, vip, server), expected) in [(conn, of_four), (six, of_six)] {
                let [client, vip, server] = [client, vip, server].map(|text| text.parse().unwrap());
                assert_eq!(filter.takes(Protocol::Tcp, client, vip, server), expected, "{json} {client}");
            }
            assert_eq!(filter, self::filter(&serde_json::to_string(&filter).unwrap()).unwrap());
        }
        assert_eq!(filter(r#"{"service":"fwmark:7"}"#).unwrap().mark(), Some(7));
    }

    #[test]
    fn wrong_texts_are_told_right_ones() {
        let rows = [
            (
                "service",
                vec![
                    "",
                    "tcp",
                    "tcp:192.0.2.10",
                    "sctp:192.0.2.10:80",
                    "tcp:2001:db8::1:80",
                    "fwmark:x",
                    "fwmark:4294967296",
                ],
                "must be tcp:VIP:PORT",
            ),
            (
                "server",
                vec!["", "web", "10.0.0.11:", "10.0.0.11:65536", "10.0.0.0/8"],
                "must be a real server's address",
            ),
            ("client", vec!["", "10.0.0.0/33", "10.0.0.1:80", "/8"], "must be a client's address or a prefix"),
        ];
        for (key, texts, says) in rows {
            for text in texts {
                let error = filter(&format!("{{{key:?}:{text:?}}}")).unwrap_err();
                assert!(error.contains(&format!("found {text:?}; {says}")), "{error}");
            }
        }
    }
}
