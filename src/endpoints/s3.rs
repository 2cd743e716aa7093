//! `s3://`: objects of S3 and of servers that speak its protocol.

use crate::catalog::{Access, Scheme};

use super::connecting::{CONNECT_TIMEOUT, LINGER, USER_TIMEOUT};
use super::tls::{CA, CERT, KEY, VERIFY};

mod options;
mod ranges;
mod read;
mod resumed;
mod state;
mod upload;
mod write;

use options::{ENDPOINT, IF_ABSENT, IMDS, PART, PRESIGN, PROFILE, RANGE, REGION, RETRY, STATE, STYLE, THREADS};

/// `s3://BUCKET/KEY`
pub static SCHEME: Scheme = Scheme {
    form: "s3://BUCKET/KEY",
    prefix: "s3://",
    summary: "an object of S3, or of a server that speaks its protocol",
    read: Some(Access {
        params: &[
            THREADS,
            RANGE,
            ENDPOINT,
            REGION,
            PROFILE,
            STYLE,
            IMDS,
            RETRY,
            CONNECT_TIMEOUT,
            USER_TIMEOUT,
            CA,
            CERT,
            KEY,
            VERIFY,
        ],
        place: read::named,
    }),
    write: Some(Access {
        params: &[
            THREADS,
            PART,
            STATE,
            IF_ABSENT,
            PRESIGN,
            ENDPOINT,
            REGION,
            PROFILE,
            STYLE,
            IMDS,
            RETRY,
            CONNECT_TIMEOUT,
            USER_TIMEOUT,
            LINGER,
            CA,
            CERT,
            KEY,
            VERIFY,
        ],
        place: write::named,
    }),
};
