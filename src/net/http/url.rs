//! URLs of HTTP.

use std::fmt::{self, Write};

use crate::catalog::Misnamed;
use crate::error::brief;
use crate::net::{Address, AddressError};

/// `http://HOST[:PORT][/PATH]`, or the same with `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Whether it is `https`.
    pub is_secure: bool,
    /// The scheme's default port if none is given.
    pub address: Address,
    /// The path and the query, without a fragment; begins with a slash.
    pub target: String,
}

impl Url {
    /// Parses a URL. What a path may not contain is percent-encoded, except for blanks and control characters, which
    /// are more likely mistakes.
    ///
    /// # Errors
    /// The problem. Neither of its texts repeats credentials.
    pub fn parse(text: &[u8]) -> Result<Self, Misnamed> {
        let form = "write http://HOST[:PORT]/PATH, or https://";
        let (is_secure, rest) = match (text.strip_prefix(b"http://"), text.strip_prefix(b"https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(Misnamed::new("neither http:// nor https://", form)),
        };
        let rest = rest.split(|byte| *byte == b'#').next().unwrap_or(rest);
        let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains(&b'@') {
            let help = "leave them out; `read` and `write` take them with user=@FILE";
            return Err(Misnamed::new("credentials in a URL are not accepted", help));
        }
        if rest
            .iter()
            .any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control())
        {
            let message = "blanks and control characters in a URL are not accepted";
            return Err(Misnamed::new(message, "write a blank as %20"));
        }
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]%".contains(byte);
        let Some(authority) = str::from_utf8(authority).ok().filter(|_| authority.iter().all(is_name)) else {
            let message = format!("`{}` is not a host", brief(authority));
            let help = "a name in other letters than a to z is written in its form that begins with xn--";
            return Err(Misnamed::new(message, help));
        };
        let scheme = if is_secure { "https" } else { "http" };
        let address = Address::parse(authority, Some(default_port(is_secure))).map_err(|error| {
            let help = match &error {
                AddressError::BareIpv6(right) => format!("write {scheme}://{right}/"),
                AddressError::Port(_) => "a port is a number from 1 to 65535".to_owned(),
                _ => form.to_owned(),
            };
            Misnamed::new(error.to_string(), help)
        })?;
        if address.host.is_empty() {
            return Err(Misnamed::new("the host is missing", form));
        }
        if address.port == 0 {
            return Err(Misnamed::new(
                "port 0 cannot be connected to",
                "a port is a number from 1 to 65535",
            ));
        }
        let slash = if target.starts_with(b"/") { "" } else { "/" };
        Ok(Self {
            is_secure,
            address,
            target: format!("{slash}{}", encoded(target)),
        })
    }

    /// The URL that a `Location` header in the response from this one leads to (RFC 3986, section 5.2).
    ///
    /// # Errors
    /// If it is not a URL of HTTP.
    pub fn join(&self, location: &[u8]) -> Result<Self, Misnamed> {
        let location = encoded(location);
        let location = location.split('#').next().unwrap_or_default();
        let head = location.split(['/', '?']).next().unwrap_or_default();
        if head.contains(':') {
            return Self::parse(location.as_bytes());
        }
        if location.starts_with("//") {
            let scheme = if self.is_secure { "https:" } else { "http:" };
            return Self::parse(format!("{scheme}{location}").as_bytes());
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let (path, query) = match location.find('?') {
            Some(0) => (path.to_owned(), location),
            at => {
                let (named, query) = location.split_at(at.unwrap_or(location.len()));
                let folder = &path[..=path.rfind('/').unwrap_or(0)];
                let path = match named {
                    "" => path.to_owned(),
                    named if named.starts_with('/') => named.to_owned(),
                    named => format!("{folder}{named}"),
                };
                (path, query)
            }
        };
        Ok(Self {
            target: without_dots(&path) + query,
            ..self.clone()
        })
    }

    /// Whether `other` is of the same scheme, host and port, so that it may see the same secrets.
    #[must_use]
    pub fn is_same_origin(&self, other: &Self) -> bool {
        let same_host = self.address.host.eq_ignore_ascii_case(&other.address.host);
        same_host && (self.is_secure, self.address.port) == (other.is_secure, other.address.port)
    }

    /// The URL without its query, which may be a secret where a server has made it.
    #[must_use]
    pub fn without_query(&self) -> String {
        let text = self.to_string();
        text.split('?').next().unwrap_or_default().to_owned()
    }

    /// The `Host` header.
    #[must_use]
    pub fn host_header(&self) -> String {
        let (host, port) = (self.address.host_without_zone(), self.address.port);
        if port == default_port(self.is_secure) {
            host
        } else {
            format!("{host}:{port}")
        }
    }
}

fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

/// What neither a path nor a query may contain is percent-encoded.
fn encoded(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &byte in text {
        if byte.is_ascii_graphic() && !b"\"<>`".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The path without its `.` and `..` segments (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments = path.split('/').skip(1);
    let mut ends_in_folder = false;
    for segment in segments {
        ends_in_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    if ends_in_folder {
        kept.push("");
    }
    format!("/{}", kept.join("/"))
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secure { "https" } else { "http" };
        let address = self.address.to_string();
        let default = format!(":{}", default_port(self.is_secure));
        let shown = address.strip_suffix(&default).unwrap_or(&address);
        write!(f, "{scheme}://{shown}{}", self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        for (text, host, port, target) in [
            (
                "http://localhost:3000/export?all=1#top",
                "localhost",
                3000,
                "/export?all=1",
            ),
            ("http://example.org", "example.org", 80, "/"),
            ("https://example.org#a/b", "example.org", 443, "/"),
            ("http://[::1]:8080?x", "::1", 8080, "/?x"),
            ("http://[fe80::1%25lo]/", "fe80::1%lo", 80, "/"),
            ("http://h/a@b:c", "h", 80, "/a@b:c"),
            ("http://h/ä\"?<", "h", 80, "/%C3%A4%22?%3C"),
        ] {
            let url = Url::parse(text.as_bytes()).expect(text);
            assert_eq!(
                (url.address.host.as_str(), url.address.port, url.target.as_str()),
                (host, port, target)
            );
        }
    }

    #[test]
    fn host_header_omits_zone_and_port() {
        let url = Url::parse(b"http://[fe80::1%25lo]:80/a").expect("a URL");
        assert_eq!(url.host_header(), "[fe80::1]");
        assert_eq!(url.to_string(), "http://[fe80::1%lo]/a");
        let url = Url::parse(b"https://h:80/").expect("a URL");
        assert_eq!(
            (url.host_header().as_str(), url.to_string().as_str()),
            ("h:80", "https://h:80/")
        );
    }

    #[test]
    fn wrong_urls_suggest_a_correction() {
        for (text, message, hint) in [
            ("ftp://localhost/", "neither http:// nor https://", "write http://"),
            ("http://:80/", "the host is missing", "write http://"),
            ("http://localhost:web/", "`web` is not a port", "1 to 65535"),
            ("http://localhost:0/", "port 0 cannot be connected to", "1 to 65535"),
            (
                "http://me:secret@localhost/",
                "credentials in a URL are not accepted",
                "user=@FILE",
            ),
            (
                "http://localhost/a b",
                "blanks and control characters in a URL are not accepted",
                "%20",
            ),
            (
                "http://::1:80/",
                "an IPv6 host needs brackets",
                "write http://[::1]:80/",
            ),
            ("https://bücher.example/", "`bücher.example` is not a host", "xn--"),
            ("https://a\\b/", "`a\\b` is not a host", "xn--"),
        ] {
            let error = Url::parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.message, message);
            assert!(
                error.help.contains(hint) && !format!("{error:?}").contains("secret"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn locations_are_resolved() {
        let base = Url::parse(b"https://h:8443/b/c/d?q").expect("a URL");
        for (location, resolved) in [
            ("http://other/x", "http://other/x"),
            ("//other/x", "https://other/x"),
            ("/x", "https://h:8443/x"),
            ("x#y", "https://h:8443/b/c/x"),
            ("", "https://h:8443/b/c/d"),
            ("?y=/../", "https://h:8443/b/c/d?y=/../"),
            ("../x/./y?z", "https://h:8443/b/x/y?z"),
            ("../../../x", "https://h:8443/x"),
            ("..", "https://h:8443/b/"),
            ("x:y/../z y", ""),
            ("./x:y z", "https://h:8443/b/c/x:y%20z"),
        ] {
            let found = base.join(location.as_bytes()).map(|url| url.to_string());
            assert_eq!(found.unwrap_or_default(), resolved, "{location}");
        }
    }

    #[test]
    fn origins_are_compared() {
        let url = |text: &str| Url::parse(text.as_bytes()).expect(text);
        let base = url("http://h/a");
        assert!(base.is_same_origin(&url("http://H:80/b")));
        for other in ["https://h/a", "http://h:8080/a", "http://i/a", "https://h:80/"] {
            assert!(!base.is_same_origin(&url(other)), "{other}");
        }
    }
}
