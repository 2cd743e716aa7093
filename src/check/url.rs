//! The address of a server that is checked.

use std::fmt;

/// `http://HOST[:PORT][/PATH]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// A name or an address, without brackets.
    pub host: String,
    /// 80 where none is given.
    pub port: u16,
    /// Host and port as they were given: what the server is told.
    pub authority: String,
    /// With what is asked for behind it; begins with a slash.
    pub path: String,
}

impl Url {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(match text.split_once("://") {
                Some(("https", _)) => {
                    "https is not spoken; check the server's plain port, as http://HOST:PORT/PATH".to_owned()
                }
                Some((scheme, _)) => format!("{scheme} is not spoken, only http://HOST:PORT/PATH"),
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
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err("the host is missing: http://HOST:PORT/PATH".to_owned());
        }
        let port = match port {
            None => 80,
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(format!("`{port}` is no port; it is a number from 1 to 65535")),
                Ok(port) => port,
            },
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            authority: authority.to_owned(),
            path,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
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
        ] {
            let url = Url::parse(text).expect("an address");
            assert_eq!((url.host.as_str(), url.port, url.path.as_str()), (host, port, path));
        }
    }

    #[test]
    fn a_wrong_address_says_what_would_be_right() {
        for (text, hint) in [
            ("cat", "highwater check -- cat"),
            ("https://localhost/", "plain port"),
            ("ftp://localhost/", "only http://"),
            ("http://:80/", "host is missing"),
            ("http://localhost:web/", "`web` is no port"),
            ("http://me:secret@localhost/", "leave it out"),
            ("http://localhost/a b", "%20"),
        ] {
            let error = Url::parse(text).expect_err("no address");
            assert!(error.contains(hint) && !error.contains("secret"), "{error}");
        }
    }
}
