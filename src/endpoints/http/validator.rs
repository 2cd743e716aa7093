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
