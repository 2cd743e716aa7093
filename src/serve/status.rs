//! How a run that failed before its first byte is answered.

use http::StatusCode;

use crate::error::{Failure, Kind};

/// What is known of a failed run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Failed {
    /// Whether the run reads the request's body.
    pub reads_request: bool,
    /// Whether the body is not valid HTTP.
    pub is_malformed: bool,
    /// Whether all of the body had come.
    pub is_whole: bool,
}

/// The status, and the line, which says no more than a client may know: what is wrong with its own body, but nothing of
/// files and peers of the service.
pub fn of(failure: Option<&Failure>, failed: Failed) -> (StatusCode, String) {
    let kind = failure.map(Failure::kind);
    let is_own = failed.reads_request;
    let status = match kind {
        _ if failed.is_malformed => {
            return (StatusCode::BAD_REQUEST, "the body is not valid HTTP".to_owned());
        }
        Some(Kind::Corrupt | Kind::Integrity) if is_own => StatusCode::UNPROCESSABLE_ENTITY,
        Some(Kind::Limit) if is_own => StatusCode::PAYLOAD_TOO_LARGE,
        Some(Kind::Timeout) if is_own && !failed.is_whole => {
            let line = "timeout: nothing came or was read for too long; a client reads the response while it sends";
            return (StatusCode::REQUEST_TIMEOUT, line.to_owned());
        }
        Some(Kind::Timeout) => StatusCode::GATEWAY_TIMEOUT,
        Some(Kind::Connect) => StatusCode::BAD_GATEWAY,
        Some(Kind::Resources) => StatusCode::SERVICE_UNAVAILABLE,
        Some(Kind::NoSpace) => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let line = match (kind, failure) {
        (Some(Kind::Corrupt | Kind::Limit | Kind::Integrity), Some(failure)) if is_own => {
            format!("the run failed: {failure}")
        }
        (Some(kind), _) => format!("the run failed: {}", kind.meaning()),
        (None, _) => "the run failed".to_owned(),
    };
    (status, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_tells_whose_fault_it_is() {
        let own = Failed {
            reads_request: true,
            ..Failed::default()
        };
        let ours = Failed::default();
        for (kind, of_own, of_ours) in [
            (Kind::Corrupt, 422, 500),
            (Kind::Limit, 413, 500),
            (Kind::Timeout, 408, 504),
            (Kind::Connect, 502, 502),
            (Kind::Resources, 503, 503),
            (Kind::NoSpace, 507, 507),
            (Kind::Source, 500, 500),
            (Kind::Bug, 500, 500),
        ] {
            let failure = Failure::because(kind, "cannot read /etc/secret", "it is so");
            let (status, line) = of(Some(&failure), own);
            assert_eq!(status.as_u16(), of_own, "{kind:?}");
            assert!(!line.contains('\n'));
            let (status, line) = of(Some(&failure), ours);
            assert_eq!(status.as_u16(), of_ours, "{kind:?}");
            assert!(!line.contains("secret"), "{line}");
        }
        let whole = Failed { is_whole: true, ..own };
        let failure = Failure::because(Kind::Timeout, "stalled", "no byte moved");
        assert_eq!(of(Some(&failure), whole).0, StatusCode::GATEWAY_TIMEOUT);
    }
}
