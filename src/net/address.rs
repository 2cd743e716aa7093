//! `HOST:PORT`, with IPv6 hosts in brackets and their zones.

use std::fmt;
use std::net::Ipv6Addr;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an address, without brackets; the zone of an IPv6 address follows a plain `%`. May be empty.
    pub host: String,
    /// The port; 0 is any free one, to listen on.
    pub port: u16,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressError {
    /// `:PORT` is missing.
    PortMissing,
    /// The port is invalid.
    Port(String),
    /// The host is invalid.
    Host(String),
    /// A `[` without its `]`.
    OpenBracket,
    /// An IPv6 address without brackets, and the corrected address.
    BareIpv6(String),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortMissing => f.write_str("the port is missing"),
            Self::Port(text) => write!(f, "`{text}` is not a port"),
            Self::Host(text) => write!(f, "`{text}` is not a host"),
            Self::OpenBracket => f.write_str("a bracket of the host is not closed"),
            Self::BareIpv6(_) => f.write_str("an IPv6 host needs brackets"),
        }
    }
}

impl Address {
    /// Reads `HOST:PORT`, or `HOST` where there is a default port.
    ///
    /// # Errors
    /// The problem. An empty host is allowed: some callers have a default.
    pub fn parse(text: &str, default_port: Option<u16>) -> Result<Self, AddressError> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (inside, rest) = rest.split_once(']').ok_or(AddressError::OpenBracket)?;
            let port = match rest.strip_prefix(':') {
                None if !rest.is_empty() => return Err(AddressError::Host(text.to_owned())),
                port => port,
            };
            (ipv6(inside).ok_or_else(|| AddressError::Host(inside.to_owned()))?, port)
        } else {
            let (host, port) = text
                .rsplit_once(':')
                .map_or((text, None), |(host, port)| (host, Some(port)));
            if ipv6(host).is_some() {
                return Err(AddressError::BareIpv6(format!("[{host}]:{}", port.unwrap_or_default())));
            }
            if host.contains([':', '/', '@', '[', ']', '%']) || host.chars().any(char::is_whitespace) {
                return Err(AddressError::Host(host.to_owned()));
            }
            (host.to_owned(), port)
        };
        let port = match (port, default_port) {
            (Some(port), _) => port.parse().map_err(|_| AddressError::Port(port.to_owned()))?,
            (None, Some(port)) => port,
            (None, None) => return Err(AddressError::PortMissing),
        };
        Ok(Self { host, port })
    }

    /// The host as written before a port: an IPv6 address in brackets. A zone has a meaning on this machine only, so a
    /// `Host` header leaves it out (RFC 6874, section 1).
    #[must_use]
    pub fn host_without_zone(&self) -> String {
        let host = self.host.split('%').next().unwrap_or_default();
        bracketed(host)
    }
}

/// An IPv6 address with the zone that may follow it, as `%lo` or, in a URL, `%25lo` (RFC 6874).
fn ipv6(text: &str) -> Option<String> {
    let (address, zone) = text
        .split_once('%')
        .map_or((text, None), |(address, zone)| (address, Some(zone)));
    address.parse::<Ipv6Addr>().ok()?;
    let Some(zone) = zone else {
        return Some(address.to_owned());
    };
    let zone = zone.strip_prefix("25").filter(|rest| !rest.is_empty()).unwrap_or(zone);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._~@".contains(c);
    (!zone.is_empty() && zone.chars().all(is_name)).then(|| format!("{address}%{zone}"))
}

fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", bracketed(&self.host), self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for (text, host, shown) in [
            ("example.org:80", "example.org", "example.org:80"),
            (":9000", "", ":9000"),
            ("[::1]:9000", "::1", "[::1]:9000"),
            ("[fe80::1%lo]:1", "fe80::1%lo", "[fe80::1%lo]:1"),
            ("[fe80::1%25lo]:1", "fe80::1%lo", "[fe80::1%lo]:1"),
            ("[fe80::1%252]:1", "fe80::1%2", "[fe80::1%2]:1"),
            ("[fe80::1%25]:1", "fe80::1%25", "[fe80::1%25]:1"),
            ("[fe80::1%eth0.25]:1", "fe80::1%eth0.25", "[fe80::1%eth0.25]:1"),
        ] {
            let address = Address::parse(text, None).expect(text);
            assert_eq!((address.host.as_str(), address.to_string().as_str()), (host, shown));
        }
    }

    #[test]
    fn a_default_port_may_be_left_out() {
        for (text, port) in [("localhost", 80), ("[::1]", 80), ("localhost:8080", 8080)] {
            assert_eq!(Address::parse(text, Some(80)).expect(text).port, port);
        }
        assert_eq!(Address::parse("localhost", None), Err(AddressError::PortMissing));
    }

    #[test]
    fn the_peer_is_not_told_the_zone() {
        let address = Address::parse("[fe80::1%25lo]:1", None).expect("an address");
        assert_eq!(address.host_without_zone(), "[fe80::1]");
    }

    #[test]
    fn wrong_addresses_are_told_apart() {
        for (text, error) in [
            ("host:http", AddressError::Port("http".to_owned())),
            ("host:70000", AddressError::Port("70000".to_owned())),
            ("::1:9000", AddressError::BareIpv6("[::1]:9000".to_owned())),
            ("[::1:9000", AddressError::OpenBracket),
            ("[localhost]:1", AddressError::Host("localhost".to_owned())),
            ("[::1%]:1", AddressError::Host("::1%".to_owned())),
            ("[::1%25l o]:1", AddressError::Host("::1%25l o".to_owned())),
            ("[::1]9000", AddressError::Host("[::1]9000".to_owned())),
            ("http://a:1", AddressError::Host("http://a".to_owned())),
            ("a/b:1", AddressError::Host("a/b".to_owned())),
            ("127.0.0.1%lo:1", AddressError::Host("127.0.0.1%lo".to_owned())),
        ] {
            assert_eq!(Address::parse(text, None), Err(error), "{text}");
        }
    }
}
