//! HTTP and HTTPS: downloads and uploads, and a listener for one of them.

use crate::catalog::{Access, Param, Scheme};

use super::connecting::{CONNECT_TIMEOUT, LINGER, RETRY, USER_TIMEOUT};
use super::tls::{CA, CERT, KEY, VERIFY};

pub mod listen;
pub mod options;
mod read;
pub mod request;
mod validator;
mod write;

use options::{BODY, CONTENT_TYPE, HEADER, METHOD, UPLOAD_METHOD, USER};

/// The parameters of both, because a redirect may lead from one to the other.
const READ: &[Param] = &[
    METHOD,
    HEADER,
    USER,
    BODY,
    RETRY,
    CONNECT_TIMEOUT,
    USER_TIMEOUT,
    CA,
    CERT,
    KEY,
    VERIFY,
];
const WRITE: &[Param] = &[
    UPLOAD_METHOD,
    HEADER,
    USER,
    CONTENT_TYPE,
    RETRY,
    CONNECT_TIMEOUT,
    USER_TIMEOUT,
    LINGER,
    CA,
    CERT,
    KEY,
    VERIFY,
];

/// `http://HOST[:PORT][/PATH]`
pub static HTTP: Scheme = Scheme {
    form: "http://HOST/PATH",
    prefix: "http://",
    summary: "a resource of an HTTP server: GET to read, PUT to write",
    read: Some(Access {
        params: READ,
        place: |rest, args| read::named(b"http://", rest, args),
    }),
    write: Some(Access {
        params: WRITE,
        place: |rest, args| write::named(b"http://", rest, args),
    }),
};

/// `https://HOST[:PORT][/PATH]`
pub static HTTPS: Scheme = Scheme {
    form: "https://HOST/PATH",
    prefix: "https://",
    summary: "the same over TLS",
    read: Some(Access {
        params: READ,
        place: |rest, args| read::named(b"https://", rest, args),
    }),
    write: Some(Access {
        params: WRITE,
        place: |rest, args| write::named(b"https://", rest, args),
    }),
};
