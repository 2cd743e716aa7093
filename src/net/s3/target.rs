//! Which object of which server.

use std::fmt;

use crate::catalog::Misnamed;
use crate::error::{brief, shown};
use crate::net::Address;
use crate::net::http::Url;

use super::signature::encoded;

/// The most bytes of a key.
const LONGEST_KEY: usize = 1024;

/// The name of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The bucket that it is in.
    pub bucket: String,
    /// Its key: any text. It is not percent-encoded.
    pub key: String,
}

impl Name {
    /// Parses what follows `s3://`.
    ///
    /// # Errors
    /// The problem.
    pub fn parse(text: &[u8]) -> Result<Self, Misnamed> {
        let form = "write s3://BUCKET/KEY";
        let at = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
        let (bucket, key) = (&text[..at], text.get(at + 1..).unwrap_or_default());
        if bucket.contains(&b'@') {
            let help = "leave them out; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile=";
            return Err(Misnamed::new("credentials in a URL are not accepted", help));
        }
        if bucket.is_empty() {
            return Err(Misnamed::new("the bucket is missing", form));
        }
        let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
        let is_sound = bucket[0].is_ascii_alphanumeric() && bucket.iter().all(is_fit) && !bucket.ends_with(b".");
        let bucket = match str::from_utf8(bucket) {
            Ok(bucket) if is_sound && (3..=63).contains(&bucket.len()) => bucket,
            _ => {
                let message = format!("`{}` is not the name of a bucket", brief(bucket));
                return Err(Misnamed::new(
                    message,
                    "it has 3 to 63 letters, digits, dots and hyphens",
                ));
            }
        };
        let Ok(key) = str::from_utf8(key) else {
            return Err(Misnamed::new("the key is not UTF-8", "name another key"));
        };
        if key.is_empty() {
            return Err(Misnamed::new("the key is missing", form));
        }
        if key.len() > LONGEST_KEY {
            let message = format!("the key has {} bytes, and may have {LONGEST_KEY}", key.len());
            return Err(Misnamed::new(message, "name a shorter one"));
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }

    /// The command that removes an upload of it, for people.
    #[must_use]
    pub fn abort_command(&self, upload: &str) -> String {
        let Self { bucket, key } = self;
        let key = key.replace('\'', r"'\''");
        format!("aws s3api abort-multipart-upload --bucket {bucket} --key '{key}' --upload-id {upload}")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, shown(self.key.as_bytes()))
    }
}

/// Where the name of the bucket stands in URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// In front of the path.
    Path,
    /// In front of the host.
    Host,
}

/// An object, and the server that has it.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: Name,
    /// The server's own URL.
    pub endpoint: Url,
    pub region: String,
    pub style: Style,
}

impl Target {
    /// The object on AWS in that region, or on the server at `endpoint`. The style, if it is not given, is AWS's for
    /// AWS and a bucket without dots, which TLS's certificates do not match, and else the one that every server knows.
    ///
    /// # Errors
    /// If the endpoint is not a URL.
    pub fn new(name: Name, endpoint: Option<&str>, region: String, style: Option<Style>) -> Result<Self, Misnamed> {
        let is_aws = endpoint.is_none();
        let china = if region.starts_with("cn-") { ".cn" } else { "" };
        let aws = format!("https://s3.{region}.amazonaws.com{china}");
        let endpoint = Url::parse(endpoint.unwrap_or(&aws).as_bytes())?;
        if endpoint.target.contains('?') {
            return Err(Misnamed::new("an endpoint has no query", "write https://HOST[:PORT]"));
        }
        let is_host = is_aws && !name.bucket.contains(['.', '_']) && !name.bucket.contains(|c: char| c.is_uppercase());
        let style = style.unwrap_or(if is_host { Style::Host } else { Style::Path });
        Ok(Self {
            name,
            endpoint,
            region,
            style,
        })
    }

    /// The URL of the object.
    pub fn url(&self) -> Url {
        let url = self.bucket_url();
        let slash = if url.target.ends_with('/') { "" } else { "/" };
        Url {
            target: format!("{}{slash}{}", url.target, encoded(&self.name.key, "/")),
            ..url
        }
    }

    /// The URL of the bucket.
    pub fn bucket_url(&self) -> Url {
        let Url { address, target, .. } = &self.endpoint;
        let base = target.trim_end_matches('/');
        let (host, target) = match self.style {
            Style::Path => (address.host.clone(), format!("{base}/{}", self.name.bucket)),
            Style::Host => (format!("{}.{}", self.name.bucket, address.host), format!("{base}/")),
        };
        Url {
            address: Address {
                host,
                port: address.port,
            },
            target,
            ..self.endpoint
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let name = Name::parse(b"my-bucket/a b/%20//c").expect("a name");
        assert_eq!((name.bucket.as_str(), name.key.as_str()), ("my-bucket", "a b/%20//c"));
        assert_eq!(name.to_string(), "s3://my-bucket/a b/%20//c");
        let long = [b"bucket/".to_vec(), vec![b'k'; 1025]].concat();
        for (text, message) in [
            (&b"my-bucket"[..], "the key is missing"),
            (b"my-bucket/", "the key is missing"),
            (b"/key", "the bucket is missing"),
            (b"id:secret@bucket/key", "credentials in a URL are not accepted"),
            (b"ab/key", "`ab` is not the name of a bucket"),
            (b".my-bucket/key", "`.my-bucket` is not the name of a bucket"),
            (b"b:cket/key", "`b:cket` is not the name of a bucket"),
            (b"bucket/\xff", "the key is not UTF-8"),
            (&long, "the key has 1025 bytes, and may have 1024"),
        ] {
            assert_eq!(Name::parse(text).expect_err(message).message, message);
        }
    }

    #[test]
    fn urls_are_of_both_styles() {
        let url = |name: &str, endpoint, style| {
            let name = Name::parse(name.as_bytes()).expect("a name");
            let target = Target::new(name, endpoint, "eu-west-1".to_owned(), style).expect("a target");
            target.url().to_string()
        };
        let here = Some("http://127.0.0.1:9000");
        for (name, endpoint, style, expected) in [
            ("buck/k", None, None, "https://buck.s3.eu-west-1.amazonaws.com/k"),
            ("b.ck/k", None, None, "https://s3.eu-west-1.amazonaws.com/b.ck/k"),
            (
                "buck/k",
                None,
                Some(Style::Path),
                "https://s3.eu-west-1.amazonaws.com/buck/k",
            ),
            ("buck/k", here, None, "http://127.0.0.1:9000/buck/k"),
            ("buck/k", Some("https://h/x/"), None, "https://h/x/buck/k"),
            (
                "buck/k",
                Some("https://h:1/x"),
                Some(Style::Host),
                "https://buck.h:1/x/k",
            ),
            (
                "buck//../a b?c#d%e",
                here,
                None,
                "http://127.0.0.1:9000/buck//../a%20b%3Fc%23d%25e",
            ),
            ("buck/ž", None, None, "https://buck.s3.eu-west-1.amazonaws.com/%C5%BE"),
        ] {
            assert_eq!(url(name, endpoint, style), expected);
        }
        let name = Name::parse(b"buck/k").expect("a name");
        let target = Target::new(name, None, "cn-north-1".to_owned(), None).expect("a target");
        assert_eq!(target.endpoint.to_string(), "https://s3.cn-north-1.amazonaws.com.cn/");
    }
}
