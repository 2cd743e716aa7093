//! AWS Signature Version 4 (AWS documentation, "Authenticating Requests: Using the Authorization Header" and "Using Query
//! Parameters").
//!
//! rusty-s3, which signs URLs, was weighed and left: it would put the session token and a signature into the query of
//! every request, where servers and proxies log them, and builds URLs with a library that drops the `.` and `..` of a
//! key and takes a key that begins with a slash for a path outside of its bucket.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use http::header::{self, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use crate::net::http::{Request, Url};

use super::credentials::Credentials;

/// What stands for the sum of a body that TLS protects.
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Signs a request in its headers. `payload` is the SHA-256 of its body, in hexadecimal, or [`UNSIGNED`].
pub fn sign(request: &mut Request, credentials: &Credentials, region: &str, now: SystemTime, payload: &str) {
    let at = stamp(now);
    let mut set = |name: &'static str, value: &str, is_secret: bool| {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(is_secret);
            request.headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-amz-content-sha256", payload, false);
    set("x-amz-date", &at, false);
    if let Some(token) = &credentials.token {
        set("x-amz-security-token", token, true);
    }
    let mut headers: Vec<(String, String)> = vec![("host".to_owned(), request.url.host_header())];
    headers.extend(request.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
        (name.as_str().to_owned(), value)
    }));
    headers.sort();
    let signed: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let signed = signed.join(";");
    let canonical = canonical(request.method.as_str(), &request.url.target, &headers, &signed, payload);
    let scope = scope(&at, region);
    let signature = signature(&credentials.secret, &at, region, &canonical);
    let text = format!(
        "{ALGORITHM} Credential={}/{scope},SignedHeaders={signed},Signature={signature}",
        credentials.id
    );
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        request.headers.insert(header::AUTHORIZATION, value);
    }
}

/// A URL with which anyone may get what `url` names, for as long as given.
pub fn presigned(url: &Url, credentials: &Credentials, region: &str, now: SystemTime, lasts: Duration) -> Url {
    let at = stamp(now);
    let credential = format!("{}/{}", credentials.id, scope(&at, region));
    let seconds = lasts.as_secs().to_string();
    let mut parameters = vec![
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Date", &at),
        ("X-Amz-Expires", &seconds),
        ("X-Amz-SignedHeaders", "host"),
    ];
    parameters.extend(
        credentials
            .token
            .as_deref()
            .map(|token| ("X-Amz-Security-Token", token)),
    );
    let target = format!("{}?{}", url.target, query(&mut parameters));
    let headers = [("host".to_owned(), url.host_header())];
    let canonical = canonical("GET", &target, &headers, "host", UNSIGNED);
    let signature = signature(&credentials.secret, &at, region, &canonical);
    Url {
        target: format!("{target}&X-Amz-Signature={signature}"),
        ..url.clone()
    }
}

/// The canonical form of a query, which is also how it is sent: sorted and encoded.
pub fn query(parameters: &mut [(&str, &str)]) -> String {
    parameters.sort_unstable();
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name, ""), encoded(value, "")));
    pairs.collect::<Vec<_>>().join("&")
}

/// A text with everything but unreserved characters (RFC 3986) and those in `also` percent-encoded.
pub fn encoded(text: &str, also: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.as_bytes().contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Bytes in lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `20130524T000000Z`
fn stamp(now: SystemTime) -> String {
    humantime::format_rfc3339_seconds(now)
        .to_string()
        .replace(['-', ':'], "")
}

fn scope(at: &str, region: &str) -> String {
    format!("{}/{region}/s3/aws4_request", day(at))
}

fn day(at: &str) -> &str {
    at.split('T').next().unwrap_or_default()
}

fn canonical(method: &str, target: &str, headers: &[(String, String)], signed: &str, payload: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut text = format!("{method}\n{path}\n{query}\n");
    for (name, value) in headers {
        let _ = writeln!(text, "{name}:{value}");
    }
    text + &format!("\n{signed}\n{payload}")
}

fn signature(secret: &str, at: &str, region: &str, canonical: &str) -> String {
    let sum = hex(&Sha256::digest(canonical));
    let text = format!("{ALGORITHM}\n{at}\n{}\n{sum}", scope(at, region));
    let first = format!("AWS4{secret}").into_bytes();
    let key = [day(at), region, "s3", "aws4_request"]
        .iter()
        .fold(first, |key, part| keyed(&key, part));
    hex(&keyed(&key, &text))
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length will do");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    use super::*;

    /// The credentials, the bucket and the time of the examples in AWS's documentation.
    fn example() -> (Credentials, SystemTime) {
        let credentials = Credentials {
            id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
            expires: None,
        };
        (credentials, SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600))
    }

    fn signed(method: Method, target: &str, headers: &[(&'static str, &'static str)], payload: &str) -> String {
        let (credentials, now) = example();
        let mut url = Url::parse(b"https://examplebucket.s3.amazonaws.com/").expect("a URL");
        target.clone_into(&mut url.target);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let mut request = Request {
            method,
            url,
            headers: map,
            body: Bytes::new(),
        };
        sign(&mut request, &credentials, "us-east-1", now, payload);
        let text = request.headers[header::AUTHORIZATION].to_str().expect("text");
        text.rsplit("Signature=").next().expect("a signature").to_owned()
    }

    #[test]
    fn published_examples_are_signed_alike() {
        let empty = hex(&Sha256::digest(""));
        let get = signed(Method::GET, "/test.txt", &[("range", "bytes=0-9")], &empty);
        assert_eq!(get, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
        let headers = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        let sum = hex(&Sha256::digest("Welcome to Amazon S3."));
        let put = signed(Method::PUT, "/test%24file.text", &headers, &sum);
        assert_eq!(put, "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
        let list = format!("/?{}", query(&mut [("prefix", "J"), ("max-keys", "2")]));
        let list = signed(Method::GET, &list, &[], &empty);
        assert_eq!(list, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    }

    #[test]
    fn published_presigned_urls_are_made_alike() {
        let (credentials, now) = example();
        let url = Url::parse(b"https://examplebucket.s3.amazonaws.com/test.txt").expect("a URL");
        let day = Duration::from_secs(86_400);
        let made = presigned(&url, &credentials, "us-east-1", now, day).to_string();
        assert_eq!(
            made,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=\
             AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&\
             X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
        let with_token = Credentials {
            token: Some("oej5cie4uctureturdtuc5dctd".to_owned()),
            ..credentials
        };
        let made = presigned(&url, &with_token, "us-east-1", now, day).target;
        let signature = "bf77b83a7135594046c90a7e7e10cf1a4c8f8ecc1d541d0f42bea6b7670870c7";
        assert!(made.ends_with(signature), "{made}");
    }
}
