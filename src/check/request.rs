//! The request of each client.

use crate::net::http::Url;

/// The request of each client.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `GET` if it is empty.
    pub method: String,
    /// Names and values; one that the client sends by itself is replaced.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The whole request.
    pub(super) fn bytes(&self, url: &Url) -> Vec<u8> {
        let has_body = !self.body.is_empty();
        let method = match self.method.as_str() {
            "" if has_body => "POST",
            "" => "GET",
            method => method,
        };
        let agent = format!("highwater-check/{}", env!("CARGO_PKG_VERSION"));
        let length = has_body.then(|| self.body.len().to_string());
        let own = [
            ("Host", Some(url.host_header())),
            ("User-Agent", Some(agent)),
            ("Accept", Some("*/*".to_owned())),
            ("Accept-Encoding", Some("identity".to_owned())),
            ("Content-Length", length),
            ("Connection", Some("close".to_owned())),
        ];
        let is_given = |name: &str| self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let own = own.into_iter().filter(|(name, _)| !is_given(name));
        let own = own.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let headers = own.chain(self.headers.iter().cloned());
        let headers: Vec<String> = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("{method} {} HTTP/1.1\r\n{}\r\n", url.target, headers.concat());
        [head.as_bytes(), &self.body].concat()
    }
}
