//! The names under which the service may be called.
//!
//! A page of any site can have its own name point at this machine, and would then read what a service on loopback gives
//! (DNS rebinding). An address cannot be pointed elsewhere, so requests that name one are always answered.

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, uri::Authority};

/// The names that are answered.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// `None` for every name.
    names: Option<Vec<String>>,
}

impl Hosts {
    /// The given names, and those of loopback; every name if none is given and `is_local` is false.
    #[must_use]
    pub fn new(given: &[String], is_local: bool) -> Self {
        let names = given.iter().map(|name| name.to_ascii_lowercase()).collect();
        Self {
            names: (is_local || !given.is_empty()).then_some(names),
        }
    }

    /// Whether a request with these headers is answered.
    #[must_use]
    pub fn accepts(&self, headers: &HeaderMap) -> bool {
        let Some(names) = &self.names else { return true };
        // HTTP/1.0 has none.
        let Some(value) = headers.get(HOST) else { return true };
        let authority = value.to_str().ok().and_then(|text| text.parse::<Authority>().ok());
        let Some(authority) = authority else { return false };
        let host = authority.host().to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok() || host == "localhost" || names.contains(&host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(hosts: &Hosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().expect("a value"));
        hosts.accepts(&headers)
    }

    #[test]
    fn strange_names_are_refused_on_loopback() {
        let local = Hosts::new(&[], true);
        for host in ["127.0.0.1:8080", "[::1]:8080", "10.0.0.1", "localhost", "LocalHost:80"] {
            assert!(accepts(&local, host), "{host}");
        }
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "", "a b"] {
            assert!(!accepts(&local, host), "{host:?}");
        }
        assert!(local.accepts(&HeaderMap::new()));
        assert!(accepts(
            &Hosts::new(&["Exports.example".to_owned()], true),
            "exports.example:80"
        ));
        assert!(!accepts(
            &Hosts::new(&["exports.example".to_owned()], false),
            "evil.example"
        ));
        assert!(accepts(&Hosts::new(&[], false), "evil.example"));
    }
}
