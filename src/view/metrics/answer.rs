//! The part of HTTP/1.1 that is needed to answer a GET.

use crate::net::http::head::{self, Head};

use super::page::MEDIA_TYPE;

/// The longest accepted request, in bytes; monitoring systems send far shorter ones.
pub const LONGEST: usize = 8 << 10;

/// The result of reading a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// It is incomplete.
    Partial,
    /// It asks for the page.
    Page,
    /// It is refused.
    Refused(Refusal),
}

/// A status and its reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(u16, &'static str);

const BAD: Refusal = Refusal(400, "Bad Request");
const NOT_FOUND: Refusal = Refusal(404, "Not Found");
const NOT_ALLOWED: Refusal = Refusal(405, "Method Not Allowed");
const TOO_LONG: Refusal = Refusal(431, "Request Header Fields Too Large");

impl Request {
    /// Reads the bytes received so far.
    pub fn read(bytes: &[u8]) -> Self {
        match head::request(bytes, LONGEST) {
            Head::Partial => Self::Partial,
            Head::TooLong => Self::Refused(TOO_LONG),
            Head::Malformed => Self::Refused(BAD),
            Head::Whole(request) => match (request.method, request.target.split('?').next()) {
                ("GET", Some("/metrics")) => Self::Page,
                ("GET", _) => Self::Refused(NOT_FOUND),
                _ => Self::Refused(NOT_ALLOWED),
            },
        }
    }
}

/// The response with the page.
pub fn page(text: &str) -> String {
    response("200 OK", MEDIA_TYPE, text, "")
}

/// The response of a refusal.
pub fn refusal(Refusal(status, reason): Refusal) -> String {
    let allow = if status == NOT_ALLOWED.0 { "Allow: GET\r\n" } else { "" };
    let text = format!("{reason}: the metrics are at GET /metrics\n");
    response(&format!("{status} {reason}"), "text/plain; charset=utf-8", &text, allow)
}

fn response(status: &str, media_type: &str, text: &str, more: &str) -> String {
    let length = text.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n{text}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_request_is_complete_at_empty_line() {
        for (request, meaning) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Request::Page),
            ("GET /metrics?name=x HTTP/1.0\r\n\r\n", Request::Page),
            ("GET / HTTP/1.1\r\n\r\n", Request::Refused(NOT_FOUND)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Request::Refused(NOT_ALLOWED)),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Request::Refused(NOT_ALLOWED)),
            ("GET /metrics\r\n\r\n", Request::Refused(BAD)),
            ("", Request::Partial),
        ] {
            assert_eq!(Request::read(request.as_bytes()), meaning, "{request:?}");
        }
        assert_eq!(Request::read(&[b'a'; LONGEST]), Request::Refused(TOO_LONG));
    }
}
