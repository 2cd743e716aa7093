//! As much of HTTP/1.1 as it takes to answer one GET.

use super::page::MEDIA_TYPE;

/// Bytes of the longest request that is read; what monitoring systems send is far shorter.
pub const LONGEST: usize = 8 << 10;

/// What a client wants, as far as its request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Its end is still to come.
    Partial,
    /// The page.
    Page,
    /// What it gets instead.
    Refused(Refusal),
}

/// A status and its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal(u16, &'static str);

const BAD: Refusal = Refusal(400, "Bad Request");
const NOT_FOUND: Refusal = Refusal(404, "Not Found");
const NOT_ALLOWED: Refusal = Refusal(405, "Method Not Allowed");
const TOO_LONG: Refusal = Refusal(431, "Request Header Fields Too Large");

impl Request {
    /// Reads what has come of a request so far.
    pub fn read(bytes: &[u8]) -> Self {
        let is_whole = bytes.windows(4).any(|four| four == b"\r\n\r\n");
        if !is_whole {
            return if bytes.len() < LONGEST {
                Self::Partial
            } else {
                Self::Refused(TOO_LONG)
            };
        }
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let words = std::str::from_utf8(line).unwrap_or_default();
        let words: Vec<&str> = words.split(' ').collect();
        let [method, target, version] = words[..] else {
            return Self::Refused(BAD);
        };
        let path = target.split('?').next().unwrap_or_default();
        match (method, path) {
            _ if !version.starts_with("HTTP/1.") => Self::Refused(BAD),
            ("GET", "/metrics") => Self::Page,
            ("GET", _) => Self::Refused(NOT_FOUND),
            _ => Self::Refused(NOT_ALLOWED),
        }
    }
}

/// The page, with its head.
pub fn page(text: &str) -> String {
    response("200 OK", MEDIA_TYPE, text, "")
}

/// The answer to who gets no page.
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
    fn a_request_is_known_when_it_is_whole() {
        for (request, meaning) in [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n", Request::Partial),
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Request::Page),
            ("GET /metrics?name=x HTTP/1.0\r\n\r\n", Request::Page),
            ("GET / HTTP/1.1\r\n\r\n", Request::Refused(NOT_FOUND)),
            ("POST /metrics HTTP/1.1\r\n\r\n", Request::Refused(NOT_ALLOWED)),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", Request::Refused(NOT_ALLOWED)),
            ("GET /metrics\r\n\r\n", Request::Refused(BAD)),
            ("GET /metrics SPDY/3\r\n\r\n", Request::Refused(BAD)),
            ("\r\n\r\n", Request::Refused(BAD)),
            ("", Request::Partial),
        ] {
            assert_eq!(Request::read(request.as_bytes()), meaning, "{request:?}");
        }
        assert_eq!(Request::read(b"\xff\xff\xff \xff \xff\r\n\r\n"), Request::Refused(BAD));
        assert_eq!(Request::read(&[b'a'; LONGEST]), Request::Refused(TOO_LONG));
        assert_eq!(Request::read(&[b'a'; LONGEST - 1]), Request::Partial);
    }
}
