//! What tells whether two responses are parts of the same version of a resource.

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};

use crate::net::http::Response;

/// A strong validator: two responses with the same one have the same bytes (RFC 9110, section 8.8.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator {
    name: HeaderName,
    text: String,
}

impl Validator {
    /// The strong validator of a response: an entity tag that is not weak, or a date of the last change that was so long
    /// ago that no change can have followed within the same second.
    pub fn of(response: &Response) -> Option<Self> {
        let tag = response.header(&header::ETAG).filter(|tag| tag.starts_with('"'));
        let of = |name, text: &str| Self {
            name,
            text: text.to_owned(),
        };
        if let Some(tag) = tag {
            return Some(of(header::ETAG, tag));
        }
        let date = |name| {
            response
                .header(name)
                .and_then(|text| httpdate::parse_http_date(text).ok())
        };
        let changed = response.header(&header::LAST_MODIFIED)?;
        let age = date(&header::DATE)?.duration_since(date(&header::LAST_MODIFIED)?);
        (age.ok()? >= OLD).then(|| of(header::LAST_MODIFIED, changed))
    }

    /// Whether a response is of the same version, as far as it says.
    pub fn agrees(&self, response: &Response) -> bool {
        response.header(&self.name).is_none_or(|text| text == self.text)
    }

    /// The `If-Range` header.
    pub fn if_range(&self) -> HeaderValue {
        HeaderValue::from_str(&self.text).expect("it was the value of a header")
    }

    /// As it is stored.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// RFC 9110, section 8.8.2.2, asks for one second; clocks behind a load balancer differ by more.
const OLD: Duration = Duration::from_secs(60);

/// The part of a resource that a `Content-Range` header states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// The offset of the first byte; `None` for a part that cannot be given.
    pub start: Option<u64>,
    /// The size of the whole resource in bytes; `None` if that is not known.
    pub size: Option<u64>,
}

impl ContentRange {
    /// Reads `bytes 0-99/200`, `bytes 0-99/*` or `bytes */200`.
    pub fn parse(text: &str) -> Option<Self> {
        let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let size = match size.trim() {
            "*" => None,
            size => Some(number(size)?),
        };
        if range.trim() == "*" {
            return Some(Self { start: None, size });
        }
        let (start, end) = range.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        let fits = start <= end && size.is_none_or(|size| end < size);
        fits.then_some(Self {
            start: Some(start),
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        let range = |start, size| Some(ContentRange { start, size });
        for (text, expected) in [
            ("bytes 5-99/100", range(Some(5), Some(100))),
            ("bytes 5-99/*", range(Some(5), None)),
            ("bytes */100", range(None, Some(100))),
            ("bytes 5-100/100", None),
            ("bytes 6-5/100", None),
            ("bytes -5/100", None),
            ("bytes 5-/100", None),
            ("lines 5-9/100", None),
            ("bytes 5-99", None),
            ("bytes 5-99/18446744073709551616", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }
}
