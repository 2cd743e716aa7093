//! The URL of a checked server.

use std::fmt;

use crate::net::{Address, AddressError};

/// The default port.
const HTTP: u16 = 80;

/// `http://HOST[:PORT][/PATH]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Port 80 if none is given.
    pub address: Address,
    /// Including the query; begins with a slash.
    pub path: String,
}

impl Url {
    /// Parses a URL.
    ///
    /// # Errors
    /// The problem, and what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(match text.split_once("://") {
                Some(("https", _)) => {
                    "https is not supported; check the server's plain port, as http://HOST:PORT/PATH".to_owned()
                }
                Some((scheme, _)) => format!("{scheme} is not supported, only http://HOST:PORT/PATH"),
                None => format!(
                    "a server is named as http://HOST:PORT/PATH; for a program write -- in front: highwater check -- {text}"
                ),
            });
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('?') => (&rest[..at], format!("/{}", &rest[at..])),
            Some(at) => (&rest[..at], rest[at..].to_owned()),
            None => (rest, "/".to_owned()),
        };
        if authority.contains('@') {
            return Err("a user's name in the address is not sent; leave it out".to_owned());
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("blanks in an address are written %20".to_owned());
        }
        let address = Address::parse(authority, Some(HTTP)).map_err(|error| match &error {
            AddressError::BareIpv6(right) => format!("{error}: http://{right}/"),
            AddressError::Port(_) => format!("{error}; it is a number from 1 to 65535"),
            _ => error.to_string(),
        })?;
        if address.host.is_empty() {
            return Err("the host is missing: http://HOST:PORT/PATH".to_owned());
        }
        if address.port == 0 {
            return Err("`0` is not a port; it is a number from 1 to 65535".to_owned());
        }
        Ok(Self { address, path })
    }

    /// The `Host` header.
    #[must_use]
    pub fn host_header(&self) -> String {
        match (self.address.host_without_zone(), self.address.port) {
            (host, HTTP) => host,
            (host, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        let shown = address.strip_suffix(":80").unwrap_or(&address);
        write!(f, "http://{shown}{}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, host, port, path) in [
            (
                "http://localhost:3000/export?all=1#top",
                "localhost",
                3000,
                "/export?all=1",
            ),
            ("http://example.org", "example.org", 80, "/"),
            ("http://[::1]:8080?x", "::1", 8080, "/?x"),
            ("http://[fe80::1%25lo]/", "fe80::1%lo", 80, "/"),
        ] {
            let url = Url::parse(text).expect("an address");
            assert_eq!(
                (url.address.host.as_str(), url.address.port, url.path.as_str()),
                (host, port, path)
            );
        }
    }

    #[test]
    fn host_header_omits_zone_and_port() {
        let url = Url::parse("http://[fe80::1%25lo]:80/a").expect("an address");
        assert_eq!(url.host_header(), "[fe80::1]");
        assert_eq!(url.to_string(), "http://[fe80::1%lo]/a");
    }

    #[test]
    fn wrong_check_url_suggests_a_correction() {
        for (text, hint) in [
            ("cat", "highwater check -- cat"),
            ("https://localhost/", "plain port"),
            ("ftp://localhost/", "only http://"),
            ("http://:80/", "host is missing"),
            ("http://localhost:web/", "`web` is not a port"),
            ("http://me:secret@localhost/", "leave it out"),
            ("http://localhost/a b", "%20"),
            ("http://::1:80/", "http://[::1]:80/"),
        ] {
            let error = Url::parse(text).expect_err("no address");
            assert!(error.contains(hint) && !error.contains("secret"), "{error}");
        }
    }
}
