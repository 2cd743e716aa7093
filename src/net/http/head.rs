//! Heads of HTTP/1.1 messages.

/// The most header lines of a head.
const MOST_HEADERS: usize = 100;

/// The result of parsing a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head<T> {
    /// It is incomplete.
    Partial,
    /// It is longer than allowed.
    TooLong,
    /// It is not HTTP/1.x.
    Malformed,
    /// The complete head.
    Whole(T),
}

/// The first line of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// `GET`, for example.
    pub method: &'a str,
    /// The requested path and query.
    pub target: &'a str,
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 200, for example.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The length of the head itself, in bytes.
    pub length: u64,
    /// The length of the body in bytes, if the head states it.
    pub content_length: Option<u64>,
}

/// Reads the head of a request, which may be `longest` bytes.
#[must_use]
pub fn request(bytes: &[u8], longest: usize) -> Head<Request<'_>> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(bytes);
    head(status, bytes.len(), longest, |_| Request {
        method: parsed.method.unwrap_or_default(),
        target: parsed.path.unwrap_or_default(),
    })
}

/// Reads the head of a response, which may be `longest` bytes.
#[must_use]
pub fn response(bytes: &[u8], longest: usize) -> Head<Response> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let status = parsed.parse(bytes);
    head(status, bytes.len(), longest, |length| Response {
        status: parsed.code.unwrap_or_default(),
        reason: parsed.reason.unwrap_or_default().to_owned(),
        length: length as u64,
        content_length: parsed.headers.iter().find_map(|header| {
            let is_length = header.name.eq_ignore_ascii_case("content-length");
            is_length.then(|| std::str::from_utf8(header.value).ok()?.trim().parse().ok())?
        }),
    })
}

fn head<T>(
    status: Result<httparse::Status<usize>, httparse::Error>,
    come: usize,
    longest: usize,
    whole: impl FnOnce(usize) -> T,
) -> Head<T> {
    match status {
        Ok(httparse::Status::Complete(length)) if length <= longest => Head::Whole(whole(length)),
        Ok(httparse::Status::Partial) if come < longest => Head::Partial,
        Ok(_) | Err(httparse::Error::TooManyHeaders) => Head::TooLong,
        Err(_) => Head::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_is_complete_at_its_empty_line() {
        let whole = |method, target| Head::Whole(Request { method, target });
        for (text, expected) in [
            ("", Head::Partial),
            ("GET /a HTTP/1.1\r\nHost: a\r\n", Head::Partial),
            ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", whole("GET", "/a")),
            ("GET /a?b=c HTTP/1.0\r\n\r\nrest", whole("GET", "/a?b=c")),
            ("GET /a\r\n\r\n", Head::Malformed),
            ("GET /a SPDY/3\r\n\r\n", Head::Malformed),
        ] {
            assert_eq!(request(text.as_bytes(), 100), expected, "{text:?}");
        }
        assert_eq!(request(b"\xff\xff \xff\r\n\r\n", 100), Head::Malformed);
        assert_eq!(request(&[b'a'; 100], 100), Head::TooLong);
        assert_eq!(request(&[b'a'; 99], 100), Head::Partial);
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(MOST_HEADERS + 1));
        assert_eq!(request(many.as_bytes(), 1 << 20), Head::TooLong);
    }

    #[test]
    fn a_response_says_its_status_and_length() {
        let text = b"HTTP/1.1 404 Not Found\r\ncontent-LENGTH: 12\r\n\r\n<p>gone</p>\n";
        let expected = Response {
            status: 404,
            reason: "Not Found".to_owned(),
            length: 46,
            content_length: Some(12),
        };
        assert_eq!(response(text, 100), Head::Whole(expected));
        assert_eq!(response(b"HTTP/1.1 200 OK\r\n", 100), Head::Partial);
        assert_eq!(response(b"SSH-2.0-x\r\n\r\n", 100), Head::Malformed);
    }
}
