//! What a server says when it refuses a request.

use std::time::{Duration, SystemTime};

use http::{StatusCode, header};

use crate::error::{Failure, Kind, brief};
use crate::net::http::{Attempt, Response, Retry, retry_after};

use super::xml;

/// The most that is read of an error, in bytes.
const MOST: usize = 64 << 10;
/// How long a server may take for its text.
const LIMIT: Duration = Duration::from_secs(2);

/// A request that failed.
#[derive(Debug)]
pub struct Failed {
    /// The failure, and whether another attempt makes sense.
    pub attempt: Attempt,
    /// S3's code for it, such as `NoSuchKey`; empty if there was no response, or it has none.
    pub code: String,
}

impl From<Attempt> for Failed {
    fn from(attempt: Attempt) -> Self {
        let code = String::new();
        Self { attempt, code }
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        failed.attempt.failure
    }
}

impl Failed {
    /// Whether the server may have done what was asked for.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.code.is_empty() && self.attempt.retry == Retry::Idempotent
    }
}

/// The failure of a request whose response has another status than the expected one.
pub async fn refused(mut response: Response, place: Kind, operation: &str) -> Failed {
    let status = response.status();
    let body = tokio::time::timeout(LIMIT, response.read_body(MOST)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let said = xml::element(&text, "Code").unwrap_or_default();
    let code = if said.is_empty() { code_of(status) } else { &said };
    let mut why = format!("the server responded {}", response.status_line());
    if !said.is_empty() {
        why = format!("{why}: {}", brief(said.as_bytes()));
    }
    if let Some(message) = xml::element(&text, "Message").filter(|message| !message.is_empty()) {
        why = format!("{why}: {}", message.trim_end_matches('.').escape_debug());
    }
    let region = response
        .headers()
        .get("x-amz-bucket-region")
        .and_then(|value| value.to_str().ok());
    let region = region.map(str::to_owned).or_else(|| xml::element(&text, "Region"));
    if let Some(region) = region.filter(|_| status.is_redirection() || code == "AuthorizationHeaderMalformed") {
        why = format!(
            "{why}; the bucket is in another region: give region={}",
            brief(region.as_bytes())
        );
    }
    if code == "RequestTimeTooSkewed"
        && let Some(skew) = skew(&response)
    {
        why = format!("{why}; {skew}");
    }
    let mut failed = of_code(code, status, place, operation, why);
    failed.attempt.pause = response.header(&header::RETRY_AFTER).and_then(retry_after);
    failed
}

/// The failure that a code stands for, wherever it is said.
pub fn of_code(code: &str, status: StatusCode, place: Kind, operation: &str, why: String) -> Failed {
    let kind = match code {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "ExpiredToken"
        | "InvalidToken"
        | "InvalidSecurity"
        | "InvalidClientTokenId"
        | "AuthorizationHeaderMalformed" => Kind::Connect,
        "BadDigest" | "XAmzContentChecksumMismatch" | "XAmzContentSHA256Mismatch" => Kind::Integrity,
        "QuotaExceeded" => Kind::NoSpace,
        _ if status == StatusCode::INSUFFICIENT_STORAGE => Kind::NoSpace,
        _ => place,
    };
    let is_passing = matches!(
        code,
        "SlowDown"
            | "InternalError"
            | "ServiceUnavailable"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "Throttling"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TooManyRequests"
            | "OperationAborted"
            // What was sent is kept, so a sum that the way has changed is sent again.
            | "BadDigest"
    ) || status == StatusCode::TOO_MANY_REQUESTS
        || (status.is_server_error() && kind != Kind::NoSpace && status != StatusCode::NOT_IMPLEMENTED);
    let retry = if is_passing { Retry::Always } else { Retry::Never };
    Failed {
        attempt: Attempt::new(Failure::because(kind, operation, why), retry),
        code: code.to_owned(),
    }
}

/// What a status alone stands for: the response to a HEAD has no body.
fn code_of(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "NoSuchKey",
        StatusCode::PRECONDITION_FAILED => "PreconditionFailed",
        StatusCode::FORBIDDEN => "AccessDenied",
        _ => "Unknown",
    }
}

/// How far this machine's clock is from the server's.
fn skew(response: &Response) -> Option<String> {
    let theirs = httpdate::parse_http_date(response.header(&header::DATE)?).ok()?;
    let now = SystemTime::now();
    let (by, how) = match now.duration_since(theirs) {
        Ok(by) => (by, "ahead of"),
        Err(error) => (error.duration(), "behind"),
    };
    let by = humantime::format_duration(Duration::from_secs(by.as_secs()));
    Some(format!("this machine's clock is {by} {how} the server's: set it"))
}
